package disk_test

import (
	"context"
	"errors"
	"path"
	"slices"
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
)

// compressible is a store with topics whose segments can be compressed: their partitions have sealed ones.
func compressible(t *testing.T, fs *memfs.FS, topics ...string) (*disk.Store, []storage.PartitionID) {
	t.Helper()
	st, err := disk.OpenFS(fs, quiet())
	must(t, err)
	var ps []storage.PartitionID
	for _, name := range topics {
		topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: name, Partitions: 1, Strategy: storage.Strategy{Level: storage.Compressed}})
		must(t, err)
		ps = append(ps, topic.First)
	}
	for range 30 {
		for _, p := range ps {
			must(t, putRaw(t.Context(), st, big(p, 10_000)))
		}
	}
	return st, ps
}

// TestFaultStopsARewriting stops the store while one of two partitions is rewritten: the other one is left alone, and who waits is told why.
func TestFaultStopsARewriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		st, ps := compressible(t, fs, "a", "b")
		must(t, st.Reclaim(t.Context())) // all is spilled
		must(t, st.Reclaim(t.Context()))
		rewriting := newHeld()
		var first atomic.Pointer[string]
		fs.OnOp(func(op vfs.Op) error {
			switch {
			case op.Kind == vfs.OpWrite && strings.HasPrefix(op.Name, "journal/"):
				return syscall.EIO
			case op.Kind == vfs.OpCreate && strings.HasPrefix(op.Name, "seg/"):
				if dir := path.Dir(op.Name); !first.CompareAndSwap(nil, &dir) && dir != *first.Load() {
					t.Errorf("%s was begun after the store stopped", op.Name)
				}
				rewriting.hold()
			}
			return nil
		})
		cleaned := make(chan error, 1)
		go func() { cleaned <- st.Clean(context.Background()) }()
		<-rewriting.reached
		var stopped *storage.StoppedError
		if err := putRaw(t.Context(), st, record(ps[0], "x")); !errors.As(err, &stopped) {
			t.Errorf("the journal cannot be written: %v", err)
		}
		close(rewriting.release)
		if err := <-cleaned; !errors.As(err, &stopped) || !errors.Is(err, syscall.EIO) {
			t.Errorf("the store stopped meanwhile: %v", err)
		}
		if err := st.Close(context.Background()); !errors.Is(err, syscall.EIO) {
			t.Errorf("close: %v", err)
		}
	})
}

// TestFaultStopsWhoWaitsForACheckpoint has a checkpoint fail that is made for what was sealed lately, so that it can be rewritten: who waits is told why.
func TestFaultStopsWhoWaitsForACheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		st, ps := compressible(t, fs, "a")
		must(t, st.Clean(t.Context()))
		var err error
		for n := 0; err == nil && n < 100; n++ { // one of these makes a segment full
			err = putRaw(t.Context(), st, big(ps[0], 10_000))
			synctest.Wait()
			failing(fs, "checkpoint-", syscall.EIO, vfs.OpWrite)
			if err == nil {
				err = st.Clean(t.Context())
			}
			synctest.Wait() // another checkpoint may be due
			fs.OnOp(nil)
		}
		var stopped *storage.StoppedError
		if !errors.As(err, &stopped) || !errors.Is(err, syscall.EIO) {
			t.Errorf("no checkpoint can be made: %v", err)
		}
		if err := st.Close(context.Background()); !errors.Is(err, syscall.EIO) {
			t.Errorf("close: %v", err)
		}
	})
}

// TestFaultRemovedWhileRead removes records while a read of their segment does not return: the file stays until it does, and goes then.
func TestFaultRemovedWhileRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		st, ps := compressible(t, fs, "a")
		defer st.Close(context.Background())
		must(t, st.Reclaim(t.Context()))
		_, _, err := st.Read(nil, ps[0], 0, 1) // what is only being opened is not kept
		must(t, err)
		read := newHeld()
		var file atomic.Pointer[string]
		fs.OnOp(func(op vfs.Op) error {
			if op.Kind == vfs.OpRead && strings.HasPrefix(op.Name, "seg/") && file.CompareAndSwap(nil, &op.Name) {
				read.hold()
			}
			return nil
		})
		got := make(chan error, 1)
		go func() {
			_, _, err := st.Read(nil, ps[0], 0, 1)
			got <- err
		}()
		<-read.reached
		must(t, st.Trim(t.Context(), ps[0], bounds(st, ps[0]).Next))
		reclaimed := make(chan error, 1)
		go func() { reclaimed <- st.Reclaim(context.Background()) }()
		time.Sleep(time.Minute)
		if left := segmentFiles(fs); !slices.Contains(left, *file.Load()) {
			t.Errorf("%s is read, and was removed: %v are left", *file.Load(), left)
		}
		close(read.release)
		if err := <-reclaimed; err != nil {
			t.Errorf("nobody reads it any more: %v", err)
		}
		if left := segmentFiles(fs); slices.Contains(left, *file.Load()) {
			t.Errorf("%s is left", *file.Load())
		}
		if err := <-got; err != nil {
			t.Errorf("the read that was under way: %v", err)
		}
	})
}
