package segment_test

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
)

// BenchmarkRead reads a segment of 64 MiB from the page cache, start to end, and compares it in the same run with the bare work, reads and a CRC-32C of
// all bytes: ReadInto with one buffer, which stays in the processor's cache (ratio), and Read with a new buffer each time (fresh-ratio).
func BenchmarkRead(b *testing.B) {
	for _, value := range []int{100, 1000, 100_000} {
		for _, chunk := range []int{64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("value=%d/read=%dKiB", value, chunk>>10), func(b *testing.B) { benchmarkRead(b, value, chunk) })
		}
	}
}

func benchmarkRead(b *testing.B, value, chunk int) {
	fs, err := osfs.Open(b.TempDir())
	must(b, err)
	defer fs.Close()
	d := segment.NewDir(fs, identity, 0)
	defer d.Close()
	g, err := d.Create(partition, 1, 0, 0, 3)
	must(b, err)
	const size = 64 << 20
	for next := int64(0); g.Meta().Length < size; {
		l := newLog(next, next)
		var frames []byte
		for len(frames) < 1<<20 {
			frames = append(frames, l.make(plain(max(1, 16_000/value), value))...)
		}
		must(b, g.Append(frames))
		next = l.next
	}
	m := g.Meta()
	f, err := fs.Open(g.Name(), vfs.ReadOnly)
	must(b, err)
	defer f.Close()
	one := make([]byte, chunk)
	var raw, fresh, read, into time.Duration
	buf := make([]byte, 2*chunk)
	b.ReportAllocs()
	for b.Loop() {
		raw += timed(func() { must(b, rawRead(f, func() []byte { return one }, m.Length)) })
		fresh += timed(func() { must(b, rawRead(f, func() []byte { return make([]byte, chunk) }, m.Length)) })
		into += timed(func() {
			readThrough(b, &m, func(from int64) ([]byte, error) { return g.ReadInto(&buf, from, chunk) })
		})
		read += timed(func() {
			readThrough(b, &m, func(from int64) ([]byte, error) { return g.Read(from, chunk) })
		})
	}
	b.ReportMetric(float64(m.Length)/1e6*float64(b.N)/raw.Seconds(), "raw-MB/s")
	b.ReportMetric(float64(m.Length)/1e6*float64(b.N)/into.Seconds(), "read-MB/s")
	b.ReportMetric(raw.Seconds()/into.Seconds(), "ratio")
	b.ReportMetric(fresh.Seconds()/read.Seconds(), "fresh-ratio")
}

func readThrough(b *testing.B, m *segment.Meta, read func(from int64) ([]byte, error)) {
	for from := int64(0); from < m.Next; {
		got, err := read(from)
		must(b, err)
		from = nextOf(got)
	}
}

func timed(work func()) time.Duration {
	start := time.Now()
	work()
	return time.Since(start)
}

func rawRead(f vfs.File, buffer func() []byte, length int64) error {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := uint32(0)
	for pos := int64(0); pos < length; {
		buf := buffer()
		buf = buf[:min(int64(len(buf)), length-pos)]
		if _, err := f.ReadAt(buf, pos); err != nil {
			return err
		}
		sum = crc32.Update(sum, table, buf)
		pos += int64(len(buf))
	}
	return nil
}

// BenchmarkReadBlocks reads log lines from compressed segments in the page cache: start to end, beside the same from the segment that they were made of
// (ratio), and in single reads at random offsets.
func BenchmarkReadBlocks(b *testing.B) {
	for _, codec := range []compress.ID{compress.IDS2, compress.IDZstd} {
		b.Run(codec.String(), func(b *testing.B) {
			fs, err := osfs.Open(b.TempDir())
			must(b, err)
			defer fs.Close()
			d := segment.NewDir(fs, identity, 0)
			defer d.Close()
			g, err := d.Create(partition, 1, 0, 0, 3)
			must(b, err)
			appendLines(b, g, 32<<20)
			must(b, g.Seal())
			began := time.Now()
			c, err := d.Rewrite(b.Context(), segment.Rewrite{Sources: []*segment.Segment{g}, File: 2, Codec: codec})
			must(b, err)
			speed := float64(g.Meta().Length) / time.Since(began).Seconds() / 1e6
			b.Run("all", func(b *testing.B) {
				var plain time.Duration
				var buf []byte
				m := g.Meta()
				b.SetBytes(g.Meta().Length)
				for b.Loop() {
					b.StopTimer()
					plain += timed(func() { readThrough(b, &m, func(from int64) ([]byte, error) { return g.ReadInto(&buf, from, 1<<20) }) })
					b.StartTimer()
					readThrough(b, &m, func(from int64) ([]byte, error) { return c.ReadInto(&buf, from, 1<<20) })
				}
				b.ReportMetric(plain.Seconds()/b.Elapsed().Seconds(), "ratio")
				b.ReportMetric(float64(c.Meta().Length)/float64(g.Meta().Length), "out/in")
				b.ReportMetric(speed, "rewritten-MB/s")
			})
			b.Run("random", func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 2))
				for b.Loop() {
					_, err := c.Read(rng.Int64N(c.Meta().Next), 4096)
					must(b, err)
				}
			})
		})
	}
}

// appendLines fills a segment with frames of ten log lines each.
func appendLines(b *testing.B, g *segment.Segment, size int64) {
	rng := rand.New(rand.NewPCG(3, 4))
	for next := int64(0); g.Meta().Length < size; {
		var frames []byte
		for len(frames) < 1<<20 {
			var body []byte
			for range 10 {
				line := fmt.Sprintf("10.0.%d.%d - - [10/Oct/2026:13:55:%02d +0000] \"GET /item/%d HTTP/1.1\" 200 %d \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"",
					rng.IntN(256), rng.IntN(256), rng.IntN(60), rng.IntN(1000), rng.IntN(1<<16))
				body = frame.AppendRecord(body, &storage.Record{Value: []byte(line)})
			}
			h := frame.Header{
				Kind: frame.Batch, LSN: frame.At(1, uint64(next)), Base: next, Span: 10, Count: 10, Partition: uint32(partition), Time: 1e18 + next,
				BodyLen: uint32(len(body)), BodySum: identity.Seed.Sum(body),
			}
			p := make([]byte, h.Size())
			h.Put(p, identity.Seed)
			copy(p[frame.HeaderSize:], body)
			frames, next = append(frames, p...), h.Next()
		}
		must(b, g.Append(frames))
	}
}
