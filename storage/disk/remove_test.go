package disk_test

import (
	"context"
	"errors"
	"fmt"
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

// segmentFiles lists the files and directories of segments.
func segmentFiles(fs *memfs.FS) (files []string) {
	for _, name := range fs.Files() {
		if strings.HasPrefix(name, "seg/") {
			files = append(files, name)
		}
	}
	return files
}

// spilled makes a topic whose partitions have several segments each.
func spilled(t *testing.T, st *disk.Store, name string, partitions int) storage.Topic {
	t.Helper()
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: name, Partitions: partitions, Strategy: storage.Strategy{Sync: storage.SyncOS}})
	if err != nil {
		t.Fatal(err)
	}
	for range 40 {
		for i := range partitions {
			add(t, st, topic.Partition(i), 8<<10)
		}
	}
	return topic
}

func add(t *testing.T, st storage.Store, p storage.PartitionID, size int) {
	t.Helper()
	e := &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: []storage.Record{{Value: make([]byte, size)}}}}}
	if _, err := st.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// Deleted and trimmed records give their space back: files and directories are removed, in the background, or by the next open.
func TestSpaceComesBack(t *testing.T) {
	for _, how := range []string{"running", "closed at once", "killed at once"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := memfs.New()
				o := tiny()
				o.Tuning.UnlinkPause = 0
				st := opened(t, fs, o)
				gone, kept := spilled(t, st, "gone", 3), spilled(t, st, "kept", 2)
				closeStore(t, st) // everything is in segments
				st = opened(t, fs, o)
				before := len(segmentFiles(fs))
				if err := st.DeleteTopic(t.Context(), "gone"); err != nil {
					t.Fatal(err)
				}
				bounds, _ := st.Bounds(kept.First)
				if err := st.Trim(t.Context(), kept.First, bounds.Next); err != nil {
					t.Fatal(err)
				}
				switch how {
				case "closed at once":
					closeStore(t, st)
					st = opened(t, fs, o)
				case "killed at once":
					left := fs.Clone(memfs.Everything, 1)
					closeStore(t, st)
					fs = left
					st = opened(t, fs, o)
				}
				time.Sleep(10 * time.Second) // in the bubble: no time at all
				synctest.Wait()
				for _, name := range segmentFiles(fs) {
					if !strings.HasPrefix(name, fmt.Sprintf("seg/%08x/", uint32(kept.Partition(1)))) {
						t.Errorf("%s is left, of %d files", name, before)
					}
				}
				for i := range 3 {
					if _, err := fs.List(fmt.Sprintf("seg/%08x", uint32(gone.Partition(i)))); err == nil {
						t.Errorf("the directory of partition %d is left", gone.Partition(i))
					}
				}
				work := st.Stats().Work["unlink"]
				if work.Runs == 0 || work.Done == 0 && how == "running" || work.Backlog != 0 || work.LastError != nil || work.Running {
					t.Errorf("the work is said to be %+v", work)
				}
				closeStore(t, st)
				st = opened(t, fs, o)
				defer closeStore(t, st)
				if r := st.Report(); len(r.Foreign) > 0 || r.Leftovers > 0 {
					t.Errorf("the next open found %+v", r)
				}
				if b, err := st.Bounds(kept.Partition(1)); err != nil || b.Records != 40 || b.First != 0 {
					t.Errorf("the other partition is %+v, %v", b, err)
				}
			})
		})
	}
}

// A file that cannot be removed is tried again, and the operator is told.
func TestRemovalIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := tiny()
		o.Tuning.UnlinkPause = 0
		var told atomic.Int32
		o.Events = func(e storage.Event) {
			if e.Kind == storage.EventWorkError && errors.Is(e.Err, syscall.EIO) {
				told.Add(1)
			}
		}
		st := opened(t, fs, o)
		defer closeStore(t, st)
		spilled(t, st, "gone", 1)
		var fails atomic.Bool
		fails.Store(true)
		fs.OnOp(func(op vfs.Op) error {
			if op.Kind == vfs.OpRemove && fails.Load() {
				return syscall.EIO
			}
			return nil
		})
		if err := st.DeleteTopic(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if w := st.Stats().Work["unlink"]; !errors.Is(w.LastError, syscall.EIO) || w.Backlog == 0 || told.Load() == 0 {
			t.Errorf("while nothing can be removed the work is %+v, and %d events were told", w, told.Load())
		}
		fails.Store(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if files := segmentFiles(fs); len(files) > 0 || st.Stats().Work["unlink"].LastError != nil {
			t.Errorf("%v are left; %+v", files, st.Stats().Work["unlink"])
		}
		if err := st.StopCause(); err != nil {
			t.Error(err)
		}
	})
}

// The background applies the policies by itself.
func TestCleanupRunsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := tiny()
		o.Tuning.CleanEvery = 0
		st := opened(t, memfs.New(), o)
		defer closeStore(t, st)
		topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{
			Name: "t", Partitions: 1, Strategy: storage.Strategy{Cleanup: storage.CleanupPolicy{MaxAge: time.Minute}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			add(t, st, topic.First, 100)
			time.Sleep(20 * time.Second)
		}
		synctest.Wait()
		b, err := st.Bounds(topic.First)
		if left := b.Next - b.First; err != nil || left < 2 || left > 4 {
			t.Errorf("%d records are left of a minute, %v", left, err)
		}
		if w := st.Stats().Work["cleanup"]; w.Runs == 0 || w.LastError != nil {
			t.Errorf("the work is said to be %+v", w)
		}
	})
}

func opened(t *testing.T, fs vfs.FS, o disk.Options) *disk.Store {
	t.Helper()
	st, err := disk.OpenFS(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func closeStore(t *testing.T, st *disk.Store) {
	t.Helper()
	if err := st.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
