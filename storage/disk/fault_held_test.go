package disk_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// held is an operation that waits, and fails then.
type held struct {
	reached, release chan struct{}
	once             atomic.Bool
}

func newHeld() *held { return &held{reached: make(chan struct{}), release: make(chan struct{})} }

// hold has the first one that comes wait; it returns false for all others.
func (h *held) hold() bool {
	if !h.once.CompareAndSwap(false, true) {
		return false
	}
	close(h.reached)
	<-h.release
	return true
}

// TestFaultWhileInDoubt appends behind entries of which nobody knows whether they are durable: it waits for the checkpoint that makes them so, and is refused when that fails.
func TestFaultWhileInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, h, _ := journalOnly(t, storage.SyncOS, 60)
		spill := newHeld()
		fs.OnOp(func(op vfs.Op) error {
			if op.Kind.Changes() && strings.HasPrefix(op.Name, "seg") && spill.hold() {
				return syscall.EIO
			}
			return nil
		})
		st, err := disk.OpenFS(fs, tiny())
		must(t, err)
		<-spill.reached
		appended := make(chan error, 1)
		go func() {
			appended <- put1(context.Background(), st, h, storagetest.Plan{Batches: []storagetest.PlanBatch{{Partition: st.Topics()[0].First, Sizes: []int{100}}}})
		}()
		synctest.Wait()
		select {
		case err := <-appended:
			t.Errorf("an append did not wait for what is in front of it: %v", err)
		default:
		}
		close(spill.release)
		var stopped *storage.StoppedError
		if err := <-appended; !errors.As(err, &stopped) || !errors.Is(err, syscall.EIO) {
			t.Errorf("the checkpoint failed that it waited for: %v", err)
		}
		_ = st.Close(context.Background())
		fs.OnOp(nil)
		a := newTally()
		a.check(fs, h, storagetest.Died, 1, "opened again", nil)
		a.end(t, "fault while in doubt", "opened again")
	})
}

// TestFaultBehindACheckpoint has a checkpoint fail while the keeper copies to segments, and another one is asked for: it is not begun.
func TestFaultBehindACheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		st, err := disk.OpenFS(fs, tiny())
		must(t, err)
		topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Sync: storage.SyncOS}})
		must(t, err)
		must(t, putRaw(t.Context(), st, big(topic.First, 1000)))
		checkpoint, spill := newHeld(), newHeld()
		var later atomic.Int64 // writes of checkpoints behind the one that failed
		fs.OnOp(func(op vfs.Op) error {
			switch {
			case op.Kind == vfs.OpWrite && strings.HasPrefix(op.Name, "checkpoint-"):
				if checkpoint.hold() {
					return syscall.EIO
				}
				later.Add(1)
			case op.Kind == vfs.OpWrite && strings.HasPrefix(op.Name, "seg/") && checkpoint.once.Load():
				spill.hold()
			}
			return nil
		})
		reclaimed := make(chan error, 1)
		go func() { reclaimed <- st.Reclaim(context.Background()) }()
		<-checkpoint.reached
		for range 8 {
			must(t, putRaw(t.Context(), st, big(topic.First, 10_000)))
		}
		<-spill.reached
		time.Sleep(time.Second) // it is asked for again
		close(checkpoint.release)
		<-st.Stopped()
		synctest.Wait()
		close(spill.release)
		if err := <-reclaimed; !errors.Is(err, syscall.EIO) {
			t.Errorf("the checkpoint failed: %v", err)
		}
		if err := st.StopCause(); !errors.Is(err, syscall.EIO) {
			t.Errorf("stopped because of %v", err)
		}
		if err := st.Close(context.Background()); !errors.Is(err, syscall.EIO) {
			t.Errorf("close: %v", err)
		}
		if n := later.Load(); n > 0 {
			t.Errorf("%d writes of another checkpoint", n)
		}
	})
}

// TestFaultInCleaning has the background cleanup come upon records that cannot be read: it says so, and cleans when they can.
func TestFaultInCleaning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, o := memfs.New(), tiny()
		st, err := disk.OpenFS(fs, o)
		must(t, err)
		s := storage.Strategy{Cleanup: storage.CleanupPolicy{MaxAge: time.Hour}}
		topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: s})
		must(t, err)
		for range 3 {
			must(t, putRaw(t.Context(), st, record(topic.First, "x")))
			time.Sleep(25 * time.Minute)
		}
		must(t, st.Close(t.Context()))
		o.Tuning.CleanEvery = time.Second
		var log eventLog
		o.Events = log.note
		failing(fs, "seg/", syscall.EIO, vfs.OpRead)
		st, err = disk.OpenFS(fs, o)
		must(t, err)
		defer st.Close(context.Background())
		time.Sleep(5 * time.Second)
		if w := st.Stats().Work["cleanup"]; !errors.Is(w.LastError, syscall.EIO) {
			t.Errorf("records cannot be read: %+v", w)
		}
		if len(log.of(storage.EventWorkError)) == 0 {
			t.Error("nobody was told")
		}
		if b := bounds(st, topic.First); b.First != 0 {
			t.Errorf("what could not be read was trimmed: %+v", b)
		}
		fs.OnOp(nil)
		time.Sleep(5 * time.Second)
		if w := st.Stats().Work["cleanup"]; w.LastError != nil || w.Runs != 1 {
			t.Errorf("records can be read again: %+v", w)
		}
		if b := bounds(st, topic.First); b.First != 1 {
			t.Errorf("one of three is too old: %+v", b)
		}
	})
}

// TestFaultFollowerHangs waits for a follower whose directory does not answer, for as long as the context says.
func TestFaultFollowerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := memfs.New()
		st, err := disk.OpenFS(memfs.New(), disk.FollowFS(tiny(), to))
		must(t, err)
		defer st.Close(context.Background())
		topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1})
		must(t, err)
		must(t, st.WaitFollowed(t.Context()))
		write := newHeld()
		to.OnOp(func(op vfs.Op) error {
			if op.Kind == vfs.OpWrite {
				write.hold()
			}
			return nil
		})
		must(t, putRaw(t.Context(), st, record(topic.First, "x")))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := st.WaitFollowed(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it does not answer: %v", err)
		}
		close(write.release)
		must(t, st.WaitFollowed(t.Context()))
	})
}

// TestFaultFollowerCutOff closes a store while its follower reads from segments what it lacks, into a directory that does not answer: the close gives it up, and so does the follower
// when the directory answers. What is there is no store.
func TestFaultFollowerCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, to := memfs.New(), memfs.New()
		st, err := disk.OpenFS(fs, tiny())
		must(t, err)
		topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1})
		must(t, err)
		for range 5 {
			must(t, putRaw(t.Context(), st, big(topic.First, 40_000)))
		}
		must(t, st.Close(t.Context()))
		write := newHeld()
		var cut atomic.Bool
		to.OnOp(func(op vfs.Op) error {
			if op.Kind == vfs.OpWrite && strings.HasPrefix(op.Name, "seg/") {
				write.hold()
			}
			if cut.Load() && op.Kind == vfs.OpCreate {
				t.Errorf("%v, after it was given up", op)
			}
			return nil
		})
		st, err = disk.OpenFS(fs, disk.FollowFS(tiny(), to))
		must(t, err)
		<-write.reached
		closed := make(chan error, 1)
		go func() { closed <- st.Close(context.Background()) }()
		if err := <-closed; err != nil { // it has waited for as long as it waits
			t.Errorf("close: %v", err)
		}
		cut.Store(true)
		close(write.release)
		synctest.Wait()
		if _, err := disk.OpenReadOnlyFS(to, tiny()); !errors.Is(err, storage.ErrUnfinished) {
			t.Errorf("the copy that was cut off: %v", err)
		}
	})
}
