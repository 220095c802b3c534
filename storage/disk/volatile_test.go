package disk_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// stallable is a store whose journal stalls when a test says so.
type stallable struct {
	*disk.Store
	stalled       chan struct{} // closed when a write waits
	armed, goesOn func()
}

func newStallable(t *testing.T) *stallable {
	t.Helper()
	s := &stallable{stalled: make(chan struct{})}
	armed, goesOn := make(chan struct{}), make(chan struct{})
	s.armed, s.goesOn = func() { close(armed) }, sync.OnceFunc(func() { close(goesOn) })
	var once sync.Once
	fault := errfs.Fault{Kinds: []vfs.Kind{vfs.OpWrite}, Prefix: "journal/", Always: true, Before: func(vfs.Op) {
		select {
		case <-armed:
			once.Do(func() { close(s.stalled); <-goesOn })
		default:
		}
	}}
	st, openErr := disk.OpenFS(errfs.New(memfs.New(), fault), tiny())
	if openErr != nil {
		t.Fatal(openErr)
	}
	s.Store = st
	t.Cleanup(func() { s.goesOn(); st.Close(context.Background()) })
	return s
}

func inMemory(t *testing.T, st storage.Store, name string) storage.Topic {
	t.Helper()
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: name, Partitions: 2, Strategy: storage.Strategy{
		Level: storage.MemoryOnly, Memory: storage.MemoryPolicy{Bytes: 1 << 20, WhenFull: storage.DropOldest},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

func oneRecord(p storage.PartitionID) storage.Batch {
	return storage.Batch{Partition: p, Records: []storage.Record{{Value: []byte("v")}}}
}

// Topics in memory do not wait for the disk. A cursor that comes with a durable entry takes effect with it, but never in the place of one that was given later.
func TestMemoryGoesOnWhileTheDiskStalls(t *testing.T) {
	st := newStallable(t)
	m, d := inMemory(t, st, "memory"), turnTopic(t, st, storage.SyncAlways, "disk")
	g, err := st.CreateGroup(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	put := func(e *storage.Entry) error { _, err := st.Append(context.Background(), e); return err }
	floor := func(p storage.PartitionID, n int64) []storage.Cursor {
		return []storage.Cursor{{Group: g.ID, Partition: p, Floor: n, Passed: n}}
	}
	for range 9 {
		if err := errors.Join(put(&storage.Entry{Batches: []storage.Batch{oneRecord(m.First), oneRecord(m.Partition(1))}})); err != nil {
			t.Fatal(err)
		}
	}
	st.armed()
	waiting := make(chan error, 1)
	go func() {
		waiting <- put(&storage.Entry{Batches: []storage.Batch{oneRecord(d)}, Cursors: append(floor(m.First, 1), floor(m.Partition(1), 1)...)})
	}()
	<-st.stalled
	for i := range 3000 { // more than the journal holds, and than the topic
		e := &storage.Entry{Batches: []storage.Batch{{Partition: m.First, Records: []storage.Record{{Value: make([]byte, 1000)}}}}}
		if err := put(e); err != nil {
			t.Fatalf("append %d to memory: %v", i, err)
		}
	}
	if _, ok := st.Cursor(g.ID, m.Partition(1)); ok {
		t.Error("a cursor took effect before its entry")
	}
	if err := put(&storage.Entry{Cursors: floor(m.First, 5)}); err != nil {
		t.Fatal(err)
	}
	st.goesOn()
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{5, 1} {
		if c, ok := st.Cursor(g.ID, m.Partition(i)); !ok || c.Floor != want {
			t.Errorf("partition %d: the cursor is %+v, %v; want floor %d", i, c, ok, want)
		}
	}
}

// A store that has stopped refuses every write, also of what is in memory only: its owner is to open it anew, and then that is gone. Reads go on.
func TestStoppedStoreRefusesMemory(t *testing.T) {
	fs := memfs.New()
	st, err := open(fs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close(context.Background()) })
	m, d := inMemory(t, st, "memory"), turnTopic(t, st, storage.SyncAlways, "disk")
	g, err := st.CreateGroup(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{oneRecord(m.First)}}); err != nil {
		t.Fatal(err)
	}
	fs.Crash(memfs.SyncedOnly, 1) // from here on every operation fails
	e := &storage.Entry{Batches: []storage.Batch{oneRecord(d)}, Cursors: []storage.Cursor{{Group: g.ID, Partition: m.First, Floor: 1, Passed: 1}}}
	if _, err := st.Append(t.Context(), e); !errors.Is(err, storage.ErrIndeterminate) {
		t.Fatalf("an append on a failing disk: %v", err)
	}
	<-st.Stopped()
	var stopped *storage.StoppedError
	if _, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{oneRecord(m.First)}}); !errors.As(err, &stopped) || errors.Is(err, storage.ErrIndeterminate) {
		t.Errorf("an append to memory: %v", err)
	}
	if rs, _, err := st.Read(nil, m.First, 0, 100); len(rs) != 1 || err != nil {
		t.Errorf("read %d records, %v", len(rs), err)
	}
	if c, ok := st.Cursor(g.ID, m.First); ok {
		t.Errorf("the cursor of an entry that was not stored: %+v", c)
	}
}
