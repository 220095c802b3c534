package frame_test

import (
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// The limit of each benchmark is the sum of the same bytes alone: nothing that is checked can be faster. raw/op is what the limit takes;
// x-raw is how many times as long the benchmark takes.

var sizes = []struct{ size, records int }{{128, 1}, {1024, 1}, {128, 100}, {1024, 100}}

func sized(size, n int) []storage.Record {
	records := make([]storage.Record, n)
	for i := range records {
		records[i] = storage.Record{Key: []byte("customer"), Value: make([]byte, size-8), Timestamp: time.Unix(1700000000, int64(i))}
	}
	return records
}

func BenchmarkEncode(b *testing.B) {
	for _, s := range sizes {
		b.Run(fmt.Sprintf("%dx%dB", s.records, s.size), func(b *testing.B) {
			records := sized(s.size, s.records)
			h, body := encode(1000, 1700000000, records)
			h.LSN = frame.At(1, 1)
			p := make([]byte, 0, frame.Size(len(body))+frame.HeaderSize)
			run(b, frame.HeaderSize+len(body), func() {
				p = p[:frame.HeaderSize]
				for i := range records {
					p = frame.AppendRecord(p, &records[i])
				}
				h.BodyLen, h.BodySum = uint32(len(p)-frame.HeaderSize), seed.Sum(p[frame.HeaderSize:])
				h.Put(p, seed)
			})
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, s := range sizes {
		b.Run(fmt.Sprintf("%dx%dB", s.records, s.size), func(b *testing.B) {
			h, body := encode(1000, 1700000000, sized(s.size, s.records))
			p := assemble(h, body, seed)
			records := make([]storage.Record, 0, s.records)
			run(b, frame.HeaderSize+len(body), func() {
				h, body, _, err := frame.Next(p, seed)
				if err == nil {
					records, err = frame.DecodeRecords(records[:0], &h, body, 0)
				}
				if err != nil || len(records) != s.records {
					b.Fatal(len(records), err)
				}
			})
		})
	}
}

// BenchmarkSearch is the search for frames of an epoch in bytes that hold none.
func BenchmarkSearch(b *testing.B) {
	p := make([]byte, 1<<20)
	for i := range p {
		p[i] = byte(i * 7 >> 3)
	}
	run(b, len(p), func() {
		for at := 0; at+frame.HeaderSize <= len(p); at += 8 {
			if frame.Resembles(p[at:], 77) {
				b.Fatal(at)
			}
		}
	})
}

// run measures work on n bytes, and the sum of n bytes beside it.
func run(b *testing.B, n int, work func()) {
	b.ReportAllocs()
	b.SetBytes(int64(n))
	for b.Loop() {
		work()
	}
	worked, rounds := b.Elapsed(), b.N
	p, table := make([]byte, n), crc32.MakeTable(crc32.Castagnoli)
	sum, start := uint32(0), time.Now()
	for range rounds {
		sum = crc32.Update(sum, table, p)
	}
	raw := max(time.Since(start), 1)
	if sum == 0 {
		b.Log("the sum of zeros is zero")
	}
	b.ReportMetric(float64(raw)/float64(rounds), "raw-ns/op")
	b.ReportMetric(float64(worked)/float64(raw), "x-raw")
}
