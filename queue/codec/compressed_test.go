package codec_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/codec"
	"github.com/leatmq/leat/queue/codec/codectest"
	"github.com/leatmq/leat/queue/compressed"
)

func packer(with compress.Codec) *compress.Packer {
	return compress.NewPacker(compress.Adaptive(with, 128), compress.Set{})
}

func compressedSuite(p *compress.Packer) codectest.Suite[order] {
	s := jsonSuite(false)
	s.Codec = codec.Compressed[order]{Plain: codec.JSON[order]{}, Packer: p}
	s.Values = append(s.Values, order{ID: strings.Repeat("order ", 1000)})
	return s
}

func TestCompressedConformance(t *testing.T) {
	for _, with := range []compress.Codec{compress.Gzip(compress.Best), compress.Snappy(), compress.S2(compress.Better), compress.Zstd(compress.Fast)} {
		t.Run(with.Name(), func(t *testing.T) { codectest.Test(t, compressedSuite(packer(with))) })
	}
	t.Run("nothing", func(t *testing.T) { codectest.Test(t, compressedSuite(nil)) })
	t.Run("bytes", func(t *testing.T) {
		s := bytesSuite()
		s.Codec = codec.Compressed[[]byte]{Plain: codec.Bytes{}, Packer: packer(compress.Snappy())}
		codectest.Test(t, s)
	})
}

// samples are values, and whether they shrink.
func samples() map[string][]byte {
	random := make([]byte, 4000)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	text := []byte(strings.Repeat("the same words again and again. ", 200))
	return map[string][]byte{"text": text, "random": random, "short": text[:64], "empty": nil}
}

// What shrinks is compressed and named in the header, what does not is as it was, and consumers read both, whatever they write themselves.
func TestCompressed(t *testing.T) {
	reader := queue.TopicOf("t", codec.Compressed[[]byte]{Plain: codec.Bytes{}, Packer: packer(compress.Snappy())})
	for _, with := range []compress.Codec{compress.Gzip(0), compress.Snappy(), compress.S2(0), compress.Zstd(0)} {
		p := packer(with)
		writer := queue.TopicOf("t", codec.Compressed[[]byte]{Plain: codec.Bytes{Type: "text/plain"}, Packer: p}).Keyed(func([]byte) string { return "key" })
		for name, value := range samples() {
			m, err := writer.Message(value)
			if err != nil {
				t.Fatal(err)
			}
			shrinks, want := name == "text", ""
			if shrinks {
				want = with.Name()
			}
			if got := m.Headers.Get(queue.HeaderCompression); got != want || (len(m.Value) < len(value)) != shrinks {
				t.Errorf("%s with %s: %d bytes became %d, headers %v", name, with.Name(), len(value), len(m.Value), m.Headers)
			}
			if string(m.Key) != "key" || m.Headers.Get(queue.HeaderContentType) != "text/plain" {
				t.Errorf("%s with %s: key %q, headers %v", name, with.Name(), m.Key, m.Headers)
			}
			if got, err := reader.Decode(&queue.Record{Message: m}); err != nil || !bytes.Equal(got, value) {
				t.Errorf("%s with %s: came back as %d bytes, %v", name, with.Name(), len(got), err)
			}
		}
		if cs := p.Stats().Codecs; len(cs) != 1 || cs[0].ID != with.ID() || cs[0].Packed != 1 {
			t.Errorf("%s counts %+v, want 1 compressed", with.Name(), cs)
		}
	}
}

// A typed topic and queue/compressed read each other's messages.
func TestCompressedByOthers(t *testing.T) {
	text := samples()["text"]
	topic := queue.TopicOf("t", codec.Compressed[[]byte]{Plain: codec.Bytes{}, Packer: packer(compress.Zstd(0))})
	c, err := compressed.New(compressed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	theirs := c.Pack(queue.Message{Topic: "t", Value: text})
	if got, err := topic.Decode(&queue.Record{Message: theirs}); err != nil || !bytes.Equal(got, text) || len(theirs.Value) >= len(text) {
		t.Errorf("theirs came back as %d bytes, %v", len(got), err)
	}
	ours, err := topic.Message(text)
	if err != nil {
		t.Fatal(err)
	}
	if packed := len(ours.Value); packed >= len(text) || c.Expand(&ours) != nil || !bytes.Equal(ours.Value, text) {
		t.Errorf("ours, of %d bytes, came back as %d bytes", packed, len(ours.Value))
	}
}

// A few bytes that stand for many are refused before they are there, and what cannot be expanded is no value.
func TestCompressedBounds(t *testing.T) {
	bomb, err := compress.Zstd(0).AppendCompress(nil, make([]byte, 16<<20))
	if err != nil {
		t.Fatal(err)
	}
	c := codec.Compressed[[]byte]{Plain: codec.Bytes{}, Packer: packer(compress.Zstd(0))}
	for _, most := range []int{1 << 20, 0} {
		c.MaxBytes = most
		if v, err := c.DecodeCompressed(bomb, "zstd"); !errors.Is(err, compress.ErrTooLarge) {
			t.Errorf("with a bound of %d a bomb became %d bytes, %v, want ErrTooLarge", most, len(v), err)
		}
	}
	c.MaxBytes = 1000
	if out, algorithm, err := c.AppendCompressed(nil, make([]byte, 1001)); len(out) != 1001 || algorithm != "" || err != nil {
		t.Errorf("what could not be expanded again became %d bytes, %q, %v", len(out), algorithm, err)
	}
	if _, err := c.DecodeCompressed([]byte("no frame"), "zstd"); !errors.Is(err, compress.ErrCorrupt) {
		t.Errorf("nonsense: %v, want ErrCorrupt", err)
	}
	if _, err := c.DecodeCompressed(bomb, "lzma"); !errors.Is(err, codec.ErrCompression) {
		t.Errorf("an unknown algorithm: %v, want ErrCompression", err)
	}
	c.Packer = nil
	if _, err := c.DecodeCompressed(bomb, "zstd"); !errors.Is(err, codec.ErrCompression) {
		t.Errorf("without a packer: %v, want ErrCompression", err)
	}
}

func FuzzCompressed(f *testing.F) {
	c := codec.Compressed[order]{Plain: codec.JSON[order]{}, Packer: packer(compress.Zstd(0)), MaxBytes: 1 << 16}
	for _, with := range []compress.Codec{compress.Gzip(0), compress.Snappy(), compress.S2(0), compress.Zstd(0)} {
		b, err := with.AppendCompress(nil, []byte(`{"id":"`+strings.Repeat("a", 200)+`"}`))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, with.Name())
	}
	f.Fuzz(func(t *testing.T, data []byte, algorithm string) {
		v, err := c.DecodeCompressed(data, algorithm)
		if err != nil {
			return
		}
		if _, err := c.AppendEncode(nil, v); err != nil {
			t.Errorf("%+v is not encoded: %v", v, err)
		}
	})
}
