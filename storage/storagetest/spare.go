package storagetest

import (
	"errors"
	"testing"

	"github.com/leatmq/leat/storage"
)

// testMemorySpare fills a topic in memory to its bound: what may make room goes beyond it, and not without end.
func testMemorySpare(t *testing.T, s *suite) {
	st := s.open()
	topic, g := s.bounded(st, "t", 1, storage.RefuseNew), s.group(st, "g")
	const size = 4 << 10
	fill := func(makesRoom bool) (n int) {
		for ; n <= memoryBound/size; n++ {
			e := &storage.Entry{Batches: []storage.Batch{{Partition: topic.First, Records: []storage.Record{{Value: make([]byte, size)}}}}, MakesRoom: makesRoom}
			if _, err := st.Append(t.Context(), e); errors.Is(err, storage.ErrFull) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	n, spare := fill(false), 0
	if spare = fill(true); spare == 0 || spare > memoryBound/storage.SpareMemory/size+1 {
		t.Errorf("%d records that make room were taken beyond %d within %d", spare, n, memoryBound)
	}
	s.cursor(st, storage.Cursor{Group: g, Partition: topic.First, Floor: int64(spare + 2), Passed: int64(spare + 2)})
	if again := fill(false); again == 0 || again > 2 {
		t.Errorf("when %d are done %d more were taken", spare+2, again)
	}
}
