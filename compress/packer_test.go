package compress_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/compress/compresstest"
)

// codecs is one of each kind.
func codecs() []compress.Codec {
	return []compress.Codec{compress.Gzip(0), compress.Snappy(), compress.S2(0), compress.Zstd(0)}
}

func random(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}

func TestAdaptive(t *testing.T) {
	text := compresstest.Samples()["text"]
	mixed := append(random(10_000), text[:20_000]...)
	a := compress.Adaptive(compress.Zstd(0), 0)
	for _, c := range []struct {
		name        string
		data        []byte
		contentType string
		want        bool
	}{
		{"nothing", nil, "", false},
		{"small", text[:255], "", false},
		{"just large enough", text[:256], "", true},
		{"text", text, "text/plain; charset=utf-8", true},
		{"json", []byte(`{"orders":[` + strings.Repeat(`{"id":4711,"name":"a book"},`, 100) + `]}`), "application/json", true},
		{"base64", []byte(base64.StdEncoding.EncodeToString(random(5000))), "", true},
		{"random", random(5000), "", false},
		{"random, large", random(5_000_000), "application/octet-stream", false},
		{"random, then text", mixed, "", true},
		{"zeros", make([]byte, 5000), "", true},
		{"an image", text, "Image/PNG", false},
		{"a vector image", text, "image/svg+xml", true},
		{"an archive", text, "application/zip", false},
	} {
		if got := a.Select(compress.Sample{Data: c.data, ContentType: c.contentType}) != nil; got != c.want {
			t.Errorf("%s: selected %v, want %v", c.name, got, c.want)
		}
	}
	if compress.Adaptive(compress.Snappy(), 10).Select(compress.Sample{Data: make([]byte, 20)}) == nil {
		t.Error("20 zeros were left, though 10 bytes are enough")
	}
}

func TestPacker(t *testing.T) {
	for _, c := range codecs() {
		p := compress.NewPacker(compress.Always(c), compress.Set{})
		for name, src := range compresstest.Samples() {
			before := bytes.Clone(src)
			out, id := p.Append([]byte("in front"), compress.Sample{Data: src})
			switch {
			case !bytes.HasPrefix(out, []byte("in front")) || !bytes.Equal(src, before):
				t.Errorf("%v: %s: what was there was changed", c.ID(), name)
			case id == 0 && len(out) != len("in front"):
				t.Errorf("%v: %s: left, and %d bytes were appended", c.ID(), name, len(out))
			case id != 0 && len(out)-len("in front") > len(src)-len(src)/16:
				t.Errorf("%v: %s: %d bytes became %d", c.ID(), name, len(src), len(out)-len("in front"))
			case id == 0 && (name == "text" || name == "zeros"), id != 0 && (name == "random" || name == "empty" || name == "one byte"):
				t.Errorf("%v: %s: compressed with %v", c.ID(), name, id)
			case id == 0:
				continue
			}
			for _, size := range []int{-1, len(src)} {
				got, err := p.Expand([]byte("in front"), out[len("in front"):], id, size, len(src))
				if err != nil || !bytes.Equal(got, append([]byte("in front"), src...)) {
					t.Errorf("%v: %s: %d bytes came back, %v", c.ID(), name, len(got), err)
				}
			}
		}
	}
}

// What is expanded is bounded by what was declared and by what is allowed, whichever is less, and is what was declared.
func TestPackerBounds(t *testing.T) {
	for _, c := range codecs() {
		p := compress.NewPacker(compress.Always(c), compress.Set{})
		bomb, id := p.Append(nil, compress.Sample{Data: make([]byte, 16<<20)})
		for _, test := range []struct {
			size, most int
			want       error
		}{
			{-1, 1 << 20, compress.ErrTooLarge},
			{16 << 20, 1 << 20, compress.ErrTooLarge},
			{math.MaxInt, math.MaxInt - 1, compress.ErrTooLarge},
			{1 << 20, math.MaxInt, compress.ErrCorrupt}, // it lies
			{0, -1, compress.ErrTooLarge},
		} {
			compresstest.Bounded(t, 8<<20, func() {
				got, err := p.Expand([]byte("x"), bomb, id, test.size, test.most)
				if !errors.Is(err, test.want) || string(got) != "x" {
					t.Errorf("%v: %d declared, %d allowed: %d bytes, %v, want %v", id, test.size, test.most, len(got), err, test.want)
				}
			})
		}
		small, _ := p.Append(nil, compress.Sample{Data: make([]byte, 1000)})
		if _, err := p.Expand(nil, small, id, 1001, 10_000); !errors.Is(err, compress.ErrCorrupt) {
			t.Errorf("%v: 1,000 bytes where 1,001 are declared: %v", id, err)
		}
	}
	some, err := compress.NewSet(compress.Snappy())
	if err != nil {
		t.Fatal(err)
	}
	p := compress.NewPacker(compress.Always(compress.Zstd(0)), some)
	for _, id := range []compress.ID{0, compress.IDZstd, 5, 255} {
		if _, err := p.Expand(nil, []byte("any"), id, -1, 10); !errors.Is(err, compress.ErrUnknown) {
			t.Errorf("%v, which is not in the set: %v", id, err)
		}
	}
}

func TestFrames(t *testing.T) {
	for _, c := range codecs() {
		p := compress.NewPacker(compress.Adaptive(c, 0), compress.Set{})
		for name, src := range compresstest.Samples() {
			frame := p.AppendFrame([]byte("in front"), compress.Sample{Data: src})[len("in front"):]
			if len(frame) > len(src)+6 {
				t.Errorf("%v: %s: a frame of %d bytes for %d", c.ID(), name, len(frame), len(src))
			}
			got, err := p.ExpandFrame([]byte("in front"), frame, len(src))
			if err != nil || !bytes.Equal(got, append([]byte("in front"), src...)) {
				t.Errorf("%v: %s: %d bytes came back, %v", c.ID(), name, len(got), err)
			}
			if _, err := p.ExpandFrame(nil, frame, len(src)-1); len(src) > 0 && !errors.Is(err, compress.ErrTooLarge) {
				t.Errorf("%v: %s: a byte too many: %v", c.ID(), name, err)
			}
			if _, err := p.ExpandFrame(nil, frame[:len(frame)-1], len(src)); !errors.Is(err, compress.ErrCorrupt) {
				t.Errorf("%v: %s: cut short: %v", c.ID(), name, err)
			}
		}
	}
	p := compress.NewPacker(compress.Always(compress.S2(0)), compress.Set{})
	huge := append(binary.AppendUvarint([]byte{byte(compress.IDS2)}, math.MaxUint64), 1, 2, 3)
	compresstest.Bounded(t, 0, func() {
		if _, err := p.ExpandFrame(nil, huge, math.MaxInt); !errors.Is(err, compress.ErrTooLarge) {
			t.Errorf("a frame that declares 16 EiB: %v", err)
		}
	})
	for _, frame := range [][]byte{nil, {0}, {0, 0x80}, {0, 1}, {0, 0, 1}, {4, 1}, bytes.Repeat([]byte{0xff}, 20)} {
		if got, err := p.ExpandFrame(nil, frame, 100); err == nil {
			t.Errorf("% x: %d bytes", frame, len(got))
		}
	}
}

// TestStats: ratio and time are those of what was, not of what it was replaced with.
func TestStats(t *testing.T) {
	p := compress.NewPacker(compress.Adaptive(compress.Zstd(0), 0), compress.Set{})
	text := compresstest.Samples()["text"]
	value := bytes.Clone(text[:100_000])
	packed, id := p.Append([]byte("in front"), compress.Sample{Data: value})
	packed = packed[len("in front"):]
	p.Append(nil, compress.Sample{Data: make([]byte, 100_000)})
	p.Append(nil, compress.Sample{Data: text[:10]})
	p.Append(nil, compress.Sample{Data: random(1000)})
	for range 3 {
		if _, err := p.Expand(nil, packed, id, len(value), len(value)); err != nil {
			t.Fatal(err)
		}
	}
	p.Expand(nil, packed[1:], id, len(value), len(value))
	s := p.Stats()
	if s.Left != 2 || s.Refused != 1 || len(s.Codecs) != 1 {
		t.Fatalf("got %+v", s)
	}
	c := s.Codecs[0]
	if c.ID != compress.IDZstd || c.Packed != 2 || c.PackedIn != 200_000 || c.Expanded != 3 || c.ExpandedIn != 3*int64(len(packed)) || c.ExpandedOut != 300_000 {
		t.Errorf("got %+v", c)
	}
	zeros, _ := compress.Zstd(0).AppendCompress(nil, make([]byte, 100_000))
	if c.PackedOut != int64(len(packed)+len(zeros)) {
		t.Errorf("%d bytes after, want %d and %d", c.PackedOut, len(packed), len(zeros))
	}
	if c.PackingTime <= 0 || c.ExpandingTime <= 0 || c.Ratio() <= 0 || c.Ratio() > 0.5 || c.SmallestRatio > 0.001 || c.LargestRatio < float64(len(packed))/100_000-1e-5 || c.LargestRatio > 0.5 {
		t.Errorf("ratio %v, %+v", c.Ratio(), c)
	}
	if r := (compress.CodecStats{}).Ratio(); r != 1 {
		t.Errorf("the ratio of nothing is %v, want 1", r)
	}
	vain := compress.NewPacker(compress.Always(compress.Zstd(0)), compress.Set{})
	if out, id := vain.Append(nil, compress.Sample{Data: random(1000)}); id != 0 || len(out) > 0 || vain.Stats().InVain != 1 {
		t.Errorf("random bytes: %v, %d bytes, %+v", id, len(out), vain.Stats())
	}
}

func TestPackerConcurrently(t *testing.T) {
	p := compress.NewPacker(compress.Adaptive(compress.S2(0), 0), compress.Set{})
	samples := compresstest.Samples()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for name, src := range samples {
				got, err := p.ExpandFrame(nil, p.AppendFrame(nil, compress.Sample{Data: src}), len(src))
				if err != nil || !bytes.Equal(got, src) {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
			}
		})
	}
	all.Wait()
}

func FuzzFrame(f *testing.F) {
	for _, c := range codecs() {
		p := compress.NewPacker(compress.Always(c), compress.Set{})
		for _, src := range [][]byte{{}, []byte("abcabcabcabcabcabcabcabc"), make([]byte, 8<<20), random(100)} { // the third is a bomb
			frame := p.AppendFrame(nil, compress.Sample{Data: src})
			f.Add(frame, uint32(len(src)))
			if len(src) == 8<<20 { // it says that it is none
				f.Add(append(binary.AppendUvarint([]byte{frame[0]}, 1000), frame[1+4:]...), uint32(1<<20))
			}
		}
	}
	f.Add(append(binary.AppendUvarint([]byte{4}, 1<<20), zstdOf(1<<20)...), uint32(1<<20))
	p := compress.NewPacker(compress.Adaptive(compress.Zstd(0), 0), compress.Set{})
	f.Fuzz(func(t *testing.T, frame []byte, bound uint32) {
		most := int(bound % (1<<20 + 1))
		compresstest.Bounded(t, 8*uint64(most)+uint64(4*len(frame))+16<<20, func() {
			got, err := p.ExpandFrame(nil, frame, most)
			known := errors.Is(err, compress.ErrCorrupt) || errors.Is(err, compress.ErrTooLarge) || errors.Is(err, compress.ErrUnknown)
			if err != nil && (len(got) > 0 || !known) || len(got) > most {
				t.Fatalf("%d bytes, %v, the bound is %d", len(got), err, most)
			}
			if err != nil {
				return
			}
			again, err := p.ExpandFrame(nil, p.AppendFrame(nil, compress.Sample{Data: got}), len(got))
			if err != nil || !bytes.Equal(again, got) {
				t.Fatalf("%d bytes came back as %d, %v", len(got), len(again), err)
			}
		})
	})
}

func TestByName(t *testing.T) {
	for _, c := range codecs() {
		if id, ok := compress.ByName(c.Name()); !ok || id != c.ID() {
			t.Errorf("%s is %v, %v", c.Name(), id, ok)
		}
	}
	for _, name := range []string{"", "codec 9", "ZSTD", "br"} {
		if id, ok := compress.ByName(name); ok {
			t.Errorf("%q is %v", name, id)
		}
	}
}

func ExamplePacker() {
	p := compress.NewPacker(compress.Adaptive(compress.Zstd(compress.Default), 0), compress.Set{})
	lines := []byte(strings.Repeat("GET /index.html 200\n", 1000))
	packed, id := p.Append(nil, compress.Sample{Data: lines, ContentType: "text/plain"})
	fmt.Println(id, len(packed) < len(lines)/100)

	back, err := p.Expand(nil, packed, id, len(lines), 1<<20)
	fmt.Println(bytes.Equal(back, lines), err)

	_, id = p.Append(nil, compress.Sample{Data: lines, ContentType: "image/png"})
	fmt.Println(id == 0) // left as it is

	s := p.Stats()
	fmt.Println(s.Left, s.Codecs[0].Packed, s.Codecs[0].Ratio() < 0.01)
	// Output:
	// zstd true
	// true <nil>
	// true
	// 1 1 true
}
