package mem_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/mem"
)

// Of each key the newest record stays, and all without a key; a tombstone goes when it is old enough; what a group has not done stays, if the topic asks for that.
// Offsets, counts and the order stay as they are.
func TestLatestByKey(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) { latestByKey(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func latestByKey(t *testing.T, rng *rand.Rand) {
	st, err := mem.Open(mem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rules := storage.CleanupPolicy{LatestByKey: true, TombstoneAge: time.Hour, HoldForGroups: true}
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Cleanup: rules}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := st.CreateGroup(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	put := func(e *storage.Entry) {
		t.Helper()
		if _, err := st.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	put(&storage.Entry{Cursors: []storage.Cursor{{Group: g.ID, Partition: topic.First}}})
	var want []storage.Record
	for n := range 60 {
		rs := make([]storage.Record, 1+rng.IntN(5))
		for i := range rs {
			if rng.IntN(5) > 0 {
				rs[i].Key = fmt.Append(nil, rng.IntN(12))
			}
			if rng.IntN(4) > 0 {
				rs[i].Value = fmt.Append(nil, n, i)
			}
		}
		put(&storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: rs}}})
		want = append(want, rs...)
		time.Sleep(5 * time.Minute)
		all := slices.Clone(want)
		floor := all[len(all)-1].Offset + 1
		if rng.IntN(2) == 0 { // at the start of a batch
			floor = rs[0].Offset
		}
		put(&storage.Entry{Cursors: []storage.Cursor{{Group: g.ID, Partition: topic.First, Floor: floor}}})
		if err := st.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		want = slices.DeleteFunc(want, func(r storage.Record) bool {
			newer := slices.ContainsFunc(all, func(o storage.Record) bool {
				return o.Offset > r.Offset && string(o.Key) == string(r.Key) && o.Key != nil
			})
			old := len(r.Value) == 0 && time.Since(r.Appended) >= time.Hour
			return r.Offset < floor && r.Key != nil && (newer || old)
		})
		compare(t, st, topic.First, want)
	}
	if b, err := st.Bounds(topic.First); err != nil || b.Records != want[len(want)-1].Offset+1 || len(want) > 80 || b.Records < 150 {
		t.Errorf("bounds %+v, %v, %d left", b, err, len(want))
	}
	if err := st.Trim(t.Context(), topic.First, want[len(want)-1].Offset+1); err != nil || st.Stats().MemoryBytes != 0 {
		t.Errorf("%d bytes are held for nothing, %v", st.Stats().MemoryBytes, err)
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func compare(t *testing.T, st storage.Store, p storage.PartitionID, want []storage.Record) {
	t.Helper()
	got, _, err := st.Read(nil, p, 0, 1<<20)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d records, %v; want %d", len(got), err, len(want))
	}
	for i := range got {
		if got[i].Offset != want[i].Offset || string(got[i].Key) != string(want[i].Key) || string(got[i].Value) != string(want[i].Value) || !got[i].Appended.Equal(want[i].Appended) {
			t.Fatalf("record %d is %+v, want %+v", i, got[i], want[i])
		}
		if n, err := st.Ordinal(p, got[i].Offset); err != nil || n != got[i].Offset {
			t.Fatalf("%d records were ever in front of offset %d, %v", n, got[i].Offset, err)
		}
	}
}
