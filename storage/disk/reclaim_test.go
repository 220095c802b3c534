package disk_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestReclaim: when it returns, the files of what was removed are gone.
func TestReclaim(t *testing.T) {
	fsys := memfs.New()
	synctest.Test(t, func(t *testing.T) {
		st, err := open(fsys)
		if err != nil {
			t.Fatal(err)
		}
		topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 { // more than is spilled at once
			e := storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{{Value: make([]byte, 5000)}}}}}
			if _, err := st.Append(t.Context(), &e); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Reclaim(t.Context()); err != nil {
			t.Fatal(err)
		}
		count := func() (n int) {
			for _, name := range fsys.Files() {
				if strings.HasPrefix(name, "seg/") {
					n++
				}
			}
			return n
		}
		before := count()
		if err := st.Trim(t.Context(), topic.First, 99); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := st.Reclaim(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := count(); before < 2 || after != 1 {
			t.Errorf("%d files before, %d after, want one", before, after)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := st.Reclaim(ended); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: got %v", err)
		}
		if err := st.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := st.Reclaim(t.Context()); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("closed: got %v, want %v", err, storage.ErrClosed)
		}
	})
	st, err := disk.OpenReadOnlyFS(fsys, tiny())
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Reclaim(t.Context()); !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("read-only: got %v, want %v", err, storage.ErrReadOnly)
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
