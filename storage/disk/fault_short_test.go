package disk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// failing has the operations of some kinds on files whose name begins like that fail.
func failing(fs *memfs.FS, prefix string, err error, kinds ...vfs.Kind) {
	fs.OnOp(func(op vfs.Op) error {
		for _, k := range kinds {
			if op.Kind == k && strings.HasPrefix(op.Name, prefix) {
				return err
			}
		}
		return nil
	})
}

// shortRun is a store with one topic.
type shortRun struct {
	t  *testing.T
	fs *memfs.FS
	st *disk.Store
	p  storage.PartitionID
}

// inShort runs do on a new store, in a bubble.
func inShort(t *testing.T, name string, o disk.Options, do func(r *shortRun)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &shortRun{t: t, fs: memfs.New()}
			var err error
			r.st, err = disk.OpenFS(r.fs, o)
			must(t, err)
			defer r.st.Close(context.Background())
			defer r.fs.OnOp(nil)
			topic, err := r.st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 4, Strategy: storage.Strategy{Sync: storage.SyncOS}})
			must(t, err)
			r.p = topic.First
			do(r)
		})
	})
}

func (r *shortRun) put(size int) error { return putRaw(r.t.Context(), r.st, big(r.p, size)) }

// stops checks that the store stops, because of cause.
func (r *shortRun) stops(cause error) {
	r.t.Helper()
	for n := 0; n < 1000 && r.st.StopCause() == nil; n++ {
		_ = r.put(20_000) // until it has
		time.Sleep(time.Millisecond)
	}
	if err := r.st.StopCause(); !errors.Is(err, cause) {
		r.t.Errorf("stopped: %v, want %v", err, cause)
	}
}

// TestFaultShort has a store run out of space, and descriptors, and what it does about it fail in turn: it refuses what it cannot take and goes on, or stops and says why.
func TestFaultShort(t *testing.T) {
	o := tiny()
	o.Tuning.RoomEvery = time.Hour
	inShort(t, "the reserve cannot grow for an entry", o, func(r *shortRun) {
		failing(r.fs, "reserve", syscall.ENOSPC, vfs.OpAllocate)
		if err := r.put(1_200_000); !errors.Is(err, storage.ErrFull) || !errors.Is(err, syscall.ENOSPC) {
			r.t.Errorf("more than the reserve covers: %v", err)
		}
		r.fs.OnOp(nil)
		must(r.t, r.put(1_200_000))
	})
	inShort(t, "the reserve can grow, but not ahead", o, func(r *shortRun) {
		r.fs.OnOp(once(vfs.OpAllocate, "reserve", func() error { return syscall.ENOSPC }))
		must(r.t, r.put(1_200_000))
	})
	inShort(t, "growing the reserve fails", o, func(r *shortRun) {
		failing(r.fs, "reserve", syscall.EIO, vfs.OpAllocate)
		if err := r.put(1_200_000); !errors.Is(err, syscall.EIO) {
			r.t.Errorf("more than the reserve covers: %v", err)
		}
		r.stops(syscall.EIO)
	})
	inShort(t, "no journal file for an entry", o, func(r *shortRun) {
		failing(r.fs, "journal/", syscall.ENOSPC, vfs.OpCreate)
		if err := r.put(400_000); !errors.Is(err, storage.ErrFull) {
			r.t.Errorf("more than a journal file takes: %v", err)
		}
		r.fs.OnOp(nil)
		must(r.t, r.put(400_000))
	})
	inShort(t, "giving the reserve up fails", o, func(r *shortRun) {
		r.fs.OnOp(func(op vfs.Op) error {
			switch {
			case strings.HasPrefix(op.Name, "seg/") && op.Kind == vfs.OpWrite:
				return syscall.ENOSPC
			case op.Name == "reserve" && op.Kind == vfs.OpTruncate:
				return syscall.EIO
			}
			return nil
		})
		r.stops(syscall.EIO)
	})
	inShort(t, "looking for room fails", o, func(r *shortRun) {
		hold := make(chan struct{})
		r.fs.OnOp(once(vfs.OpRemove, "seg/", func() error { <-hold; return nil }))
		must(r.t, r.put(70_000))
		must(r.t, r.st.Reclaim(r.t.Context())) // each in a segment of its own
		must(r.t, r.put(70_000))
		must(r.t, r.st.Reclaim(r.t.Context()))
		must(r.t, r.st.Trim(r.t.Context(), r.p, 1))
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
		defer cancel()
		if err := r.st.Reclaim(ctx); !errors.Is(err, context.DeadlineExceeded) {
			r.t.Errorf("files are not removed yet: %v", err)
		}
		failing(r.fs, "seg/", syscall.ENOSPC, vfs.OpWrite)
		for n := 0; n < 1000 && !r.st.Stats().Full; n++ {
			_ = r.put(20_000)
			time.Sleep(time.Millisecond)
		}
		failing(r.fs, "reserve", syscall.EIO, vfs.OpAllocate)
		close(hold) // there is space again
		r.stops(syscall.EIO)
	})
	var log eventLog
	o.Events = log.note
	inShort(t, "no descriptors to spill", o, func(r *shortRun) {
		failing(r.fs, "seg", syscall.EMFILE, vfs.OpOpen, vfs.OpCreate, vfs.OpSyncDir)
		for range 5 {
			must(r.t, r.put(20_000))
			time.Sleep(time.Second)
		}
		if len(log.of(storage.EventWorkError)) != 1 || r.st.StopCause() != nil {
			r.t.Errorf("told %v, stopped: %v", log.of(storage.EventWorkError), r.st.StopCause())
		}
		r.fs.OnOp(nil)
		time.Sleep(2 * time.Hour)
		must(r.t, r.put(20_000))
	})
}

// TestFaultEviction has what is oldest in memory fail to be copied to its segment when the memory is needed: the store stops, and what was acknowledged is there when it is opened again.
func TestFaultEviction(t *testing.T) {
	for _, size := range []int{20_000, 600_000} {
		o := tiny()
		o.Tuning.SlotBytes, o.Tuning.JournalBytes = 4<<20, 64<<20 // no checkpoint comes first
		inShort(t, fmt.Sprint(size, " bytes at once"), o, func(r *shortRun) {
			must(r.t, putRaw(r.t.Context(), r.st, big(r.p+1, 100)))
			failing(r.fs, "seg/"+hex8(r.p+1), syscall.EIO, vfs.OpCreate, vfs.OpWrite, vfs.OpMkdir)
			for n := 0; n < 40_000_000/size && r.st.StopCause() == nil; n++ {
				_ = r.put(size)
				synctest.Wait() // it is copied, and what is oldest is not
			}
			r.stops(syscall.EIO)
			r.st.Close(context.Background())
			r.fs.OnOp(nil)
			st, err := open(r.fs.Clone(memfs.Everything, 1))
			must(r.t, err)
			defer st.Close(context.Background())
			if b := bounds(st, r.p+1); b.Records != 1 {
				r.t.Errorf("the oldest record is gone: %+v", b)
			}
		})
	}
}

// hex8 is a partition as directories are called.
func hex8(p storage.PartitionID) string { return fmt.Sprintf("%08x", uint32(p)) }

// TestFaultReclaim waits for space that cannot be had: the files cannot be removed, or the store is being closed.
func TestFaultReclaim(t *testing.T) {
	o := tiny()
	inShort(t, "files that stay", o, func(r *shortRun) {
		must(r.t, r.put(70_000))
		must(r.t, r.st.Reclaim(r.t.Context())) // each in a segment of its own
		must(r.t, r.put(70_000))
		must(r.t, r.st.Reclaim(r.t.Context()))
		failing(r.fs, "seg/", syscall.EACCES, vfs.OpRemove)
		must(r.t, r.st.Trim(r.t.Context(), r.p, 1))
		if err := r.st.Reclaim(r.t.Context()); !errors.Is(err, syscall.EACCES) {
			r.t.Errorf("files cannot be removed: %v", err)
		}
	})
	inShort(t, "a store that is being closed", o, func(r *shortRun) {
		must(r.t, r.put(1000))
		hold, held := make(chan struct{}), make(chan struct{})
		to := memfs.New()
		to.OnOp(once(vfs.OpCreate, "", func() error { close(held); <-hold; return nil }))
		ends := make(chan error, 2)
		go func() {
			_, err := r.st.SnapshotFS(context.Background(), to, disk.SnapshotOptions{})
			ends <- err
		}()
		<-held
		go func() { ends <- r.st.Close(context.Background()) }()
		synctest.Wait()
		if err := r.st.Reclaim(r.t.Context()); !errors.Is(err, storage.ErrClosed) {
			r.t.Errorf("a store that is being closed: %v", err)
		}
		close(hold)
		<-ends
		<-ends
	})
}
