package disk_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// A segment that was made and got no records, because the disk was full, is not used for others than those it was made for: those may have been
// trimmed meanwhile.
func TestUnusedSegmentIsNotUsedForOtherRecords(t *testing.T) {
	fs := memfs.New()
	st := opened(t, fs, tiny())
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Sync: storage.SyncOS}})
	if err != nil {
		t.Fatal(err)
	}
	var full atomic.Bool
	full.Store(true)
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpWrite && strings.HasPrefix(op.Name, "seg/") && len(segmentFiles(fs)) > 0 && full.Load() {
			if b, err := fs.Contents(op.Name); err == nil && len(b) >= 4096 { // its header is there
				return syscall.ENOSPC
			}
		}
		return nil
	})
	for range 40 {
		e := &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{{Value: make([]byte, 1<<10)}}}}}
		if _, err := st.Append(t.Context(), e); err != nil {
			break
		}
	}
	b, err := st.Bounds(topic.First)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Trim(t.Context(), topic.First, b.Next); err != nil {
		t.Fatal(err)
	}
	full.Store(false)
	fs.OnOp(nil)
	for st.Stats().Full {
		if err := st.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		add(t, st, topic.First, 1<<10)
	}
	closeStore(t, st)
	st = opened(t, fs, tiny())
	defer closeStore(t, st)
	now, err := st.Bounds(topic.First)
	if err != nil || now.Records != b.Records+5 || now.First != b.Next {
		t.Errorf("the bounds are %+v, %v, were %+v", now, err, b)
	}
	if n, err := st.Ordinal(topic.First, now.First); err != nil || n != b.Records {
		t.Errorf("%d records are said to have been removed, %v, want %d", n, err, b.Records)
	}
}
