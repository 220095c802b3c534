package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// crashed makes an image of fsys at every change while do runs, and one of what was synced at the end.
func crashed(t *testing.T, fsys *memfs.FS, seed uint64, do func() error) (images []image) {
	t.Helper()
	rng := newRand(seed, 11)
	var mu sync.Mutex
	fsys.OnOp(func(op vfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind.Changes() {
			mode, imageSeed := crashes[rng.IntN(len(crashes))], rng.Uint64()
			where := fmt.Sprintf("seed %d, crash %v (image seed %d) at %v", seed, mode, imageSeed, op)
			images = append(images, image{fs: fsys.Clone(mode, imageSeed), seed: imageSeed, where: where})
		}
		return nil
	})
	defer fsys.OnOp(nil)
	must(t, do())
	return append(images, image{fs: fsys.Clone(memfs.SyncedOnly, seed), seed: seed, where: fmt.Sprintf("seed %d, power lost at the end", seed)})
}

// TestSnapshotCrash cuts the power at every change that a snapshot makes on either side: the store is what it was, the snapshot is whole or
// says that it is not, and can be made again.
func TestSnapshotCrash(t *testing.T) {
	a := newTally()
	for seed := range uint64(sized(t, 2, 10, 60)) {
		fsys, h := memfs.New(), storagetest.NewHistory()
		st, err := open(fsys.Sub("store"))
		must(t, err)
		must(t, run(st, h, seed, 60))
		to := fsys.Sub("copy")
		images := crashed(t, fsys, seed, func() error {
			_, err := st.SnapshotFS(t.Context(), to, disk.SnapshotOptions{})
			return err
		})
		for _, im := range images {
			whole := a.afterCopy(im, h)
			then := h.Fork(h.Mark())
			a.check(im.fs.Sub("store"), then, storagetest.PowerLost, im.seed, im.where, func(st *disk.Store) {
				_, err := st.SnapshotFS(context.Background(), im.fs.Sub("copy"), disk.SnapshotOptions{})
				a.again(im, then, whole, errors.Join(err, st.Close(context.Background())))
			})
		}
		must(t, st.Close(t.Context()))
	}
	a.endCopies(t, "crashes in snapshots")
}

// TestRestoreCrash does the same to restores, of stores as a close or a kill left them.
func TestRestoreCrash(t *testing.T) {
	a := newTally()
	for seed := range uint64(sized(t, 2, 10, 60)) {
		left, h := stopped(t, seed)
		before := contents(t, left)
		fsys := memfs.New()
		images := crashed(t, fsys, seed, func() error {
			_, err := disk.RestoreFS(t.Context(), left, fsys.Sub("copy"), disk.RestoreOptions{})
			return err
		})
		for _, im := range images {
			whole := a.afterCopy(im, h)
			_, err := disk.RestoreFS(t.Context(), left, im.fs.Sub("copy"), disk.RestoreOptions{})
			a.again(im, h, whole, err)
		}
		if after := contents(t, left); !maps.EqualFunc(before, after, bytes.Equal) {
			t.Errorf("seed %d: the store that was restored is not what it was", seed)
		}
	}
	a.endCopies(t, "crashes in restores")
}

// afterCopy looks at a copy that a crash may have interrupted; it returns whether it is whole.
func (a *tally) afterCopy(im image, h *storagetest.History) (whole bool) {
	a.count("points", 1)
	to := im.fs.Sub("copy")
	st, err := disk.OpenReadOnlyFS(to, tiny())
	switch {
	case err == nil:
		a.count("whole", 1)
		a.judge(h.Fork(h.Mark()).Check(asBefore{st}, storagetest.Died, im.seed), im.where)
		if err := st.Close(context.Background()); err != nil {
			a.wrong("%s: %v", im.where, err)
		}
	case errors.Is(err, storage.ErrUnfinished):
		a.count("unfinished", 1)
		if _, err := open(to); !errors.Is(err, storage.ErrUnfinished) {
			a.wrong("%s: an unfinished copy opened for writing: %v", im.where, err)
		}
	case errors.Is(err, storage.ErrFormat):
		a.count("empty", 1)
	default:
		a.wrong("%s: the copy: %v", im.where, err)
	}
	return err == nil
}

// again looks at the copy that was made again: err is of that.
func (a *tally) again(im image, h *storagetest.History, whole bool, err error) {
	switch {
	case whole && !errors.Is(err, storage.ErrNotEmpty), !whole && err != nil:
		a.wrong("%s: made again: %v", im.where, err)
	case !whole:
		holds(a, im.fs.Sub("copy"), h, im.where+", made again")
	}
}

func (a *tally) endCopies(t *testing.T, name string) {
	t.Helper()
	line := fmt.Sprintf("%d crash points: %d empty, %d unfinished, %d whole", a.get("points"), a.get("empty"), a.get("unfinished"), a.get("whole"))
	a.end(t, name, line, "points", "empty", "unfinished", "whole")
}

// TestCopyFault has each operation on the directory of a snapshot, and of a restore, fail: there is an error and no copy, or a good one, and the
// store goes on.
func TestCopyFault(t *testing.T) {
	a := newTally()
	fsys, h := memfs.New(), storagetest.NewHistory()
	st, err := open(fsys)
	must(t, err)
	defer st.Close(t.Context())
	must(t, run(st, h, 5, 40))
	left, known := stopped(t, 0)
	copies := map[string]func(to vfs.FS) (*storagetest.History, error){
		"snapshot": func(to vfs.FS) (*storagetest.History, error) {
			_, err := st.SnapshotFS(t.Context(), to, disk.SnapshotOptions{})
			return h, err
		},
		"restore": func(to vfs.FS) (*storagetest.History, error) {
			_, err := disk.RestoreFS(t.Context(), left, to, disk.RestoreOptions{})
			return known, err
		},
	}
	stride, life := sized(t, 5, 3, 1), uint64(1<<32)
	for what, copied := range copies {
		for _, how := range failures {
			for k := 1; a.faulty(how, k, fmt.Sprintf("%s, %s, k %d", what, how.name, k), copied); k += stride {
				life++
				must(t, run(st, h, life, 1))
			}
		}
	}
	a.end(t, "faults in copies", fmt.Sprintf("%d faults, %d copies good all the same", a.get("injected"), a.get("good")), "injected", "good")
}

// faulty makes a copy whose k-th operation fails; it returns false if there is none.
func (a *tally) faulty(how failure, k int, where string, copied func(to vfs.FS) (*storagetest.History, error)) bool {
	inner := memfs.New()
	fault := how.fault
	fault.Nth = k
	fault.Before = func(vfs.Op) { inner.FailSync(how.sync) }
	to := errfs.New(inner, fault)
	h, err := copied(to)
	if to.Injected() == 0 {
		if err != nil {
			a.wrong("%s: %v", where, err)
		}
		return false
	}
	a.count("injected", to.Injected())
	kept := inner.Clone(memfs.SyncedOnly, 1)
	if err == nil {
		a.count("good", 1)
		holds(a, kept, h, where)
		return true
	}
	if _, err := disk.OpenReadOnlyFS(kept, tiny()); err == nil { // then it is one, and only its end was not reported well
		holds(a, kept, h, where)
	} else if !errors.Is(err, storage.ErrUnfinished) && !errors.Is(err, storage.ErrFormat) {
		a.wrong("%s, %v: the copy that was not made: %v", where, to.Hits()[0], err)
	}
	return true
}

// TestRestoreIdentity: what is restored goes its own way, once for each restore, and knows where it came from.
func TestRestoreIdentity(t *testing.T) {
	fsys := memfs.New()
	st, err := open(fsys)
	must(t, err)
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 2})
	must(t, err)
	lives := []uint64{topic.Incarnation}
	for life := range 20 {
		put(t, st, topic.Partition(0), 3)
		backup := memfs.New()
		_, err := st.SnapshotFS(t.Context(), backup, disk.SnapshotOptions{})
		must(t, err)
		put(t, st, topic.Partition(0), 2) // lost with the directory
		must(t, st.Close(t.Context()))
		to := memfs.New()
		_, err = disk.RestoreFS(t.Context(), backup, to, disk.RestoreOptions{})
		must(t, err)
		st, err = open(to)
		must(t, err)
		got, _ := st.Topic("t")
		if len(got.Past) != min(life+1, storage.MaxPast) || got.Incarnation == lives[life] {
			t.Fatalf("restored %d times: incarnation %x, past %v", life+1, got.Incarnation, got.Past)
		}
		if last := got.Past[len(got.Past)-1]; last.Incarnation != lives[life] || last.Next[0] != int64(3*(life+1)) || last.Next[1] != 0 {
			t.Errorf("restored %d times: the newest life is %v, want %x up to %d", life+1, last, lives[life], 3*(life+1))
		}
		lives = append(lives, got.Incarnation)
	}
	must(t, st.Close(t.Context()))
}

// TestRestoreOfUncleanCountsWhatIsThere: offsets that are left out after an unclean stop are of no record that the copy has.
func TestRestoreOfUnclean(t *testing.T) {
	fsys := memfs.New()
	st, err := open(fsys)
	must(t, err)
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Sync: storage.SyncOS}})
	must(t, err)
	put(t, st, topic.First, 7)
	killed := fsys.Clone(memfs.Everything, 1)
	must(t, st.Close(t.Context()))
	to := memfs.New()
	r, err := disk.RestoreFS(t.Context(), killed, to, disk.RestoreOptions{})
	if err != nil || r.Open.Records != 7 || r.Records != 7 {
		t.Fatalf("got %+v, %v, want 7 records of the journal", r, err)
	}
	st, err = open(to)
	must(t, err)
	defer st.Close(t.Context())
	got, _ := st.Topic("t")
	if b, err := st.Bounds(topic.First); err != nil || b.Next <= 7 || got.Past[0].Next[0] != 7 {
		t.Errorf("bounds %+v, %v; past %v", b, err, got.Past)
	}
}

// TestRestoreRefused: from nothing, from an unfinished copy, from what has an owner, into what is not empty, from what is damaged.
func TestRestoreRefused(t *testing.T) {
	good, h := stopped(t, 1)
	into := func(from vfs.FS) error {
		_, err := disk.RestoreFS(t.Context(), from, memfs.New(), disk.RestoreOptions{})
		return err
	}
	if err := into(memfs.New()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("from an empty directory: got %v, want %v", err, storage.ErrNotFound)
	}
	unfinished := good.Clone(memfs.Everything, 1)
	must(t, unfinished.SetContents("UNFINISHED", nil))
	if err := into(unfinished); !errors.Is(err, storage.ErrUnfinished) {
		t.Errorf("from an unfinished copy: got %v, want %v", err, storage.ErrUnfinished)
	}
	owned := good.Clone(memfs.Everything, 1)
	st, err := open(owned)
	must(t, err)
	if err := into(owned); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("from a store that is open: got %v, want %v", err, storage.ErrInUse)
	}
	must(t, st.Close(t.Context()))
	full := memfs.New()
	must(t, full.SetContents("x", nil))
	if _, err := disk.RestoreFS(t.Context(), good, full, disk.RestoreOptions{}); !errors.Is(err, storage.ErrNotEmpty) {
		t.Errorf("into a full directory: got %v, want %v", err, storage.ErrNotEmpty)
	}
	damaged := good.Clone(memfs.Everything, 1)
	files := 0
	for _, name := range damaged.Files() {
		if strings.HasPrefix(name, "seg/") {
			must(t, damaged.FlipBit(name, 100, 1)) // in its header block
			files++
		}
	}
	var damage *storage.DamageError
	if err := into(damaged); !errors.As(err, &damage) {
		t.Errorf("from a damaged store: got %v, want damage", err)
	}
	to := memfs.New()
	r, err := disk.RestoreFS(t.Context(), damaged, to, disk.RestoreOptions{AcceptDamage: true})
	if err != nil || len(r.Damage) == 0 || len(r.Damage) > files {
		t.Errorf("accepted: got %+v, %v, want some of %d files damaged", r, err, files)
	}
	if v := h.Fork(h.Mark()).Check(asBefore{openCopy(t, to)}, storagetest.Died, 1); v.Ghosts+v.Torn > 0 && v.Unreadable == 0 {
		t.Errorf("restored of what is damaged: %v", v.Problems)
	}
}

// openCopy opens a store until the test ends.
func openCopy(t *testing.T, fsys vfs.FS) *disk.Store {
	t.Helper()
	st, err := open(fsys)
	must(t, err)
	t.Cleanup(func() { _ = st.Close(context.Background()) })
	return st
}
