package disk_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// BenchmarkReplay opens what a store that was killed has left, after 64 MiB were appended, 512 MiB with LEAT_LOOPS=full, under each sync policy and in entries of
// 1 and 100 records. Beside it, reading the journal's files into one buffer and summing them, in proportion to what was replayed.
func BenchmarkReplay(b *testing.B) {
	mib := sized(b, 64, 64, 512)
	for _, c := range []struct {
		name    string
		sync    storage.SyncPolicy
		records int
	}{{"SyncAlways, 100 a call", storage.SyncAlways, 100}, {"SyncOS, 100 a call", storage.SyncOS, 100}, {"SyncOS, 1 a call", storage.SyncOS, 1}} {
		b.Run(fmt.Sprintf("%d MiB, %s", mib, c.name), func(b *testing.B) {
			left := b.TempDir()
			unclosed(b, left, mib, c.sync, c.records)
			var records int
			var ours, raw time.Duration
			for b.Loop() {
				b.StopTimer()
				dir := filepath.Join(b.TempDir(), "copy")
				copied(b, dir, left)
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
}

// unclosedOptions are those of a store whose journal takes so many MiB, and what is around them, without a checkpoint.
func unclosedOptions(mib int) disk.Options {
	slot := int64(mib) << 20 / 8
	return disk.Options{Tuning: disk.Tuning{SlotBytes: slot, Slots: 10, JournalBytes: 80 * slot, CheckpointEvery: -1}}
}

// unclosed leaves a copy in dir of what a store has on disk while it is open.
func unclosed(b *testing.B, dir string, mib int, sync storage.SyncPolicy, records int) {
	b.Helper()
	from := b.TempDir()
	st, err := disk.Open(from, unclosedOptions(mib))
	if err != nil {
		b.Fatal(err)
	}
	t, err := st.CreateTopic(b.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Sync: sync}})
	if err != nil {
		b.Fatal(err)
	}
	e := benchEntry(t.Partition(0), records)
	for range mib << 20 / (records * benchRecord) {
		if _, err := st.Append(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
	copied(b, dir, from)
	if err := st.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// copied makes dir a copy of from, synced: else whoever syncs first after that would wait for all of it.
func copied(b *testing.B, dir, from string) {
	b.Helper()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		b.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
	if err != nil {
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
