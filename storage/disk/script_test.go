package disk_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/mem"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestOptionsDoNotShow plays random scripts on a store in memory and on stores on disk with other sizes and levels: what a caller sees is the same, also
// after a close (M36).
func TestOptionsDoNotShow(t *testing.T) {
	scripts, steps, seen := sized(t, 8, 200, 20_000), 60, 0
	for n := range scripts {
		seed := uint64(n)
		inMemory, err := mem.Open(mem.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := played(t, inMemory, func(*rand.Rand) storage.Strategy { return storage.Strategy{} }, seed, 0, steps)
		seen += strings.Count(want, "\n")
		if err := inMemory.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, options := range []uint64{2*seed + 1, 2*seed + 2} {
			fs, o := memfs.New(), drawOptions(newRand(options, 1))
			for life := range 2 {
				st, err := disk.OpenFS(fs, o)
				if err != nil {
					t.Fatalf("script %d, options %d, life %d: %v", seed, options, life, err)
				}
				var got string
				if life == 0 {
					got = played(t, st, durably, seed, options, steps)
				} else if got, err = storagetest.Visible(st, options); err != nil {
					t.Fatalf("script %d, options %d, opened again: %v", seed, options, err)
				}
				if got != want {
					t.Errorf("script %d, options %d %+v, life %d:\n%s\nin memory:\n%s", seed, options, o, life, got, want)
				}
				if err := st.Close(t.Context()); err != nil || t.Failed() {
					t.Fatalf("script %d, options %d: close: %v", seed, options, err)
				}
			}
		}
	}
	t.Logf("options: %d scripts of %d steps, 2 stores each: the same %d lines", scripts, steps, seen)
	if seen < 20*scripts {
		t.Error("hardly anything is to be seen: the loop is vacuous")
	}
}

func played(t *testing.T, st storage.Store, strategy func(*rand.Rand) storage.Strategy, seed, options uint64, steps int) string {
	t.Helper()
	script := storagetest.Script{Strategy: strategy}
	err := script.Play(st, seed, options, steps)
	if err != nil {
		t.Fatalf("script %d, options %d: %v", seed, options, err)
	}
	all, err := storagetest.Visible(st, options)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// durably draws how a topic is stored on disk.
func durably(rng *rand.Rand) storage.Strategy {
	s := storage.Strategy{
		Level: []storage.Level{storage.MemoryAndDisk, storage.DiskOnly, storage.Compressed}[rng.IntN(3)],
		Sync:  []storage.SyncPolicy{storage.SyncAlways, storage.SyncOS, storage.SyncInterval(1)}[rng.IntN(3)],
	}
	if s.Level == storage.Compressed {
		s.Compression.BlockBytes = 4 << 10 << rng.IntN(6)
	}
	return s
}

func drawOptions(rng *rand.Rand) disk.Options {
	o := disk.Options{MemoryBytes: 8 << 20 << rng.IntN(3), Tuning: disk.Tuning{
		SlotBytes: 64 << 10 << rng.IntN(5), Slots: 2 + rng.IntN(3), SegmentBytes: 64 << 10 << rng.IntN(5), SpillBytes: 8 << 10 << rng.IntN(8), OpenFiles: 4 + rng.IntN(100),
		CheckpointEvery: -1,
	}}
	o.Tuning.JournalBytes = 4 * o.Tuning.SlotBytes
	return o
}
