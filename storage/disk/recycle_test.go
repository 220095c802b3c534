package disk_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestRecycledSlots writes slots over with frames of exactly the same places and counters as those of earlier lives, fewer each time, so that
// what an earlier life wrote goes on where the newest ends. Only the epoch tells them apart.
func TestRecycledSlots(t *testing.T) {
	fs, h, a := memfs.New(), storagetest.NewHistory(), newTally()
	var topic storage.Topic
	for life, entries := range []int{12, 12, 12, 10, 8, 6, 5, 4, 3, 2, 1} {
		if life > 0 {
			fs = fs.Crash(memfs.SyncedOnly, 1)
		}
		a.recycle(t, fs, h, &topic, life, entries)
	}
	a.check(fs.Clone(memfs.SyncedOnly, 1), h, storagetest.PowerLost, 1, "at the end", nil)
	a.end(t, "recycled slots", fmt.Sprintf("%d lives, %d replayed", a.get("lives"), a.get("replayed")), "lives", "replayed")
}

// recycle is one life of the store; it ends with the crash of the file system.
func (a *tally) recycle(t *testing.T, fs *memfs.FS, h *storagetest.History, topic *storage.Topic, life, entries int) {
	t.Helper()
	o := tiny()
	o.Tuning.SpillBytes = 4 << 20 // nothing but the journal and the checkpoint of each open is written
	st, err := disk.OpenFS(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close(context.Background()) }) // on a file system that has crashed by then
	a.count("lives", 1)
	a.count("replayed", int(st.Report().Entries))
	a.judge(h.Check(st, storagetest.PowerLost, 1), fmt.Sprint("life ", life))
	if life == 0 {
		create := func(s storage.TopicSpec) (storage.Topic, error) { return st.CreateTopic(t.Context(), s) }
		if *topic, err = h.CreateTopic(create, storage.TopicSpec{Name: "t", Partitions: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for range entries {
		e := h.Begin(storagetest.Plan{Batches: []storagetest.PlanBatch{{Partition: topic.First, Sizes: []int{500}}}})
		d, err := st.Append(t.Context(), e.Entry)
		if bad := h.End(e, d, err); bad != nil || err != nil {
			t.Fatal(bad, err)
		}
	}
}
