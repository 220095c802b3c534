package storage_test

import (
	"math"
	"slices"
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

// TestPartitionIDs goes from partitions to IDs and back, in topics that were given partitions.
func TestPartitionIDs(t *testing.T) {
	for name, test := range map[string]struct {
		topic storage.Topic
		ids   []storage.PartitionID
	}{
		"as made": {storage.Topic{First: 7}, []storage.PartitionID{7, 8, 9}},
		"grown":   {storage.Topic{First: 7, Added: []storage.Stretch{{From: 2, First: 12}, {From: 3, First: 20}}}, []storage.PartitionID{7, 8, 12, 20, 21}},
		"from 0":  {storage.Topic{Added: []storage.Stretch{{From: 1, First: 2}}}, []storage.PartitionID{0, 2, 3}},
		"the last": {
			storage.Topic{First: 1, Added: []storage.Stretch{{From: 1, First: math.MaxUint32 - 2}}}, []storage.PartitionID{1, math.MaxUint32 - 2, math.MaxUint32 - 1},
		},
	} {
		test.topic.Partitions = len(test.ids)
		for n, id := range test.ids {
			if got := test.topic.Partition(n); got != id {
				t.Errorf("%s: partition %d is %d, want %d", name, n, got, id)
			}
			for _, near := range []storage.PartitionID{id - 1, id, id + 1} {
				want := slices.Index(test.ids, near)
				if got, ok := test.topic.Index(near); ok != (want >= 0) || ok && got != want {
					t.Errorf("%s: the ID %d is partition %d, %v, want %d", name, near, got, ok, want)
				}
			}
		}
	}
}
