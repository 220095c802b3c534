package disk_test

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// An entry for which there is no journal file large enough, and no descriptor to make one, is refused with that as the cause, and not as if the disk were full. It is taken when
// there are descriptors again.
func TestNoDescriptorForAJournalFile(t *testing.T) {
	for _, kind := range []vfs.Kind{vfs.OpCreate, vfs.OpSyncDir} {
		fs := memfs.New()
		st := opened(t, fs, tiny())
		topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Sync: storage.SyncOS}})
		must(t, err)
		var none atomic.Bool
		none.Store(true)
		fs.OnOp(func(op vfs.Op) error {
			if none.Load() && op.Kind == kind && (op.Name == "journal" || op.Name == "journal/02") {
				return syscall.EMFILE
			}
			return nil
		})
		large := storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{{Value: make([]byte, 90_000)}}}}}
		_, err = st.Append(context.Background(), &large)
		if !errors.Is(err, storage.ErrFull) || !errors.Is(err, syscall.EMFILE) || errors.Is(err, storage.ErrNoSpace) || errors.Is(err, storage.ErrIndeterminate) {
			t.Errorf("%v fails: an entry that fits no journal file: %v, want %v with its cause", kind, err, storage.ErrFull)
		}
		none.Store(false)
		if _, err := st.Append(context.Background(), &large); err != nil {
			t.Errorf("%v fails no more: %v", kind, err)
		}
		closeStore(t, st)
	}
}
