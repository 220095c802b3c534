package disk_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// openFollowed opens a store that is followed to another file system.
func openFollowed(fsys, to vfs.FS) (*disk.Store, error) {
	return disk.OpenFS(fsys, disk.FollowFS(tiny(), to))
}

// TestFollower: everything that is durable arrives in the second directory, in several lives of the store, with restores and promotions of what arrived.
func TestFollower(t *testing.T) {
	a := newTally()
	for seed := range uint64(sized(t, 4, 20, 100)) {
		first, second, h := memfs.New(), memfs.New(), storagetest.NewHistory()
		for life := range uint64(5) {
			where := fmt.Sprintf("seed %d, life %d", seed, life)
			st, err := openFollowed(first, second)
			must(t, err)
			must(t, run(st, h, seed<<8|life, 40))
			mark := h.Mark()
			if life%2 == 0 {
				caughtUp(t, st, where)
				a.count("copied", int(st.Stats().Work["follower"].Done))
				followed(a, second.Clone(memfs.SyncedOnly, seed), h.Fork(mark), storagetest.PowerLost, where)
			}
			must(t, st.Close(t.Context()))
			if life%2 == 0 {
				followed(a, second, h, storagetest.Died, where+", closed")
			}
		}
		if _, err := open(second); !errors.Is(err, storage.ErrFollower) {
			t.Errorf("an ordinary open: got %v, want %v", err, storage.ErrFollower)
		}
		to := memfs.New()
		if _, err := disk.RestoreFS(t.Context(), second, to, disk.RestoreOptions{}); err != nil {
			t.Fatal(err)
		}
		goneOn(a, to, h.Fork(h.Mark()), fmt.Sprintf("seed %d, restored", seed))
		o := tiny()
		o.Promote = true
		st, err := disk.OpenFS(second, o)
		must(t, err)
		must(t, st.Close(t.Context()))
		st, err = open(second)
		must(t, err)
		a.judge(h.Fork(h.Mark()).Check(asBefore{st}, storagetest.Died, seed), fmt.Sprintf("seed %d, promoted", seed))
		must(t, st.Close(t.Context()))
	}
	a.end(t, "follower", fmt.Sprintf("%d bytes copied", a.get("copied")), "copied")
}

// caughtUp waits until the follower has everything. What the store does in the background may add to that between the wait and the look, but not without end.
func caughtUp(t *testing.T, st *disk.Store, where string) {
	t.Helper()
	var l disk.Lag
	for range 100 {
		if err := st.WaitFollowed(t.Context()); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		var ok bool
		if l, ok = st.Lag(); !ok || l.Err != nil {
			t.Fatalf("%s: lag %+v, %v", where, l, ok)
		}
		if l == (disk.Lag{}) {
			return
		}
	}
	t.Errorf("%s: lag %+v", where, l)
}

// followed compares what arrived with h.
func followed(a *tally, second vfs.FS, h *storagetest.History, loss storagetest.Loss, where string) {
	st, err := disk.OpenReadOnlyFS(second, tiny())
	if err != nil {
		a.wrong("%s: opening the second directory to read: %v", where, err)
		return
	}
	a.judge(h.Fork(h.Mark()).Check(asBefore{st}, loss, 1), where)
	if err := st.Close(context.Background()); err != nil {
		a.wrong("%s: %v", where, err)
	}
}

// TestFollowerFallsBehind: a second directory that is slow, or away for a while, is brought up from segments when the journal has gone on without it.
func TestFollowerFallsBehind(t *testing.T) {
	a := newTally()
	for seed := range uint64(sized(t, 3, 12, 60)) {
		first, second, h := memfs.New(), memfs.New(), storagetest.NewHistory()
		st, err := openFollowed(first, second)
		must(t, err)
		must(t, run(st, h, seed<<8, 20))
		must(t, st.WaitFollowed(t.Context()))
		must(t, st.Close(t.Context()))
		st, err = open(first) // for a while without
		must(t, err)
		must(t, run(st, h, seed<<8|1, 120))
		killed := first.Clone(memfs.Everything, seed)
		must(t, st.Close(t.Context()))
		if seed%2 == 0 {
			first = killed
		}
		st, err = openFollowed(first, second)
		must(t, err)
		must(t, run(st, h, seed<<8|2, 10))
		must(t, st.WaitFollowed(t.Context()))
		followed(a, second.Clone(memfs.SyncedOnly, seed), h, storagetest.PowerLost, fmt.Sprint("seed ", seed))
		must(t, st.Close(t.Context()))
		followed(a, second, h, storagetest.Died, fmt.Sprintf("seed %d, closed", seed))
		a.count("stores", 1)
	}
	a.end(t, "a follower that fell behind", "", "stores")
}

// TestFollowerCrash cuts the power of both directories at changes of either: what arrived is a prefix of the entries, each whole, or says that
// it is no store yet; and the store that is opened again brings it up to date.
func TestFollowerCrash(t *testing.T) {
	a := newTally()
	for seed := range uint64(sized(t, 3, 12, 80)) {
		fsys, h := memfs.New(), storagetest.NewHistory()
		store, second := fsys.Sub("store"), fsys.Sub("second")
		rng := newRand(seed, 12)
		every := sized(t, 4, 4, 4)
		var mu sync.Mutex
		var images []image
		fsys.OnOp(func(op vfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if !op.Kind.Changes() || rng.IntN(every) > 0 {
				return nil
			}
			im := image{seed: rng.Uint64(), loss: storagetest.PowerLost}
			mode := crashes[rng.IntN(len(crashes))]
			if mode == memfs.Everything {
				im.loss = storagetest.Died
			}
			mark := h.Mark()
			im.fs = fsys.Clone(mode, im.seed)
			im.history = h.Fork(mark)
			im.where = fmt.Sprintf("seed %d, crash %v (image seed %d) at %v", seed, mode, im.seed, op)
			images = append(images, im)
			return nil
		})
		for life := range uint64(3) {
			st, err := openFollowed(store, second)
			must(t, err)
			must(t, fill(st, h, seed<<8|life, 25))
			must(t, st.WaitFollowed(t.Context()))
			must(t, st.Close(t.Context()))
		}
		fsys.OnOp(nil)
		for _, im := range images {
			a.count("points", 1)
			a.followedCrash(im)
		}
	}
	line := fmt.Sprintf("%d crash points: %d without a store, %d with one", a.get("points"), a.get("none"), a.get("prefix"))
	a.end(t, "crashes of a followed store", line, "points", "none", "prefix")
}

func (a *tally) followedCrash(im image) {
	store, second := im.fs.Sub("store"), im.fs.Sub("second")
	st, err := disk.OpenReadOnlyFS(second, tiny())
	switch {
	case err == nil:
		a.count("prefix", 1)
		a.judge(im.history.Fork(0).Check(asBefore{st}, storagetest.PowerLost, im.seed), im.where+", the second directory")
		err = st.Close(context.Background())
	case errors.Is(err, storage.ErrUnfinished) || errors.Is(err, storage.ErrFormat):
		a.count("none", 1)
		err = nil
	}
	if err != nil {
		a.wrong("%s: the second directory: %v", im.where, err)
	}
	st, err = openFollowed(store, second)
	if err != nil {
		a.wrong("%s: open: %v", im.where, err)
		return
	}
	a.judge(im.history.Check(st, im.loss, im.seed), im.where)
	if err := errors.Join(st.WaitFollowed(context.Background()), st.Close(context.Background())); err != nil {
		a.wrong("%s: following again: %v", im.where, err)
		return
	}
	followed(a, second, im.history, storagetest.Died, im.where+", followed again")
}

// TestFollowerFault has each operation on the second directory fail, once or for ever: the store goes on all the same, tells it, and what fails once is made
// good.
func TestFollowerFault(t *testing.T) {
	a := newTally()
	stride := sized(t, 9, 3, 1)
	for _, how := range failures {
		for k := 1; ; k += stride {
			hit := true
			synctest.Test(t, func(t *testing.T) { hit = a.faultyFollower(t, how, k) })
			if !hit || a.failed() {
				break
			}
		}
	}
	line := fmt.Sprintf("%d faults, %d made good, %d stores without a follower", a.get("injected"), a.get("made good"), a.get("without"))
	a.end(t, "faults of a follower", line, "injected", "made good", "without")
}

func (a *tally) faultyFollower(t *testing.T, how failure, k int) (hit bool) {
	inner, h := memfs.New(), storagetest.NewHistory()
	fault := how.fault
	fault.Nth = k
	fault.Before = func(vfs.Op) { inner.FailSync(how.sync) }
	to := errfs.New(inner, fault)
	where := fmt.Sprintf("%s, k %d", how.name, k)
	var log eventLog
	o := disk.FollowFS(tiny(), to)
	o.Events = log.note
	st, err := disk.OpenFS(memfs.New(), o)
	must(t, err)
	must(t, fill(st, h, uint64(k), 30))
	err = st.WaitFollowed(t.Context())
	for try := 0; err != nil && try < 5; try++ {
		if l, _ := st.Lag(); l.Err == nil && st.Stats().Work["follower"].LastError == nil {
			a.wrong("%s: %v, and the lag is %+v", where, err, l)
		}
		time.Sleep(time.Minute)
		err = st.WaitFollowed(t.Context())
	}
	if cause := st.StopCause(); cause != nil {
		a.wrong("%s: the store stopped: %v", where, cause)
	}
	must(t, st.Close(t.Context()))
	hit = to.Injected() > 0
	a.count("injected", to.Injected())
	switch {
	case err == nil && hit:
		a.count("made good", 1)
		if !fault.Always {
			followed(a, inner, h, storagetest.Died, where)
		}
	case err != nil:
		a.count("without", 1)
		if es := log.of(storage.EventFollower); len(es) == 0 || es[0].Err == nil {
			a.wrong("%s: events %v", where, es)
		}
		if !fault.Always {
			a.wrong("%s: not followed again: %v", where, err)
		}
	}
	return hit
}

// TestFollowerDiverged: a store that was set back does not go over what it has lost, which can be restored; one that was restored from there goes on with it.
func TestFollowerDiverged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTally()
		first, second, h := memfs.New(), memfs.New(), storagetest.NewHistory()
		st, err := openFollowed(first, second)
		must(t, err)
		must(t, run(st, h, 1, 30))
		must(t, st.Close(t.Context()))
		old := first.Clone(memfs.Everything, 1)
		st, err = openFollowed(first, second)
		must(t, err)
		must(t, run(st, h, 2, 30))
		must(t, st.WaitFollowed(t.Context()))
		must(t, st.Close(t.Context()))
		st, err = openFollowed(old, second)
		must(t, err)
		if err := st.WaitFollowed(t.Context()); !errors.Is(err, storage.ErrDiverged) {
			t.Errorf("a store that was set back: got %v, want %v", err, storage.ErrDiverged)
		}
		if l, ok := st.Lag(); !ok || !errors.Is(l.Err, storage.ErrDiverged) {
			t.Errorf("lag: %+v, %v", l, ok)
		}
		must(t, st.Close(t.Context()))
		followed(a, second, h, storagetest.Died, "after that")
		again := memfs.New()
		_, err = disk.RestoreFS(t.Context(), second, again, disk.RestoreOptions{})
		must(t, err)
		st, err = openFollowed(again, second)
		must(t, err)
		must(t, run(asBefore{st}, h, 3, 20))
		must(t, st.WaitFollowed(t.Context()))
		must(t, st.Close(t.Context()))
		followed(a, second, h, storagetest.Died, "restored, and followed into the same directory")
		a.end(t, "diverged", "")
	})
}

// TestFollowerRefused: nothing that is not its own is written into.
func TestFollowerRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := memfs.New()
		st, err := open(other)
		must(t, err)
		must(t, st.Close(t.Context()))
		full, taken := memfs.New(), memfs.New()
		must(t, full.SetContents("notes.txt", nil))
		l, err := taken.Lock("somebody")
		must(t, err)
		defer l.Close()
		for what, c := range map[string]struct {
			to   vfs.FS
			want error
		}{"another store": {other, storage.ErrNotEmpty}, "a full directory": {full, storage.ErrNotEmpty}, "one that has an owner": {taken, storage.ErrInUse}} {
			st, err := openFollowed(memfs.New(), c.to)
			must(t, err)
			put(t, st, oneTopic(t, st), 3)
			if err := st.WaitFollowed(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", what, err, c.want)
			}
			if w := st.Stats().Work["follower"]; w.Running || !errors.Is(w.LastError, c.want) {
				t.Errorf("%s: work %+v, want %v", what, w, c.want)
			}
			must(t, st.Close(t.Context()))
		}
		if len(full.Files()) > 2 {
			t.Errorf("in the full directory: %v", full.Files())
		}
		must(t, reopen(other))
		st, err = open(memfs.New())
		must(t, err)
		if _, ok := st.Lag(); ok || !errors.Is(st.WaitFollowed(t.Context()), storage.ErrNotFound) {
			t.Error("a store without a follower has a lag")
		}
		must(t, st.Close(t.Context()))
	})
}

// oneTopic makes a topic and returns its partition.
func oneTopic(t *testing.T, st storage.Store) storage.PartitionID {
	t.Helper()
	topic, err := st.CreateTopic(context.Background(), storage.TopicSpec{Name: "t", Partitions: 1})
	must(t, err)
	return topic.First
}

// reopen opens a store and closes it.
func reopen(fsys vfs.FS) error {
	st, err := open(fsys)
	if err != nil {
		return err
	}
	return st.Close(context.Background())
}
