package disk_test

import (
	"flag"
	"strconv"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// small holds few records in memory.
var small = disk.Options{MemoryBytes: 8 << 20}

func TestConformance(t *testing.T) {
	storagetest.Test(t, func(tb testing.TB) storagetest.Harness {
		dir := tb.TempDir()
		return storagetest.Harness{
			Open:        func() (storage.Store, error) { return disk.Open(dir+"/store", disk.Options{}) },
			Small:       func() (storage.Store, error) { return disk.Open(dir+"/small", small) },
			MemoryBytes: 2 * small.MemoryBytes,
			Histories:   3,
		}
	})
}

// TestConformanceOnMemfs is the suite with tiny files, in memory, and with crashes.
func TestConformanceOnMemfs(t *testing.T) {
	histories(t, sized(t, 40, 1000, 200_000), sized(t, 30, 50, 50))
	seed := uint64(0)
	storagetest.Test(t, func(tb testing.TB) storagetest.Harness {
		w := &weather{fs: memfs.New()}
		return storagetest.Harness{
			Open:        w.open,
			Small:       func() (storage.Store, error) { return disk.OpenFS(memfs.New(), small) },
			MemoryBytes: 2 * small.MemoryBytes,
			Crash: func() {
				seed++
				w.fs = w.fs.Crash(memfs.Modes()[int(seed)%len(memfs.Modes())], seed)
			},
			Doubts:  func(s storage.Store) bool { return disk.Resumed(s.(*disk.Store)) == disk.InDoubt },
			Jump:    func(by time.Duration) { w.off.Add(int64(by)) },
			Seal:    w.seal,
			Damage:  w.damage,
			Skip:    w.skip,
			Skipped: func(s storage.Store) []*storage.DamageError { return s.(*disk.Store).Damaged() },
		}
	})
}

// histories sets how many histories rapid makes for the model test, and how long they are about, unless somebody repeats a failure.
func histories(t *testing.T, checks, steps int) {
	for name, n := range map[string]int{"rapid.checks": checks, "rapid.steps": steps} {
		f := flag.Lookup(name)
		if was := f.Value.String(); was == f.DefValue {
			t.Cleanup(func() { f.Value.Set(was) })
			f.Value.Set(strconv.Itoa(n))
		}
	}
}
