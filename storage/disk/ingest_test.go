package disk

import (
	"context"
	"errors"
	"runtime"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestFaultBesideAParcel gives numbers to what comes from a followed store while an entry of the store itself is on its way, which fails: there are none, and nothing more is written.
func TestFaultBesideAParcel(t *testing.T) {
	fs := memfs.New()
	st, err := OpenFS(fs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close(context.Background())
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	c := st.journal.committer
	c.turn.Lock()
	appended := make(chan error, 1)
	go func() {
		_, err := st.Append(context.Background(), &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{{Value: []byte("x")}}}}})
		appended <- err
	}()
	for n := 0; n == 0; n, _ = c.peek() {
		runtime.Gosched()
	}
	writes := 0
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind != vfs.OpWrite {
			return nil
		}
		writes++
		return syscall.EIO
	})
	_, err = c.number(1, 100)
	c.turn.Unlock()
	var stopped *storage.StoppedError
	for what, err := range map[string]error{"the parcel": err, "the entry": <-appended} {
		if !errors.As(err, &stopped) || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if writes != 1 {
		t.Errorf("%d writes, want that of the entry", writes)
	}
}
