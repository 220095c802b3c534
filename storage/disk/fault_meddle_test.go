package disk_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/mem"
)

// meddling is a context in which something is done when somebody asks whether it has ended: between the checks of a call and what it does.
type meddling struct {
	context.Context
	do func()
}

func (m *meddling) Err() error {
	if do := m.do; do != nil {
		m.do = nil
		do()
	}
	return m.Context.Err()
}

// TestFaultDeletedMeanwhile deletes topics in the middle of what is done to them: a cleanup passes over them, and cleans the others; a record finds none.
func TestFaultDeletedMeanwhile(t *testing.T) {
	ctx, fs := t.Context(), memfs.New()
	st, err := disk.OpenFS(fs, tiny())
	must(t, err)
	defer st.Close(context.Background())
	create := func(name string, s storage.Strategy) storage.PartitionID {
		topic, err := st.CreateTopic(ctx, storage.TopicSpec{Name: name, Partitions: 1, Strategy: s})
		must(t, err)
		return topic.First
	}
	few := storage.Strategy{Cleanup: storage.CleanupPolicy{MaxRecords: 2}}
	inMemory := storage.Strategy{Level: storage.MemoryOnly}
	a, b, v, w := create("a", few), create("b", few), create("v", inMemory), create("w", inMemory)
	for range 5 {
		must(t, putRaw(ctx, st, record(a, "x"), record(b, "x")))
		must(t, putRaw(ctx, st, record(v, "x"), record(w, "x")))
	}
	deletes := func(name string) *meddling { return &meddling{ctx, func() { must(t, st.DeleteTopic(ctx, name)) }} }
	if err := st.Clean(deletes("a")); err != nil || bounds(st, b) != (storage.Bounds{First: 3, Next: 5, Records: 5}) {
		t.Errorf("one of two topics was deleted while they were cleaned: %v, the other has %+v", err, bounds(st, b))
	}
	if err := putRaw(deletes("v"), st, record(v, "late"), record(w, "late")); !errors.Is(err, storage.ErrNotFound) || bounds(st, w).Next != 5 {
		t.Errorf("a topic was deleted while a record came: %v, the other has %+v", err, bounds(st, w))
	}
	must(t, putRaw(ctx, st, record(w, "in time")))
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpWrite {
			return syscall.EIO
		}
		return nil
	})
	var stopped *storage.StoppedError
	if err := putRaw(ctx, st, record(b, "x")); !errors.As(err, &stopped) {
		t.Errorf("the journal cannot be written: %v", err)
	}
	if err := st.Trim(ctx, w, 3); !errors.As(err, &stopped) || bounds(st, w).First != 0 {
		t.Errorf("a trim in memory after that: %v, %+v", err, bounds(st, w))
	}
}

// TestFaultFullMemory fills a store in memory: it refuses what it has no room for, as it is, and takes what it has room for again.
func TestFaultFullMemory(t *testing.T) {
	ctx := t.Context()
	st, err := mem.Open(mem.Options{MemoryBytes: 8 << 20})
	must(t, err)
	defer st.Close(ctx)
	s := storage.Strategy{Level: storage.MemoryOnly, Memory: storage.MemoryPolicy{Bytes: 64 << 20}}
	topic, err := st.CreateTopic(ctx, storage.TopicSpec{Name: "t", Partitions: 1, Strategy: s})
	must(t, err)
	taken := int64(0)
	put := func() error {
		b := big(topic.First, 1<<20)
		_, err := st.Append(ctx, &storage.Entry{Batches: []storage.Batch{b}})
		return err
	}
	for err = put(); err == nil && taken < 100; err = put() {
		taken++
	}
	b, boundsErr := st.Bounds(topic.First)
	if !errors.Is(err, storage.ErrFull) || boundsErr != nil || b.Next != taken || taken < 4 {
		t.Fatalf("%d records of a megabyte were taken, %+v: %v", taken, b, err)
	}
	for range 3 {
		if err := put(); !errors.Is(err, storage.ErrFull) {
			t.Errorf("a full store: %v", err)
		}
	}
	must(t, st.Trim(ctx, topic.First, taken))
	must(t, put())
}

// TestFaultCleanupByAge cleans up by age while each read fails in turn: the cleanup says so, and removes what is too old the next time, that and nothing else.
func TestFaultCleanupByAge(t *testing.T) {
	failed := 0
	for n, more := 1, true; more; n++ {
		synctest.Test(t, func(t *testing.T) {
			ctx, inner := t.Context(), memfs.New()
			st, err := disk.OpenFS(inner, tiny())
			must(t, err)
			topic, err := st.CreateTopic(ctx, storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Cleanup: storage.CleanupPolicy{MaxAge: time.Hour}}})
			must(t, err)
			for range 60 {
				must(t, putRaw(ctx, st, big(topic.First, 400)))
				time.Sleep(time.Minute / 60)
			}
			must(t, st.Close(ctx))
			time.Sleep(time.Hour - 30*time.Second)
			fs := errfs.New(inner, errfs.Fault{Kinds: []vfs.Kind{vfs.OpRead}, Prefix: "seg/", Nth: n, Err: syscall.EIO})
			st, err = disk.OpenFS(fs, tiny())
			must(t, err)
			defer st.Close(context.Background())
			err = st.Clean(ctx)
			if err != nil {
				failed++
			}
			if more = fs.Injected() > 0; (err != nil) != more || err != nil && !errors.Is(err, syscall.EIO) {
				t.Errorf("read %d fails: %v", n, err)
			}
			must(t, st.Clean(ctx))
			if b := bounds(st, topic.First); b.Next != 60 || b.First < 29 || b.First > 31 {
				t.Errorf("read %d failed: %+v is left", n, b)
			}
		})
	}
	if failed < 2 {
		t.Errorf("%d reads failed: the loop is vacuous", failed)
	}
}
