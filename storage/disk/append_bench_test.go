package disk_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

const benchRecord = 1 << 10

// BenchmarkAppend is the store alone, without queue and engine above it: one appender, records of 1 KiB that are in the operating system on
// return. Beside it, in turn, a write call for each entry into a file that was written before.
func BenchmarkAppend(b *testing.B) {
	for _, records := range []int{1, 100} {
		b.Run(strconv.Itoa(records)+" records", func(b *testing.B) {
			st, p := benchStore(b)
			defer st.Close(context.Background())
			e := benchEntry(p, records)
			raw := newRawFile(b, records*(benchRecord+16))
			b.SetBytes(int64(records * benchRecord))
			b.ReportAllocs()
			b.ResetTimer()
			var rawTook time.Duration
			for i := range b.N {
				if _, err := st.Append(b.Context(), e); err != nil {
					b.Fatal(err)
				}
				if i%benchSlice == benchSlice-1 || i == b.N-1 {
					b.StopTimer()
					rawTook += raw.writes(b, i%benchSlice+1)
					b.StartTimer()
				}
			}
			b.StopTimer()
			report(b, b.N*records, b.Elapsed(), rawTook)
		})
	}
}

// benchSlice is how many entries are appended before the raw file has its turn.
const benchSlice = 1000

func benchStore(b *testing.B) (*disk.Store, storage.PartitionID) {
	b.Helper()
	st, err := disk.Open(b.TempDir(), disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return st, benchTopic(b, st)
}

func benchTopic(b *testing.B, st *disk.Store) storage.PartitionID {
	b.Helper()
	t, err := st.CreateTopic(b.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Sync: storage.SyncOS}})
	if err != nil {
		b.Fatal(err)
	}
	return t.Partition(0)
}

func benchEntry(p storage.PartitionID, records int) *storage.Entry {
	rs := make([]storage.Record, records)
	for i := range rs {
		rs[i].Value = make([]byte, benchRecord)
	}
	return &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: rs}}}
}

// rawFile is a file that was written once and is written over.
type rawFile struct {
	*os.File
	entry []byte
	at    int64
}

const rawBytes = 64 << 20

func newRawFile(b *testing.B, entry int) *rawFile {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt(make([]byte, rawBytes), 0); err != nil {
		b.Fatal(err)
	}
	return &rawFile{File: f, entry: make([]byte, entry)}
}

// writes makes n write calls of an entry each and returns how long they took.
func (f *rawFile) writes(b *testing.B, n int) time.Duration {
	b.Helper()
	began := time.Now()
	for range n {
		if f.at+int64(len(f.entry)) > rawBytes {
			f.at = 0
		}
		if _, err := f.WriteAt(f.entry, f.at); err != nil {
			b.Fatal(err)
		}
		f.at += int64(len(f.entry))
	}
	return time.Since(began)
}

func report(b *testing.B, records int, ours, raw time.Duration) {
	b.Helper()
	b.ReportMetric(float64(records)/ours.Seconds(), "msg/s")
	b.ReportMetric(float64(records)/raw.Seconds(), "raw-msg/s")
	b.ReportMetric(raw.Seconds()/ours.Seconds(), "ratio")
}
