package disk_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestMendJournalHole fills a hole that damage of the journal left from a copy of the directory that was made before the damage.
func TestMendJournalHole(t *testing.T) {
	fs, _, lastGroup := journalOnly(t, storage.SyncAlways, 60)
	want, err := everything(fs.Clone(memfs.Everything, 1))
	if err != nil {
		t.Fatal(err)
	}
	content, err := fs.Contents("journal/00")
	if err != nil {
		t.Fatal(err)
	}
	a := newTally()
	for i, f := range framesOf(t, content) {
		if f.Count == 0 || f.from >= lastGroup || i%8 != 0 {
			continue
		}
		im, want := fs.Clone(memfs.SyncedOnly, 1), maps.Clone(want)
		if err := im.FlipBit("journal/00", f.from+70, 3); err != nil {
			t.Fatal(err)
		}
		where := fmt.Sprint("frame ", i)
		st, err := open(im)
		if err != nil {
			t.Fatal(err)
		}
		if skipped := i%16 == 0; skipped {
			if err := st.Skip(t.Context(), storage.PartitionID(f.Partition), f.Base, f.Header.Next()); err != nil {
				a.wrong("%s: skip: %v", where, err)
			}
		}
		r, err := st.MendFS(t.Context(), fs.Clone(memfs.Everything, 1), disk.MendOptions{})
		if err != nil || len(r.Mended) != 1 || len(r.Left) > 0 || len(st.Damaged()) > 0 {
			a.wrong("%s: %+v, %v; damaged still: %v", where, r, err, st.Damaged())
		}
		a.count("mended", len(r.Mended))
		for life := range 3 {
			if holes := a.serves(st, want, where); len(holes) > 0 {
				a.wrong("%s, life %d: %v", where, life, holes)
			}
			a.ordinals(st, want, where)
			a.appends(st, want, where)
			if life == 0 {
				im = im.Clone(memfs.SyncedOnly, 1)
			}
			if err := st.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if st, err = open(im); err != nil {
				t.Fatal(err)
			}
		}
		st.Close(context.Background())
	}
	a.end(t, "journal holes mended", fmt.Sprint(a.get("mended")), "mended")
}

// TestMendCrash cuts the power at every change of a Mend: nothing is lost or served wrong, what is not mended yet is reported, and another Mend ends the work.
func TestMendCrash(t *testing.T) {
	a := newTally()
	for script := range sized(t, 2, 6, 30) {
		rng := newRand(uint64(script), 32)
		fs, _ := closed(t, 200+uint64(script%4))
		backup := fs.Clone(memfs.SyncedOnly, 1)
		want, err := everything(fs.Clone(memfs.SyncedOnly, 1))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := harm(fs, backup, rng); err != nil {
				t.Fatal(err)
			}
		}
		for _, im := range mendImages(t, fs, backup, uint64(script)) {
			a.count("points", 1)
			st, err := open(im.fs)
			if err != nil {
				a.wrong("%s: %v", im.where, err)
				continue
			}
			if holes := a.serves(st, want, im.where); len(holes) > 0 {
				a.count("not mended yet", 1)
			}
			if r, err := st.MendFS(t.Context(), backup, disk.MendOptions{}); err != nil || len(r.Left) > 0 {
				a.wrong("%s: mended again: %+v, %v", im.where, r, err)
			}
			if holes := a.serves(st, want, im.where+", mended again"); len(holes) > 0 {
				a.wrong("%s: mended again, and %v", im.where, holes)
			}
			if err := st.Close(t.Context()); err != nil {
				a.wrong("%s: close: %v", im.where, err)
			}
		}
	}
	a.end(t, "crashed mend", fmt.Sprintf("%d crash points, %d not mended yet", a.get("points"), a.get("not mended yet")), "points", "not mended yet")
}

func mendImages(t *testing.T, fs, backup *memfs.FS, seed uint64) (images []image) {
	t.Helper()
	fs = fs.Clone(memfs.SyncedOnly, 1)
	st, err := open(fs)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close(context.Background())
	var mu sync.Mutex
	fs.OnOp(func(op vfs.Op) error {
		if !op.Kind.Changes() {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		s, mode := uint64(op.N), crashes[int(seed+uint64(op.N))%len(crashes)]
		images = append(images, image{fs: fs.Clone(mode, s), where: fmt.Sprintf("script %d, crash %v (image seed %d) at %v", seed, mode, s, op)})
		return nil
	})
	if _, err := st.MendFS(t.Context(), backup, disk.MendOptions{}); err != nil {
		t.Fatal(err)
	}
	fs.OnOp(nil)
	return images
}
