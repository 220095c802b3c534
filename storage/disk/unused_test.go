package disk_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// A segment that was made and got no records, because something was short, is not used for others than those it was made for. Those may have been
// trimmed by the time when the keeper comes to their partition again: here, while it copies the records of the one before, in whatever order it comes to them.
func TestUnusedSegmentIsNotUsedForOtherRecords(t *testing.T) {
	for range 10 {
		synctest.Test(t, unusedSegment)
	}
}

func unusedSegment(t *testing.T) {
	fs, o := memfs.New(), tiny()
	o.Tuning.SpillBytes, o.Tuning.CheckpointEvery = 1<<20, time.Second
	st := opened(t, fs, o)
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 2, Strategy: storage.Strategy{Sync: storage.SyncOS}})
	must(t, err)
	var wide, trimmed atomic.Bool
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind != vfs.OpWrite || !strings.HasPrefix(op.Name, "seg/") {
			return nil
		}
		b, err := fs.Contents(op.Name)
		switch header := err != nil || len(b) < 4096; {
		case header:
		case !wide.Load() && strings.HasPrefix(op.Name, "seg/00000001/"):
			return syscall.ENOMEM
		case wide.Load() && strings.HasPrefix(op.Name, "seg/00000000/") && !trimmed.Swap(true):
			return st.Trim(t.Context(), topic.Partition(1), 5)
		}
		return nil
	})
	for range 10 {
		add(t, st, topic.Partition(0), 100)
		add(t, st, topic.Partition(1), 100)
	}
	time.Sleep(3 * time.Second) // for a checkpoint, which makes a segment of the second partition and cannot write to it
	add(t, st, topic.Partition(0), 100)
	wide.Store(true)
	time.Sleep(3 * time.Second)
	if !trimmed.Load() || st.Stats().Checkpoints == 0 {
		t.Fatal("no checkpoint was made, or nothing was trimmed meanwhile")
	}
	fs.OnOp(nil)
	want := storage.Bounds{First: 5, Next: 10, Records: 10}
	for range 2 {
		b, err := st.Bounds(topic.Partition(1))
		if err != nil || b != want {
			t.Errorf("the bounds are %+v, %v, want %+v", b, err, want)
		}
		n, err := st.Ordinal(topic.Partition(1), b.First)
		if rs, readErr := storagetest.ReadAll(st, topic.Partition(1), newRand(1, 1)); n != 5 || len(rs) != 5 || err != nil || readErr != nil {
			t.Errorf("%d records are said to have been removed, and %d are there, want 5 each; %v, %v", n, len(rs), err, readErr)
		}
		closeStore(t, st)
		st = opened(t, fs, o)
	}
	closeStore(t, st)
}
