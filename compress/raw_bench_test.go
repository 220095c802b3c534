package compress_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	kgzip "github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	kzstd "github.com/klauspost/compress/zstd"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/compress/compresstest"
)

// BenchmarkAgainstRaw sets each codec beside the bare calls that it is made of, with an encoder or decoder and memory of their own that are used again. The two take turns in slices; ratio is the
// median, over neighbouring slices, of how many times as fast the codec is.
func BenchmarkAgainstRaw(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 256 << 10} {
		src := compresstest.Samples()["text"][:size]
		for _, c := range codecs() {
			packed, err := c.AppendCompress(nil, src)
			if err != nil {
				b.Fatal(err)
			}
			compressRaw, expandRaw := raw(b, c.ID())
			b.Run(fmt.Sprintf("compress/%s/%dKiB", c.Name(), size>>10), func(b *testing.B) {
				inTurn(b, size, func(dst []byte) []byte {
					dst, _ = c.AppendCompress(dst, src)
					return dst
				}, func(dst []byte) []byte { return compressRaw(dst, src) })
			})
			b.Run(fmt.Sprintf("expand/%s/%dKiB", c.Name(), size>>10), func(b *testing.B) {
				inTurn(b, size, func(dst []byte) []byte {
					dst, err = c.AppendExpand(dst, packed, size)
					if err != nil {
						b.Fatal(err)
					}
					return dst
				}, func(dst []byte) []byte { return expandRaw(dst, packed) })
			})
		}
	}
}

// raw returns the bare calls, with the options that the codec has.
func raw(b *testing.B, id compress.ID) (compressRaw, expandRaw func(dst, src []byte) []byte) {
	decode := func(dst, src []byte) []byte {
		n, err := s2.DecodedLen(src)
		if err != nil {
			b.Fatal(err)
		}
		dst, err = s2.Decode(slices.Grow(dst, n)[:n], src)
		if err != nil {
			b.Fatal(err)
		}
		return dst
	}
	switch id {
	case compress.IDSnappy:
		return func(dst, src []byte) []byte { return s2.EncodeSnappy(dst[:cap(dst)], src) }, decode
	case compress.IDS2:
		return func(dst, src []byte) []byte { return s2.Encode(dst[:cap(dst)], src) }, decode
	case compress.IDGzip:
		return rawGzip(b)
	}
	e, err := kzstd.NewWriter(nil, kzstd.WithEncoderConcurrency(1), kzstd.WithEncoderCRC(false), kzstd.WithLowerEncoderMem(true))
	if err != nil {
		b.Fatal(err)
	}
	d, err := kzstd.NewReader(nil, kzstd.WithDecoderConcurrency(1), kzstd.WithDecoderLowmem(true))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(d.Close)
	return func(dst, src []byte) []byte { return e.EncodeAll(src, dst) }, func(dst, src []byte) []byte {
		dst, err := d.DecodeAll(src, dst)
		if err != nil {
			b.Fatal(err)
		}
		return dst
	}
}

func rawGzip(b *testing.B) (compressRaw, expandRaw func(dst, src []byte) []byte) {
	w, r, in := kgzip.NewWriter(nil), new(kgzip.Reader), new(bytes.Reader)
	compressRaw = func(dst, src []byte) []byte {
		out := sink{dst}
		w.Reset(&out)
		w.Write(src)
		w.Close()
		return out.p
	}
	return compressRaw, func(dst, src []byte) []byte {
		in.Reset(src)
		if err := r.Reset(in); err != nil {
			b.Fatal(err)
		}
		out := bytes.NewBuffer(dst)
		if _, err := out.ReadFrom(r); err != nil {
			b.Fatal(err)
		}
		return out.Bytes()
	}
}

// inTurn measures ours, and reports how it compares with limit.
func inTurn(b *testing.B, size int, ours, limit func(dst []byte) []byte) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.StopTimer()
	b.ResetTimer()
	slice := func(f func([]byte) []byte, n int, out []byte) (time.Duration, []byte) {
		began := time.Now()
		for range n {
			out = f(out[:0])
		}
		return time.Since(began), out
	}
	const most = 51
	parts := min(most, b.N)
	var ratios []float64
	var a, c []byte
	for i := range parts {
		n := b.N*(i+1)/parts - b.N*i/parts
		var own, other time.Duration
		other, c = slice(limit, n, c)
		b.StartTimer()
		own, a = slice(ours, n, a)
		b.StopTimer()
		ratios = append(ratios, float64(other)/float64(own))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}

// BenchmarkFanOut is one payload of 16 KiB that goes to 8 places: compressed for each; as a cache would have it, compressed once and found 7 times by its hash; and packed once by who
// has it in hand.
func BenchmarkFanOut(b *testing.B) {
	src := compresstest.Samples()["text"][:16<<10]
	const places = 8
	for _, c := range codecs() {
		b.Run(c.Name()+"/each", func(b *testing.B) {
			measure(b, src, func(dst []byte) []byte {
				for range places {
					dst, _ = c.AppendCompress(dst[:0], src)
				}
				return dst
			})
		})
		b.Run(c.Name()+"/cache", func(b *testing.B) {
			cache := map[[32]byte][]byte{}
			measure(b, src, func(dst []byte) []byte {
				clear(cache)
				for range places {
					key := sha256.Sum256(src)
					packed, ok := cache[key]
					if !ok {
						packed, _ = c.AppendCompress(dst[:0], src)
						cache[key] = packed
					}
					dst = packed
				}
				return dst
			})
		})
		b.Run(c.Name()+"/once", func(b *testing.B) {
			measure(b, src, func(dst []byte) []byte {
				dst, _ = c.AppendCompress(dst[:0], src)
				return dst
			})
		})
	}
}
