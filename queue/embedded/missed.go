package embedded

import (
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/storage"
)

// Records are removed while groups have them before them: by age or size, by key, by an operator who skips what is damaged. What was read already is handed
// out all the same. The rest is counted here, by ordinals, since offsets have gaps.

// skip goes on at first, below which records are gone, and tells m how many the group had not done. It is called with g.mu held and
// returns with it held; meanwhile it is not. p is being read, so that nobody else moves window.Next.
func (p *partition) skip(m *member, first int64) error {
	g, from, epoch := p.group, p.window.Next(), p.epoch
	ahead := append([]frontier.Range(nil), p.window.Ahead()...)
	g.mu.Unlock()
	below, err := g.engine.below(p.id, first, ahead)
	g.mu.Lock()
	if err != nil || epoch != p.epoch {
		return err
	}
	n := max(0, below-p.window.Passed()-p.window.Open())
	p.window.Skip(first, n)
	p.sure = first
	p.touch()
	p.miss(m, from, first, n)
	return nil
}

// below counts the records below first and those that are done above it.
func (e *engine) below(p storage.PartitionID, first int64, done []frontier.Range) (int64, error) {
	n, err := e.store.Ordinal(p, first)
	for _, r := range done {
		if r.To <= first || err != nil {
			continue
		}
		var from, to int64
		if to, err = e.store.Ordinal(p, r.To); err == nil {
			from, err = e.store.Ordinal(p, max(first, r.From))
		}
		n += to - from
	}
	return n, err
}

// reached is called when p was read to the end, where total records were ever stored. Those that are not there any more are either of a topic
// that keeps the latest of each key, and then superseded, or lost.
func (p *partition) reached(m *member, total int64) {
	n := p.window.Reached(total)
	from := p.sure
	p.sure = p.window.Next()
	if n == 0 {
		return
	}
	p.touch()
	if p.topic.manner.Load().strategy.Cleanup.LatestByKey {
		n = 0
	}
	p.miss(m, from, p.sure, n)
}

// vanished ends a hand-over of m whose record is gone, so that it cannot be handed out again.
func (m *member) vanished(t *token, h *queue.Handover) {
	msg := &t.item.Value
	p, it := msg.partition, t.item
	offset, _ := h.Position.Offset()
	m.forget(t)
	m.group.counts.delivered--
	p.window.Done(msg.slot)
	p.touch()
	it.Done()
	n := int64(1)
	if b, err := m.group.engine.store.Bounds(p.id); err == nil && offset >= b.First && p.topic.manner.Load().strategy.Cleanup.LatestByKey {
		n = 0 // a newer one of its key is there
	}
	m.group.arm()
	p.offer()
	m.group.passOn(p)
	p.miss(m, offset, offset+1, n)
}

// miss counts n records that the group will never get, and tells m. It is called with g.mu held and returns with it held; meanwhile it is not.
func (p *partition) miss(m *member, from, to, n int64) {
	g := p.group
	g.engine.changes.notify()
	if n == 0 {
		return
	}
	g.counts.missed += n
	g.mu.Unlock()
	m.Missed(p.topic.position(p.number, from), p.topic.position(p.number, to), n)
	g.mu.Lock()
}

// removed counts what is gone of a partition and was neither done nor read by a group that would go on at next: with passed and open of
// its window, and done above it.
func (e *engine) removed(p storage.PartitionID, first, next, passed, open int64, done []frontier.Range) int64 {
	if first <= next {
		return 0
	}
	below, err := e.below(p, first, done)
	if err != nil {
		return 0 // whoever reads finds out
	}
	return max(0, below-passed-open)
}
