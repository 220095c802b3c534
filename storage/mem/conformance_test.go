package mem_test

import (
	"flag"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/mem"
	"github.com/leatmq/leat/storage/storagetest"
)

func TestConformance(t *testing.T) {
	if loops := os.Getenv("LEAT_LOOPS"); loops == "ci" || loops == "full" {
		histories(t, 1000, 50)
	} else {
		histories(t, 40, 30)
	}
	storagetest.Test(t, func(testing.TB) storagetest.Harness {
		const small = 8 << 20
		return storagetest.Harness{
			Open:        func() (storage.Store, error) { return mem.Open(mem.Options{}) },
			Volatile:    true,
			Small:       func() (storage.Store, error) { return mem.Open(mem.Options{MemoryBytes: small}) },
			MemoryBytes: small,
		}
	})
}

// Nothing runs beside the appends, so they apply the cleanup policies, but not each of them.
func TestAppendsApplyPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := mem.Open(mem.Options{})
		if err != nil {
			t.Fatal(err)
		}
		topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Cleanup: storage.CleanupPolicy{MaxRecords: 10}}})
		if err != nil {
			t.Fatal(err)
		}
		left := func() int64 {
			b, err := st.Bounds(topic.First)
			if err != nil {
				t.Fatal(err)
			}
			return b.Next - b.First
		}
		for i := range 101 {
			if i == 100 {
				time.Sleep(2 * time.Second)
			}
			e := &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: make([]storage.Record, 1)}}}
			if _, err := st.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if i == 99 && left() != 100 {
				t.Errorf("%d records are left before a second has passed", left())
			}
		}
		if w := st.Stats().Work["cleanup"]; left() != 10 || w.LastError != nil || w.Runs < 2 {
			t.Errorf("%d records are left, want 10; %+v", left(), w)
		}
	})
}

// histories sets how many histories rapid makes for the model test, and how long they are about, unless somebody repeats a failure.
func histories(t *testing.T, checks, steps int) {
	for name, n := range map[string]int{"rapid.checks": checks, "rapid.steps": steps} {
		f := flag.Lookup(name)
		if was := f.Value.String(); was == f.DefValue {
			t.Cleanup(func() { f.Value.Set(was) })
			f.Value.Set(strconv.Itoa(n))
		}
	}
}
