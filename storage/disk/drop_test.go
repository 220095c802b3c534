package disk_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// Until the deletion of a topic is durable, a checkpoint has all its records: else a loss of power brings the topic back without those that were still in
// memory, while what was appended after them is there (G3).
func TestCheckpointBesideADeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, o := memfs.New(), tiny()
		o.Tuning.CheckpointEvery = time.Second
		st := opened(t, fs, o)
		var topics []storage.Topic
		for _, name := range []string{"deleted", "kept"} {
			topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: name, Partitions: 1, Strategy: storage.Strategy{Sync: storage.SyncOS}})
			must(t, err)
			topics = append(topics, topic)
			for range 5 {
				add(t, st, topic.First, 100)
			}
		}
		held, before := make(chan struct{}), st.Stats().Checkpoints
		fs.OnOp(func(op vfs.Op) error {
			if op.Kind == vfs.OpSyncData && strings.HasPrefix(op.Name, "journal/") {
				<-held
			}
			return nil
		})
		deleted := make(chan error, 1)
		go func() { deleted <- st.DeleteTopic(t.Context(), "deleted") }()
		time.Sleep(3 * time.Second)
		if st.Stats().Checkpoints == before {
			t.Fatal("no checkpoint was made")
		}
		left := fs.Clone(memfs.SyncedOnly, 1)
		close(held)
		must(t, <-deleted)
		closeStore(t, st)
		st = opened(t, left, tiny())
		defer closeStore(t, st)
		for _, topic := range topics {
			if rs, err := storagetest.ReadAll(st, topic.First, newRand(1, 1)); err != nil || len(rs) != 5 {
				t.Errorf("topic %q has %d of 5 records, %v", topic.Name, len(rs), err)
			}
		}
	})
}
