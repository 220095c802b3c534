package disk_test

import (
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/leatmq/leat/storage/disk"
)

// BenchmarkReplay opens what a store that was killed has left, after 64 MiB were appended, 512 MiB with LEAT_LOOPS=full. Beside it, reading as many bytes
// as were replayed into one buffer and summing them: a checkpoint that was made meanwhile has taken the rest of the journal, and it does not count.
func BenchmarkReplay(b *testing.B) {
	mib := sized(b, 64, 64, 512)
	left := b.TempDir()
	unclosed(b, left, mib)
	b.Run(strconv.Itoa(mib)+" MiB", func(b *testing.B) {
		var records int
		var ours, raw time.Duration
		for b.Loop() {
			b.StopTimer()
			dir := filepath.Join(b.TempDir(), "copy")
			if err := os.CopyFS(dir, os.DirFS(left)); err != nil {
				b.Fatal(err)
			}
			took, summed := rawSum(b, dir)
			b.StartTimer()
			st, err := disk.Open(dir, unclosedOptions(mib))
			b.StopTimer()
			if err != nil {
				b.Fatal(err)
			}
			replayed := int(st.Report().Records)
			records += replayed
			raw += time.Duration(float64(took) * float64(replayed*benchRecord) / float64(summed))
			ours += st.Report().Took
			if err := errors.Join(st.Close(b.Context()), os.RemoveAll(dir)); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		report(b, records, ours, raw)
		b.ReportMetric(float64(records*benchRecord)/float64(b.N)/(1<<20), "replayed-MiB")
	})
}

// unclosedOptions are those of a store whose journal grows to so many MiB without a checkpoint.
func unclosedOptions(mib int) disk.Options {
	return disk.Options{Tuning: disk.Tuning{JournalBytes: int64(mib) << 23, CheckpointEvery: -1}}
}

// unclosed leaves a copy in dir of what a store has on disk while it is open.
func unclosed(b *testing.B, dir string, mib int) {
	b.Helper()
	const records = 100
	from := b.TempDir()
	st, err := disk.Open(from, unclosedOptions(mib))
	if err != nil {
		b.Fatal(err)
	}
	e := benchEntry(benchTopic(b, st), records)
	for range mib << 20 / (records * benchRecord) {
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

// rawSum reads the journal below dir and sums it, and returns how long that took, and how many bytes they are.
func rawSum(b *testing.B, dir string) (took time.Duration, bytes int) {
	b.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "journal", "*"))
	if err != nil || len(names) == 0 {
		b.Fatal("no journal: ", err)
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	buf := make([]byte, 256<<10)
	began := time.Now()
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		for n := 1; n > 0; {
			if n, err = f.Read(buf); err != nil && err != io.EOF {
				b.Fatal(err)
			}
			crc32.Checksum(buf[:n], table)
			bytes += n
		}
		f.Close()
	}
	return time.Since(began), bytes
}
