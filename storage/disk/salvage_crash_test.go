package disk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestSalvageCrash cuts the power, in every way, at every operation of a salvage that changes the disk: what is left opens with what the salvage keeps, or
// is refused, and another salvage keeps the same.
func TestSalvageCrash(t *testing.T) {
	crashSalvages(t, "crashed salvage", ruinedStore)
}

// TestSalvageResumedCrash does the same to stores that were killed and resumed several times, so that the journal has several epochs, and then ruined in several places.
func TestSalvageResumedCrash(t *testing.T) {
	crashSalvages(t, "crashed salvage of what was resumed", resumedStore)
}

func crashSalvages(t *testing.T, name string, ruined func(t *testing.T, seed uint64) *memfs.FS) {
	t.Helper()
	a := newTally()
	for script := range sized(t, 3, 8, 30) {
		damaged := ruined(t, uint64(script))
		whole := damaged.Clone(memfs.SyncedOnly, 1)
		if r, err := salvage(whole); err != nil || !r.Damaged {
			t.Fatal(r, err)
		}
		want := after(t, whole)
		for _, im := range salvageImages(t, damaged, uint64(script)) {
			a.count("points", 1)
			st, err := open(im.fs)
			if err != nil {
				var damage *storage.DamageError
				if !errors.As(err, &damage) {
					a.wrong("%s: %v", im.where, err)
					continue
				}
				a.count("again", 1)
				if _, err := salvage(im.fs); err != nil {
					a.wrong("%s: salvaged again: %v", im.where, err)
					continue
				}
			} else {
				st.Close(context.Background())
			}
			got := after(t, im.fs)
			for i := range max(len(got), len(want)) {
				if i >= len(got) || i >= len(want) || got[i] != want[i] {
					a.wrong("%s: %d lines, want %d; line %d differs", im.where, len(got), len(want), i)
					break
				}
			}
		}
	}
	a.end(t, name, fmt.Sprintf("%d crash points, %d salvaged again", a.get("points"), a.get("again")), "points", "again")
}

// ruinedStore returns a store with segments and a journal behind its checkpoint, killed, whose journal is ruined in the middle.
func ruinedStore(t *testing.T, seed uint64) *memfs.FS {
	t.Helper()
	rng := newRand(seed, 21)
	for try := uint64(0); ; try++ {
		fs, h := closed(t, 100+seed)
		st, err := open(fs)
		if err != nil {
			t.Fatal(err)
		}
		if err := fill(st, h, 900+seed+100*try, 40); err != nil {
			t.Fatal(err)
		}
		im := fs.Clone(memfs.Everything, 1)
		st.Close(context.Background())
		if ruined := ruinJournal(t, im, rng, 1); ruined != nil {
			return ruined
		}
	}
}

// resumedStore returns a store that was killed and resumed several times, and killed again; its journal is ruined in several places.
func resumedStore(t *testing.T, seed uint64) *memfs.FS {
	t.Helper()
	rng, o := newRand(seed, 22), tiny()
	for try := uint64(0); ; try++ {
		fs, h := closed(t, 300+seed)
		for life := range uint64(4) {
			st, err := disk.OpenFS(fs, o)
			must(t, err)
			must(t, run(st, h, 900+seed+100*try+10*life, 20))
			killed := fs.Clone(memfs.Everything, 1)
			st.Close(context.Background())
			fs = killed
		}
		if ruined := ruinJournal(t, fs, rng, 3); ruined != nil {
			return ruined
		}
	}
}

// ruinJournal zeroes so many ranges of the journal, so that an open is refused; it returns nil if it comes upon none of which this is true.
func ruinJournal(t *testing.T, fs *memfs.FS, rng *rand.Rand, ranges int) *memfs.FS {
	t.Helper()
	var names []string
	for _, name := range fs.Files() {
		if strings.HasPrefix(name, "journal/") {
			names = append(names, name)
		}
	}
	for range 50 {
		ruined := fs.Clone(memfs.Everything, 1)
		for range ranges {
			must(t, ruined.ZeroRange(names[rng.IntN(len(names))], 4096+rng.Int64N(50<<10), 1+rng.Int64N(4000)))
		}
		ruined = ruined.Clone(memfs.SyncedOnly, 1)
		st, err := open(ruined.Clone(memfs.Everything, 1))
		var refused *storage.JournalError
		if errors.As(err, &refused) {
			return ruined
		}
		if err == nil {
			st.Close(context.Background())
		}
	}
	return nil
}

// salvageImages runs a salvage and returns what a crash at each of its changes leaves.
func salvageImages(t *testing.T, damaged *memfs.FS, seed uint64) (images []image) {
	t.Helper()
	fs := damaged.Clone(memfs.Everything, 1)
	var mu sync.Mutex // segments are synced by several goroutines
	fs.OnOp(func(op vfs.Op) error {
		if !op.Kind.Changes() {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		rng := newRand(seed, uint64(op.N))
		for _, i := range rng.Perm(len(crashes))[:sized(t, 1, 3, len(crashes))] {
			s := rng.Uint64()
			images = append(images, image{fs: fs.Clone(crashes[i], s), where: fmt.Sprintf("script %d, crash %v (image seed %d) at %v", seed, crashes[i], s, op)})
		}
		return nil
	})
	if _, err := salvage(fs); err != nil {
		t.Fatal(err)
	}
	fs.OnOp(nil)
	return images
}

// after reads all of a store, around its holes.
func after(t *testing.T, fs vfs.FS) (all []string) {
	t.Helper()
	st, err := open(fs)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close(context.Background())
	for _, topic := range st.Topics() {
		for i := range topic.Partitions {
			p := topic.Partition(i)
			records, holes, err := around(st, p)
			if err != nil {
				t.Fatal(err)
			}
			line := fmt.Sprint(topic.Name, p, len(records))
			for _, r := range records {
				line += fmt.Sprint(" ", r.Offset, string(r.Value[:min(8, len(r.Value))]))
			}
			for _, h := range holes {
				line += fmt.Sprintf(" hole %d to %d", h.First, h.Next)
			}
			for _, g := range st.Groups() {
				c, ok := st.Cursor(g.ID, p)
				line += fmt.Sprint(" ", g.Name, c, ok)
			}
			all = append(all, line)
		}
	}
	return all
}
