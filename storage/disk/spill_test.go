package disk_test

import (
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestSpillsOfManyPartitionsSyncNothing spills 400 partitions several times. Their files stay open, so that none of them is synced before a checkpoint
// wants all of them.
func TestSpillsOfManyPartitionsSyncNothing(t *testing.T) {
	const partitions, rounds = 400, 12
	fs := memfs.New()
	st, err := disk.OpenFS(fs, disk.Options{MemoryBytes: 8 << 20, Tuning: disk.Tuning{JournalBytes: 256 << 20, SpillBytes: 1 << 20, CheckpointEvery: -1}})
	if err != nil {
		t.Fatal(err)
	}
	syncs := 0
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncData && strings.HasPrefix(op.Name, "seg/") {
			syncs++
		}
		return nil
	})
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: partitions, Strategy: storage.Strategy{Sync: storage.SyncOS}})
	if err != nil {
		t.Fatal(err)
	}
	for range rounds {
		for p := range partitions {
			if _, err := st.Append(t.Context(), benchEntry(topic.Partition(p), 2)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s := st.Stats(); s.Spills < partitions || s.Segments != partitions || s.Checkpoints != 1 || s.OpenFiles < partitions {
		t.Errorf("not what the test is about: %+v", s)
	}
	if syncs > 0 {
		t.Errorf("%d segments were synced without a checkpoint", syncs)
	}
	fs.OnOp(nil)
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
