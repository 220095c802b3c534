package storage_test

import (
	"testing"

	"github.com/leatmq/leat/storage"
)

// TestLives: a topic that was restored twice, each time to a point of the life before.
func TestLives(t *testing.T) {
	topic := storage.Topic{
		TopicSpec: storage.TopicSpec{Partitions: 2}, Incarnation: 3,
		Past: []storage.Life{{Incarnation: 1, Next: []int64{10, 0}}, {Incarnation: 2, Next: []int64{15, 5}}},
	}
	for _, test := range []struct {
		partition int
		offset    int64
		made      uint64
		holds     [4]bool // of the incarnations 1 to 4
	}{
		{0, 0, 1, [4]bool{true, true, true, false}},
		{0, 9, 1, [4]bool{true, true, true, false}},
		{0, 10, 2, [4]bool{false, true, true, false}},
		{0, 14, 2, [4]bool{false, true, true, false}},
		{0, 15, 3, [4]bool{false, false, true, false}},
		{1, 0, 2, [4]bool{false, true, true, false}},
		{1, 5, 3, [4]bool{false, false, true, false}},
		{2, 0, 3, [4]bool{false, false, true, false}},
	} {
		if got := topic.IncarnationOf(test.partition, test.offset); got != test.made {
			t.Errorf("partition %d, offset %d: of incarnation %d, want %d", test.partition, test.offset, got, test.made)
		}
		for i, want := range test.holds {
			if got := topic.Holds(uint64(i)+1, test.partition, test.offset); got != want {
				t.Errorf("partition %d, offset %d of incarnation %d: held %v, want %v", test.partition, test.offset, i+1, got, want)
			}
		}
	}
}
