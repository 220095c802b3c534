package disk

import (
	"slices"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestCursorsAheadOfTheData opens a directory whose cursors are ahead of what is stored, as no crash leaves one, but a bad restore may. The
// open says so, and new records are appended above every cursor, so that none is taken for done.
func TestCursorsAheadOfTheData(t *testing.T) {
	fs := memfs.New()
	o := Options{Tuning: Tuning{SlotBytes: 64 << 10, Slots: 2}}
	open := func() *Store {
		st, err := OpenFS(fs, o)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	st := open()
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	g, err := st.CreateGroup(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	batch := func() storage.Batch {
		return storage.Batch{Partition: topic.First, Records: make([]storage.Record, 20)}
	}
	cursor := storage.Cursor{Group: g.ID, Partition: topic.First, Floor: 10, Passed: 12, Done: []storage.Range{{From: 15, To: 17}}}
	for _, e := range []storage.Entry{{Batches: []storage.Batch{batch()}}, {Cursors: []storage.Cursor{cursor}}} {
		if _, err := st.Append(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	forget(t, fs)
	st = open()
	defer st.Close(t.Context())
	if got := st.Report().Raised; !slices.Equal(got, []storage.PartitionID{topic.First}) {
		t.Errorf("raised: %v, want partition %d", got, topic.First)
	}
	e := storage.Entry{Batches: []storage.Batch{batch()}}
	if _, err := st.Append(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	if got := e.Batches[0].Records[0].Offset; got < 17 {
		t.Errorf("a new record has offset %d, and offsets below 17 may be done", got)
	}
	if c, ok := st.Cursor(g.ID, topic.First); !ok || c.Floor != 10 {
		t.Errorf("cursor %+v, %v", c, ok)
	}
}

// forget takes all records out of all checkpoints.
func forget(t *testing.T, fs vfs.FS) {
	t.Helper()
	for _, name := range checkpointNames {
		c, err := readCheckpoint(fs, name)
		if err != nil {
			continue
		}
		for i := range c.topics {
			clear(c.topics[i].parts)
		}
		f, err := fs.Open(name, vfs.ReadWrite)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.write(f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
