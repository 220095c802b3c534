package compress_test

import (
	"testing"

	kgzip "github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	kzstd "github.com/klauspost/compress/zstd"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/compress/compresstest"
)

// BenchmarkExpand and BenchmarkCompress measure each codec on 256 KiB of log lines beside the bare calls that it is made of.
func BenchmarkCompress(b *testing.B) {
	src := compresstest.Samples()["text"][:256<<10]
	for _, c := range []compress.Codec{compress.Gzip(0), compress.Snappy(), compress.S2(0), compress.Zstd(0)} {
		b.Run(c.Name(), func(b *testing.B) {
			measure(b, src, func(dst []byte) []byte {
				dst, _ = c.AppendCompress(dst, src)
				return dst
			})
		})
	}
	b.Run("bare s2", func(b *testing.B) {
		buf := make([]byte, s2.MaxEncodedLen(len(src)))
		measure(b, src, func([]byte) []byte { return s2.Encode(buf, src) })
	})
	b.Run("bare zstd", func(b *testing.B) {
		e, err := kzstd.NewWriter(nil, kzstd.WithEncoderConcurrency(1))
		if err != nil {
			b.Fatal(err)
		}
		measure(b, src, func(dst []byte) []byte { return e.EncodeAll(src, dst) })
	})
	b.Run("bare gzip", func(b *testing.B) {
		w := kgzip.NewWriter(nil)
		measure(b, src, func(dst []byte) []byte {
			out := sink{dst}
			w.Reset(&out)
			w.Write(src)
			w.Close()
			return out.p
		})
	})
}

type sink struct{ p []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.p = append(s.p, p...)
	return len(p), nil
}

func BenchmarkExpand(b *testing.B) {
	src := compresstest.Samples()["text"][:256<<10]
	for _, c := range []compress.Codec{compress.Gzip(0), compress.Snappy(), compress.S2(0), compress.Zstd(0)} {
		p, err := c.AppendCompress(nil, src)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.Name(), func(b *testing.B) {
			measure(b, src, func(dst []byte) []byte {
				if dst, err = c.AppendExpand(dst, p, len(src)); err != nil {
					b.Fatal(err)
				}
				return dst
			})
		})
		if c.ID() != compress.IDZstd {
			continue
		}
		b.Run("bare zstd", func(b *testing.B) {
			d, err := kzstd.NewReader(nil, kzstd.WithDecoderConcurrency(1))
			if err != nil {
				b.Fatal(err)
			}
			measure(b, src, func(dst []byte) []byte {
				if dst, err = d.DecodeAll(p, dst); err != nil {
					b.Fatal(err)
				}
				return dst
			})
		})
	}
}

// measure calls f with the same memory again and again.
func measure(b *testing.B, src []byte, f func(dst []byte) []byte) {
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	var out []byte
	for b.Loop() {
		out = f(out[:0])
	}
	b.ReportMetric(float64(len(out))/float64(len(src)), "out/in")
}
