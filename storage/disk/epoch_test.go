package disk

import (
	"context"
	"errors"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// When the frame numbers of an open are used up, the store stops and says so, to an appender that writes its group itself as to one that
// waits for the committer; nobody is left waiting.
func TestFrameNumbersUsedUp(t *testing.T) {
	for name, ctx := range map[string]context.Context{"background": context.Background(), "cancellable": t.Context()} {
		t.Run(name, func(t *testing.T) {
			st, err := OpenFS(memfs.New(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close(context.Background())
			topic, err := st.CreateTopic(ctx, storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Sync: storage.SyncOS}})
			if err != nil {
				t.Fatal(err)
			}
			entry := &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{{Value: []byte("v")}}}}}
			if _, err := st.Append(ctx, entry); err != nil {
				t.Fatal(err)
			}
			j := st.journal
			j.turn.Lock()
			j.committer.prev = frame.At(j.committer.epoch, maxFrames+1)
			j.turn.Unlock()
			if _, err := st.Append(ctx, entry); !errors.Is(err, errEpoch) {
				t.Errorf("append: got %v, want %v", err, errEpoch)
			}
			if !errors.Is(st.StopCause(), errEpoch) {
				t.Errorf("stopped because of %v", st.StopCause())
			}
		})
	}
}
