package disk_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// Records of a topic that keeps nothing in memory are in the journal and in a segment. If the sync of the segment fails and takes them away, the stopped
// store says so, and calls nothing damaged; and the next open has them all (G16, G21, G22).
func TestASyncThatTakesRecordsAwayIsNotDamage(t *testing.T) {
	fs := memfs.New()
	st := opened(t, fs, tiny())
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Level: storage.DiskOnly}})
	must(t, err)
	var failed atomic.Bool
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncData && strings.HasPrefix(op.Name, "seg/") && !failed.Swap(true) {
			fs.FailSync(memfs.CacheReverts)
		}
		return nil
	})
	acked := 0
	for st.StopCause() == nil {
		e := &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{{Value: make([]byte, 2<<10)}}}}}
		if _, err := st.Append(t.Context(), e); err == nil {
			acked++
		}
	}
	rs, err := storagetest.ReadAll(st, topic.First, newRand(1, 1))
	var damage *storage.DamageError
	if !errors.Is(err, syscall.EIO) || errors.As(err, &damage) {
		t.Errorf("read %d of %d records, then %v, want EIO and no damage", len(rs), acked, err)
	}
	if err := st.Close(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Errorf("close: %v, want EIO", err)
	}
	st = opened(t, fs, tiny())
	defer closeStore(t, st)
	if rs, err := storagetest.ReadAll(st, topic.First, newRand(1, 1)); err != nil || len(rs) < acked {
		t.Errorf("%d of %d records are left, %v", len(rs), acked, err)
	}
}
