package mem_test

import (
	"errors"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/mem"
)

// What every group finished goes a part at a time, the oldest first and of all partitions alike, whether the store is full or a topic that is in memory; what a group has not finished stays.
func TestForgetsAPartAtATime(t *testing.T) {
	const bound, partitions, value = 8 << 20, 4, 16 << 10
	levels := map[string]storage.Strategy{
		"store": {},
		"topic": {Level: storage.MemoryOnly, Memory: storage.MemoryPolicy{Bytes: bound}},
	}
	for name, strategy := range levels {
		t.Run(name, func(t *testing.T) {
			o := mem.Options{MemoryBytes: bound}
			if strategy.Level == storage.MemoryOnly {
				o.MemoryBytes = 4 * bound
			}
			st, err := mem.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close(t.Context())
			topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: partitions, Strategy: strategy})
			if err != nil {
				t.Fatal(err)
			}
			g, err := st.CreateGroup(t.Context(), "g")
			if err != nil {
				t.Fatal(err)
			}
			put := func(n int) error {
				_, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{
					Partition: topic.Partition(n % partitions), Records: []storage.Record{{Value: make([]byte, value)}},
				}}})
				return err
			}
			finish := func() {
				for n := range partitions {
					b, err := st.Bounds(topic.Partition(n))
					if err != nil {
						t.Fatal(err)
					}
					c := storage.Cursor{Group: g.ID, Partition: topic.Partition(n), Floor: b.Next, Passed: b.Records}
					if _, err := st.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{c}}); err != nil {
						t.Fatal(err)
					}
				}
			}
			finish()
			puts := 0
			for ; ; puts++ {
				if err := put(puts); errors.Is(err, storage.ErrFull) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			finish()
			if err := put(puts); err != nil {
				t.Fatal(err)
			}
			for n := range partitions {
				b, err := st.Bounds(topic.Partition(n))
				if err != nil {
					t.Fatal(err)
				}
				if had := int64(puts / partitions); b.First == 0 || b.First > had/2 {
					t.Errorf("partition %d begins at %d of %d", n, b.First, had)
				}
			}
			finish()
			half := storage.Batch{Partition: topic.First, Records: []storage.Record{{Value: make([]byte, bound/4)}, {Value: make([]byte, bound/4)}}}
			if _, err := st.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{half}}); err != nil {
				t.Errorf("half the bound, when all is finished: %v", err)
			}
		})
	}
}
