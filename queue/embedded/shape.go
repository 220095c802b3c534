package embedded

import "github.com/leatmq/leat/storage"

// shape is which partitions a topic has, and what was of them before. It is replaced by one with more, never changed.
type shape struct {
	partitions  int
	stored      storage.Topic // of which nothing is used that can be altered
	incarnation uint64
	replaced    chan struct{} // closed when it is
}

func newShape(t *storage.Topic) *shape {
	return &shape{partitions: t.Partitions, stored: *t, incarnation: t.Incarnation, replaced: make(chan struct{})}
}

// partitions counts them. There may be more a moment later, never fewer.
func (t *topic) partitions() int { return t.shape.Load().partitions }

// Partition returns the ID of the topic's partition n.
func (t *topic) Partition(n int) storage.PartitionID { return t.shape.Load().stored.Partition(n) }

// index tells which partition of the topic has the ID.
func (t *topic) index(id storage.PartitionID) (n int, ok bool) {
	return t.shape.Load().stored.Index(id)
}

// reshape has the topic have the partitions that are stored. engine.mu is held.
func (t *topic) reshape(stored *storage.Topic) {
	if old := t.shape.Load(); old.partitions < stored.Partitions {
		t.shape.Store(newShape(stored))
		close(old.replaced)
	}
}
