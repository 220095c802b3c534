package disk_test

import (
	"context"
	"hash/crc32"
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

// BenchmarkReplay opens a store of 64 MiB that was not closed, against reading its files and their sums.
func BenchmarkReplay(b *testing.B) {
	const entries, records = 640, 100
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		unclosed(b, dir, entries, records)
		raw := rawSum(b, dir)
		b.StartTimer()
		st, err := disk.Open(dir, disk.Options{})
		b.StopTimer()
		if err != nil {
			b.Fatal(err)
		}
		replayed, took := int(st.Report().Records), st.Report().Took
		if err := st.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		report(b, replayed, took, raw)
		b.StartTimer()
	}
}

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

// unclosed leaves a copy in dir of what a store has on disk while it is open.
func unclosed(b *testing.B, dir string, entries, records int) {
	b.Helper()
	from := b.TempDir()
	st, err := disk.Open(from, disk.Options{MemoryBytes: 512 << 20, Tuning: disk.Tuning{SpillBytes: 256 << 20, CheckpointEvery: -1}})
	if err != nil {
		b.Fatal(err)
	}
	e := benchEntry(benchTopic(b, st), records)
	for range entries {
		if _, err := st.Append(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		b.Fatal(err)
	}
	if err := st.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
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

// rawSum reads the journal below dir and sums it, and returns how long that took.
func rawSum(b *testing.B, dir string) time.Duration {
	b.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "journal", "*"))
	if err != nil || len(names) == 0 {
		b.Fatal("no journal: ", err)
	}
	began := time.Now()
	table := crc32.MakeTable(crc32.Castagnoli)
	for _, name := range names {
		bytes, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		crc32.Checksum(bytes, table)
	}
	return time.Since(began)
}

func report(b *testing.B, records int, ours, raw time.Duration) {
	b.Helper()
	b.ReportMetric(float64(records)/ours.Seconds(), "msg/s")
	b.ReportMetric(float64(records)/raw.Seconds(), "raw-msg/s")
	b.ReportMetric(raw.Seconds()/ours.Seconds(), "ratio")
}
