package compressed_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/compress/compresstest"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/compressed"
	"github.com/leatmq/leat/queue/queuetest"
	"github.com/leatmq/leat/retry"
)

func open(t testing.TB, o compressed.Options) *compressed.Compressor {
	t.Helper()
	c, err := compressed.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// samples makes them once.
var samples = sync.OnceValue(compresstest.Samples)

func text(n int) []byte { return samples()["text"][:n] }

// SPEC 7: the nil header map panics, and what is compressed goes out without its header. Here every message that was compressed says so, and goes back to what it was.
func TestPackAndExpand(t *testing.T) {
	for _, headers := range []queue.Headers{nil, {}, queue.Headers{}.With("tenant", "acme").With("content-type", "text/plain")} {
		for _, codec := range []compress.Codec{compress.Gzip(0), compress.Snappy(), compress.S2(0), compress.Zstd(0)} {
			c := open(t, compressed.Options{Selector: compress.Always(codec)})
			m := queue.Message{Topic: "t", Key: []byte("k"), Value: text(10_000), Headers: headers, ID: "id"}
			for range 2 { // as a cache would have it the second time
				p := c.Pack(m)
				if p.Headers.Get(compressed.HeaderName) != codec.Name() || p.Headers.Get(compressed.HeaderSize) != "10000" || len(p.Value) > 5000 {
					t.Fatalf("%s: %d bytes with %v", codec.Name(), len(p.Value), p.Headers)
				}
				if again := c.Pack(p); !reflect.DeepEqual(again, p) {
					t.Errorf("%s: what is compressed was compressed again", codec.Name())
				}
				if err := c.Expand(&p); err != nil || !bytes.Equal(p.Value, m.Value) || len(p.Headers) != len(headers) || p.ID != m.ID {
					t.Errorf("%s: came back as %d bytes with %v, %v", codec.Name(), len(p.Value), p.Headers, err)
				}
			}
			if len(m.Headers) != len(headers) || !bytes.Equal(m.Value, text(10_000)) {
				t.Errorf("%s: the message that was packed was changed", codec.Name())
			}
		}
	}
}

// SPEC 7: nothing skips what does not shrink, and the ratio is taken after the value was replaced.
func TestWhatDoesNotShrinkIsLeft(t *testing.T) {
	c := open(t, compressed.Options{MaxBytes: 20_000})
	squeezed := open(t, compressed.Options{Selector: compress.Always(compress.Snappy())}).Pack(queue.Message{Value: make([]byte, 1<<20)})
	if p := open(t, compressed.Options{}).Pack(squeezed); !reflect.DeepEqual(p, squeezed) {
		t.Errorf("what is compressed, and would shrink more, was compressed again: %v", p.Headers)
	}
	random := make([]byte, 10_000)
	for i, rng := 0, rand.New(rand.NewPCG(1, 2)); i < len(random); i++ {
		random[i] = byte(rng.Uint32())
	}
	full := queue.Headers{}
	for i := range queue.MaxHeaders - 1 {
		full = full.With(strconv.Itoa(i), "")
	}
	for name, m := range map[string]queue.Message{
		"nothing":             {},
		"small":               {Value: text(100)},
		"random":              {Value: random},
		"an image":            {Value: text(10_000), Headers: queue.Headers{}.With("content-type", "image/png")},
		"more than is bound":  {Value: text(20_001)},
		"a claim":             {Value: text(10_000), Headers: queue.Headers{}.With("claim-check", "1")},
		"no room for headers": {Value: text(10_000), Headers: full},
	} {
		if p := c.Pack(m); !reflect.DeepEqual(p, m) {
			t.Errorf("%s: got %d bytes with %v", name, len(p.Value), p.Headers)
		}
		before := m
		if err := c.Expand(&m); err != nil || !reflect.DeepEqual(m, before) {
			t.Errorf("%s: was expanded, %v", name, err)
		}
	}
	p := c.Pack(queue.Message{Value: text(10_000)})
	s := c.Stats()
	if len(s.Codecs) != 1 || s.Codecs[0].Ratio() != float64(len(p.Value))/10_000 || s.Codecs[0].PackingTime <= 0 || s.Left != 4 {
		t.Errorf("got %+v", s)
	}
}

// SPEC 7: nothing bounds what decompression may produce.
func TestExpandIsBounded(t *testing.T) {
	large := open(t, compressed.Options{MaxBytes: 16 << 20})
	bomb := large.Pack(queue.Message{Value: make([]byte, 16<<20)})
	with := func(name, size string) queue.Message {
		return queue.Message{Value: bomb.Value, Headers: queue.Headers{{Key: compressed.HeaderName, Value: []byte(name)}, {Key: compressed.HeaderSize, Value: []byte(size)}}}
	}
	c := open(t, compressed.Options{MaxBytes: 1 << 20})
	for name, test := range map[string]struct {
		m    queue.Message
		want error
	}{
		"as it says":             {bomb, compress.ErrTooLarge},
		"says less":              {with("zstd", "1000"), compress.ErrCorrupt},
		"says nothing":           {with("zstd", ""), compress.ErrTooLarge},
		"says no number":         {with("zstd", "-1"), compressed.ErrHeader},
		"says far too much":      {with("zstd", strings.Repeat("9", 30)), compressed.ErrHeader},
		"another's":              {with("br", "1000"), compressed.ErrHeader},
		"of another codec":       {with("gzip", "1000"), compress.ErrCorrupt},
		"of a name that is long": {with(strings.Repeat("x", 1000), "1000"), compressed.ErrHeader},
	} {
		before := test.m
		compresstest.Bounded(t, 8<<20, func() {
			if err := c.Expand(&test.m); !errors.Is(err, test.want) || !reflect.DeepEqual(test.m, before) {
				t.Errorf("%s: %.300v, want %v", name, err, test.want)
			}
		})
	}
	only, err := compress.NewSet(compress.Snappy())
	if err != nil {
		t.Fatal(err)
	}
	if err := open(t, compressed.Options{Codecs: only}).Expand(&bomb); !errors.Is(err, compress.ErrUnknown) {
		t.Errorf("a codec that is not in the set: %v", err)
	}
	if _, err := compressed.New(compressed.Options{MaxBytes: -1}); !errors.Is(err, compressed.ErrOption) {
		t.Errorf("got %v", err)
	}
}

// A consumer sees what was published; what cannot be expanded becomes a dead letter as it is stored.
func TestHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := queuetest.Broker(t, "t")
		c := open(t, compressed.Options{})
		packed := c.Pack(queue.Message{Topic: "t", Value: text(10_000), Headers: queue.Headers{}.With("a", "b")})
		broken := packed
		broken.Value = packed.Value[:len(packed.Value)/2]
		attempts := 0
		queuetest.Consume(t, b, queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.ByPartition}, c.Handler(func(_ context.Context, d *queue.Delivery) error {
			attempts++
			if !bytes.Equal(d.Value, text(len(d.Value))) || d.Headers.Get("compression") != "" {
				t.Errorf("got %d bytes with %v", len(d.Value), d.Headers)
			}
			if attempts == 1 {
				return errors.New("once more")
			}
			return nil
		}))
		for _, m := range []queue.Message{packed, broken, {Topic: "t", Value: text(50)}} {
			if _, err := b.Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		queuetest.Drain(t, b, "g")
		letters := queuetest.Records(t, b, "t.dead")
		for l, err := range b.DeadLetters("t.dead").All(t.Context()) {
			if err != nil || l.Attempts != 1 {
				t.Errorf("a letter after %d attempts, %v: what is broken stays so", l.Attempts, err)
			}
		}
		if attempts != 3 || len(letters) != 1 || !bytes.Equal(letters[0].Value, broken.Value) || letters[0].Headers.Get("compression") != "zstd" {
			t.Errorf("%d attempts, %d letters", attempts, len(letters))
		}
	})
}

func TestBatchHandler(t *testing.T) {
	c := open(t, compressed.Options{})
	packed := c.Pack(queue.Message{Value: text(10_000)})
	broken := packed
	broken.Value = packed.Value[1:]
	failure := errors.New("a failure")
	for _, test := range []struct {
		returns []error
		want    []string
	}{
		{nil, []string{"", "corrupt", "", ""}},
		{[]error{nil, failure, nil}, []string{"", "corrupt", "a failure", ""}},
		{[]error{nil}, []string{"1 errors for 3", "corrupt", "1 errors for 3", "1 errors for 3"}},
	} {
		var ds []*queue.Delivery
		for _, m := range []queue.Message{packed, broken, {Value: text(10_000)}, packed} {
			ds = append(ds, queue.NewDelivery(queue.Record{Message: m}))
		}
		errs := c.BatchHandler(func(_ context.Context, ds []*queue.Delivery) []error {
			for _, d := range ds {
				if !bytes.Equal(d.Value, text(10_000)) {
					t.Errorf("got %d bytes", len(d.Value))
				}
			}
			return test.returns
		})(t.Context(), ds)
		for i, want := range test.want {
			if err := errs[i]; want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("message %d: %v, want %q", i, err, want)
			}
		}
		if class, _ := retry.Classify(errs[1]); class != retry.ClassPermanent {
			t.Errorf("%v is tried again", errs[1])
		}
	}
}

func FuzzExpand(f *testing.F) {
	c := open(f, compressed.Options{MaxBytes: 1 << 20})
	large := open(f, compressed.Options{MaxBytes: 8 << 20})
	for _, codec := range []compress.Codec{compress.Gzip(0), compress.Snappy(), compress.S2(0), compress.Zstd(0)} {
		for _, src := range [][]byte{text(1000), make([]byte, 8<<20)} { // the second is a bomb
			value, err := codec.AppendCompress(nil, src)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(codec.Name(), strconv.Itoa(len(src)), value)
			f.Add(codec.Name(), "1000", value)
			f.Add(codec.Name(), "", value)
		}
	}
	f.Add("br", "1", []byte("any"))
	f.Fuzz(func(t *testing.T, name, size string, value []byte) {
		m := queue.Message{Value: value, Headers: queue.Headers{{Key: compressed.HeaderName, Value: []byte(name)}, {Key: compressed.HeaderSize, Value: []byte(size)}}}
		compresstest.Bounded(t, 32<<20, func() {
			m := m
			err := c.Expand(&m)
			if err == nil && (len(m.Value) > 1<<20 || len(m.Headers) > 0 || size != "" && strconv.Itoa(len(m.Value)) != strings.TrimLeft(size, "0") && len(m.Value) > 0) {
				t.Fatalf("%d bytes, headers %v, of %q and %q", len(m.Value), m.Headers, name, size)
			}
			if err == nil {
				p := large.Pack(m)
				if err := large.Expand(&p); err != nil || !bytes.Equal(p.Value, m.Value) {
					t.Fatalf("packed and expanded: %v", err)
				}
			}
		})
	})
}
