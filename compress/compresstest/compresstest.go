// Package compresstest holds what every [compress.Codec] must do, as tests that an implementation runs.
//
// It is for tests only. It does not judge how well a codec compresses.
package compresstest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/metrics"
	"sync"
	"testing"

	"github.com/leatmq/leat/compress"
)

// Test runs the conformance suite on c.
func Test(t *testing.T, c compress.Codec) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, compress.Codec)
	}{
		{"Names", testNames},
		{"RoundTrip", testRoundTrip},
		{"Appends", testAppends},
		{"Bound", testBound},
		{"Bombs", testBombs},
		{"CutShort", testCutShort},
		{"Flips", testFlips},
		{"Garbage", testGarbage},
		{"Concurrent", testConcurrent},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, c) })
	}
}

// Samples are blocks of every sort: empty, tiny, text, random, alike, and larger than any window of a block.
func Samples() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 300<<10)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	var text []byte
	for i := 0; len(text) < 1<<20; i++ {
		text = fmt.Appendf(text, "10.0.%d.%d - - \"GET /item/%d HTTP/1.1\" 200 %d\n", rng.IntN(256), rng.IntN(256), rng.IntN(1000), rng.IntN(1<<16))
	}
	return map[string][]byte{
		"empty": {}, "one byte": {7}, "short": []byte("abcabcabcabc"), "text": text, "some text": text[:2000],
		"random": random, "zeros": make([]byte, 3<<20),
	}
}

func testNames(t *testing.T, c compress.Codec) {
	if !c.ID().Known() || c.Name() != c.ID().String() {
		t.Errorf("ID %v, name %q", c.ID(), c.Name())
	}
}

func compressed(t testing.TB, c compress.Codec, src []byte) []byte {
	t.Helper()
	p, err := c.AppendCompress(nil, src)
	if err != nil {
		t.Fatalf("compress %d bytes: %v", len(src), err)
	}
	return p
}

func testRoundTrip(t *testing.T, c compress.Codec) {
	for name, src := range Samples() {
		before := bytes.Clone(src)
		p := compressed(t, c, src)
		if len(p) == 0 {
			t.Errorf("%s: compressed to nothing", name)
		}
		if len(p) > len(src)+len(src)/6+100 {
			t.Errorf("%s: %d bytes grew to %d", name, len(src), len(p))
		}
		packed := bytes.Clone(p)
		got, err := c.AppendExpand(nil, p, len(src))
		if err != nil || !bytes.Equal(got, before) {
			t.Errorf("%s: got %d bytes, %v, want the %d that were compressed", name, len(got), err, len(src))
		}
		if !bytes.Equal(src, before) || !bytes.Equal(p, packed) {
			t.Errorf("%s: what was only to be read was changed", name)
		}
	}
}

// testAppends: what is in front of the result stays, and nothing is written behind the capacity that dst has.
func testAppends(t *testing.T, c compress.Codec) {
	src := Samples()["some text"]
	for _, spare := range []int{0, 1, 10, 4000} {
		memory := bytes.Repeat([]byte{0xa5}, 10_000)
		dst := memory[:3:min(3+spare, len(memory))]
		p, err := c.AppendCompress(dst, src)
		if err != nil || !bytes.Equal(p[:3], memory[:3]) {
			t.Fatalf("compress with room for %d: %v", spare, err)
		}
		got, err := c.AppendExpand(dst, bytes.Clone(p[3:]), len(src))
		if err != nil || !bytes.Equal(got, append([]byte{0xa5, 0xa5, 0xa5}, src...)) {
			t.Errorf("expand with room for %d: got %d bytes, %v", spare, len(got), err)
		}
		if i := bytes.IndexFunc(memory[3+spare:], func(r rune) bool { return r == 0 }); i >= 0 || !bytes.Equal(memory[3+spare:], bytes.Repeat([]byte{0xa5}, len(memory)-3-spare)) {
			t.Errorf("with room for %d: bytes behind it were written", spare)
		}
		if got, err := c.AppendExpand(dst, []byte("nonsense"), 10); err == nil || len(got) != 3 {
			t.Errorf("expand nonsense: returned %d bytes, %v, want dst as it was and an error", len(got), err)
		}
	}
}

func testBound(t *testing.T, c compress.Codec) {
	for name, src := range Samples() {
		p := compressed(t, c, src)
		for _, max := range []int{-1, 0, 1, len(src) / 2, len(src) - 1, len(src), len(src) + 1, 1 << 30} {
			var want error
			if max < len(src) && len(src) > 0 {
				want = compress.ErrTooLarge
			}
			got, err := c.AppendExpand(nil, p, max)
			if !errors.Is(err, want) || err == nil && len(got) != len(src) {
				t.Errorf("%s of %d bytes with a bound of %d: got %d bytes, %v, want %v", name, len(src), max, len(got), err, want)
			}
		}
	}
}

// testBombs: a few bytes that stand for many cost no more than the bound allows.
func testBombs(t *testing.T, c compress.Codec) {
	const bomb, bound = 24 << 20, 1 << 20
	p := compressed(t, c, make([]byte, bomb))
	if len(p) > bomb/15 {
		t.Fatalf("zeros compressed to %d bytes are no bomb", len(p))
	}
	Bounded(t, 5*bound, func() {
		if _, err := c.AppendExpand(nil, p, bound); !errors.Is(err, compress.ErrTooLarge) {
			t.Errorf("a bomb: got %v, want ErrTooLarge", err)
		}
	})
	t.Logf("%d bytes that stand for %d: refused at %d", len(p), bomb, bound)
}

// Bounded runs f and fails if it allocated more than limit bytes, and a constant for what else the process does meanwhile and for a decoder that is
// made anew. Now and then that is more: only what allocates too much every time is at fault.
func Bounded(t testing.TB, limit uint64, f func()) {
	t.Helper()
	const constant, tries = 4 << 20, 10
	var got uint64
	for range tries {
		before := allocated()
		f()
		if got = allocated() - before; got <= limit+constant {
			return
		}
	}
	t.Errorf("%d bytes allocated, at most %d are due", got, limit+constant)
}

func allocated() uint64 {
	sample := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}

func testCutShort(t *testing.T, c compress.Codec) {
	src := Samples()["some text"]
	p := compressed(t, c, src)
	for n := range p {
		got, err := c.AppendExpand(nil, p[:n], len(src))
		if !errors.Is(err, compress.ErrCorrupt) || len(got) > 0 {
			t.Errorf("cut to %d of %d bytes: got %d bytes, %v, want ErrCorrupt", n, len(p), len(got), err)
		}
	}
}

// testFlips: damage is found or comes back as something else, within the bound; the codec is as good as before afterwards.
func testFlips(t *testing.T, c compress.Codec) {
	found := 0
	src := Samples()["some text"]
	p := compressed(t, c, src)
	for at := range p {
		p[at] ^= 1 << (at % 8)
		got, err := c.AppendExpand(nil, p, 2*len(src))
		p[at] ^= 1 << (at % 8)
		if len(got) > 2*len(src) || err != nil && (len(got) > 0 || !errors.Is(err, compress.ErrCorrupt) && !errors.Is(err, compress.ErrTooLarge)) {
			t.Errorf("byte %d flipped: got %d bytes, %v", at, len(got), err)
		}
		if err != nil {
			found++
		}
	}
	t.Logf("%d flips, %d of them found", len(p), found)
	if got, err := c.AppendExpand(nil, p, len(src)); err != nil || !bytes.Equal(got, src) {
		t.Errorf("after damage: got %d bytes, %v", len(got), err)
	}
}

func testGarbage(t *testing.T, c compress.Codec) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := range 200 {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		Check(t, c, p, 10_000)
	}
	if _, err := c.AppendExpand(nil, nil, 10); !errors.Is(err, compress.ErrCorrupt) {
		t.Errorf("no bytes: got %v, want ErrCorrupt", err)
	}
}

// Check expands arbitrary bytes, as fuzz targets do: what comes back is within the bound, and compresses and expands to itself.
func Check(t testing.TB, c compress.Codec, p []byte, max int) {
	t.Helper()
	got, err := c.AppendExpand(nil, p, max)
	switch {
	case err != nil && len(got) > 0, err == nil && len(got) > max:
		t.Fatalf("got %d bytes with a bound of %d, %v", len(got), max, err)
	case err != nil && !errors.Is(err, compress.ErrCorrupt) && !errors.Is(err, compress.ErrTooLarge):
		t.Fatalf("got %v, want ErrCorrupt or ErrTooLarge", err)
	case err != nil:
		return
	}
	again, err := c.AppendExpand(nil, compressed(t, c, got), len(got))
	if err != nil || !bytes.Equal(again, got) {
		t.Fatalf("%d bytes came back as %d, %v", len(got), len(again), err)
	}
}

func testConcurrent(t *testing.T, c compress.Codec) {
	samples := Samples()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for name, src := range samples {
				p, err := c.AppendCompress(nil, src)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				if got, err := c.AppendExpand(nil, p, len(src)); err != nil || !bytes.Equal(got, src) {
					t.Errorf("%s: got %d bytes, %v", name, len(got), err)
				}
			}
		})
	}
	all.Wait()
}
