package disk_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// Many topics with a record each, and very many records of one byte, need no more memory than is allowed (M29).
func TestManyAndTiny(t *testing.T) {
	topics, records := sized(t, 100, 10_000, 10_000), sized(t, 50_000, 1_000_000, 10_000_000)
	dir, o := t.TempDir(), disk.Options{MemoryBytes: 8 << 20}
	st, err := disk.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	held := func() {
		t.Helper()
		if n := st.Stats().MemoryBytes; n > o.MemoryBytes+o.MemoryBytes/16 {
			t.Fatalf("%d bytes are held, %d are allowed", n, o.MemoryBytes)
		}
	}
	const makers = 32
	var all sync.WaitGroup
	for m := range makers {
		all.Go(func() {
			for i := m; i < topics; i += makers {
				topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: fmt.Sprint("t", i), Partitions: 1, Strategy: storage.Strategy{Sync: storage.SyncOS}})
				if err == nil {
					_, err = st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{oneRecord(topic.First)}})
				}
				if err != nil {
					t.Errorf("topic %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
	held()
	p := turnTopic(t, st, storage.SyncOS, "tiny")
	batch := make([]storage.Record, 1000)
	for i := range batch {
		batch[i].Value = []byte{byte(i)}
	}
	for range records / len(batch) {
		if _, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: batch}}}); err != nil {
			t.Fatal(err)
		}
		held()
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st, err = disk.Open(dir, o); err != nil {
		t.Fatal(err)
	}
	n := 0
	for from, rs := int64(0), []storage.Record(nil); ; n += len(rs) {
		if rs, from, err = st.Read(rs[:0], p, from, 1<<20); err != nil {
			t.Fatal(err)
		}
		if len(rs) == 0 {
			break
		}
		for i := range rs {
			if want := byte((n + i) % len(batch)); len(rs[i].Value) != 1 || rs[i].Value[0] != want {
				t.Fatalf("record %d is %q", n+i, rs[i].Value)
			}
		}
	}
	if n != records || len(st.Topics()) != topics+1 {
		t.Errorf("%d records and %d topics, want %d and %d", n, len(st.Topics()), records, topics+1)
	}
	held()
	var heap runtime.MemStats
	runtime.GC()
	runtime.GC() // what lies in pools, of stores of other tests too, outlives one
	runtime.ReadMemStats(&heap)
	t.Logf("many: %d topics, %d records, %d MiB on the heap", topics, records, heap.HeapAlloc>>20)
	if most := uint64(128 << 20); heap.HeapAlloc > most {
		t.Errorf("%d bytes on the heap, want at most %d", heap.HeapAlloc, most)
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
