package disk_test

import (
	"errors"
	"sync"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// eventLog is what a store told its operator.
type eventLog struct {
	mu     sync.Mutex
	events []storage.Event
}

func (l *eventLog) note(e storage.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// of returns the events of a kind.
func (l *eventLog) of(k storage.EventKind) (es []storage.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Kind == k {
			es = append(es, e)
		}
	}
	return es
}

// A store that stops says so, once, with the cause; one that does not, does not. The operator's function may call the store.
func TestStoppedIsToldOnce(t *testing.T) {
	var log eventLog
	for _, broken := range []bool{true, false} {
		var st *disk.Store
		o := tiny()
		o.Events = func(e storage.Event) {
			log.note(e)
			if st.Stats().Topics != 1 || st.StopCause() == nil {
				t.Errorf("%v: the store says otherwise", e)
			}
		}
		fault := errfs.Fault{Kinds: []vfs.Kind{vfs.OpSyncData}, Prefix: "journal/", Nth: 4, Always: true}
		if broken {
			fault.Err = syscall.EIO
		}
		fs := errfs.New(memfs.New(), fault)
		var err error
		if st, err = disk.OpenFS(fs, o); err != nil {
			t.Fatal(err)
		}
		p := turnTopic(t, st, storage.SyncAlways, "t")
		for range 3 {
			_, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: []storage.Record{{Value: []byte("v")}}}}})
			if broken != (err != nil) {
				t.Fatal(err)
			}
		}
		if err := st.Close(t.Context()); broken != errors.Is(err, syscall.EIO) {
			t.Errorf("close: %v", err)
		}
		if fs.Injected() == 0 {
			t.Error("the fault met nothing")
		}
	}
	es := log.of(storage.EventStopped)
	if len(es) != 1 || !errors.Is(es[0].Err, syscall.EIO) || es[0].At.IsZero() {
		t.Errorf("told %v, want that it stopped because of EIO, once", es)
	}
}
