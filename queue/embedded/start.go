package embedded

import (
	"fmt"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/storage"
)

// begin returns the cursor of a group that begins a partition at s.
func (e *engine) begin(t *topic, partition int, s queue.Start) (frontier.State, error) {
	id := t.Partition(partition)
	kind, since, ps := s.Resolve()
	switch kind {
	case queue.StartLatest:
		b, err := e.store.Bounds(id)
		return frontier.State{Floor: b.Next, Passed: b.Records}, translate(err)
	case queue.StartSince:
		offset, err := e.store.OffsetAt(id, since)
		if err != nil {
			return frontier.State{}, translate(err)
		}
		return e.cursorAt(id, offset)
	case queue.StartFrom, queue.StartAfter:
		for _, p := range ps {
			if p.Topic() == t.Name && p.Partition() == partition {
				return e.beginAt(t, p, kind == queue.StartAfter)
			}
		}
	}
	return e.cursorAt(id, 0)
}

// checkStart refuses positions in partitions that are not.
func (e *engine) checkStart(s queue.Start) error {
	_, _, ps := s.Resolve()
	for _, p := range ps {
		t, err := e.topic(p.Topic())
		if err == nil {
			err = t.has(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// beginAt returns the cursor at or behind a position of t.
func (e *engine) beginAt(t *topic, at queue.Position, behind bool) (frontier.State, error) {
	if err := t.has(at); err != nil {
		return frontier.State{}, err
	}
	id := t.Partition(at.Partition())
	b, err := e.store.Bounds(id)
	if err != nil {
		return frontier.State{}, translate(err)
	}
	offset, _ := at.Offset()
	if behind {
		offset++
	}
	if offset > b.Next {
		return frontier.State{}, fmt.Errorf("%w: position %s, the partition goes up to %d", queue.ErrNotFound, at, b.Next)
	}
	return e.cursorAt(id, offset)
}

// has refuses a position of a partition that t does not have, of another topic that had its name, and of a message that is not in the copy that was
// restored.
func (t *topic) has(at queue.Position) error {
	if n := at.Partition(); n < 0 || n >= t.partitions() {
		return fmt.Errorf("%w: position %s, topic %q has %d partitions", queue.ErrNotFound, at, t.Name, t.partitions())
	}
	if offset, _ := at.Offset(); at.Incarnation() != 0 && !t.shape.Load().stored.Holds(at.Incarnation(), at.Partition(), offset) {
		return fmt.Errorf("%w: position %s, topic %q is of incarnation %x now", queue.ErrNotFound, at, t.Name, t.shape.Load().incarnation)
	}
	return nil
}

// cursorAt returns the cursor of a group for which everything below offset is done. What is no longer stored is done too.
func (e *engine) cursorAt(id storage.PartitionID, offset int64) (frontier.State, error) {
	b, err := e.store.Bounds(id)
	if err != nil {
		return frontier.State{}, translate(err)
	}
	s := frontier.State{Floor: max(offset, b.First)}
	if s.Floor > 0 {
		s.Passed, err = e.store.Ordinal(id, s.Floor)
	}
	return s, translate(err)
}
