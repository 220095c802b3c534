package embedded

import (
	"slices"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/storage"
)

// Records are removed while groups have them before them: by age or size, by key, by an operator who skips what is damaged. What was read already is handed
// out all the same. The rest is counted here, by ordinals, since offsets have gaps.

// skip passes over what is gone at the front of what is to be read, tells m how much the group had not done of it, and returns where to go on. p is being
// read, so that nobody else moves window.Next. It is called without g.mu.
func (p *partition) skip(m *member, epoch int) (next int64, err error) {
	g := p.group
	g.mu.Lock()
	from, ahead := p.window.Next(), slices.Clone(p.window.Ahead())
	g.mu.Unlock()
	b, below, err := g.engine.removed(p.id, from, ahead)
	if err != nil {
		return from, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if epoch == p.epoch {
		n := max(0, below-p.window.Passed()-p.window.Open())
		p.window.Skip(b.First, n)
		p.recount()
		p.sure = b.First
		p.touch()
		expired := g.engine.sweeper.took(p.id, b.First, n)
		g.lapsed += expired
		p.miss(m, from, b.First, n-expired)
	}
	return max(from, b.First), nil
}

// removed returns the bounds of a partition and, if the first record is above next, how many records were ever below it, together with those above it
// that are done: of one moment, though records are removed all the time.
func (e *engine) removed(p storage.PartitionID, next int64, done []frontier.Range) (b storage.Bounds, below int64, err error) {
	b, err = e.store.Bounds(p)
	for err == nil && b.First > next {
		if below, err = e.below(p, b.First, done); err != nil {
			break
		}
		first := b.First
		if b, err = e.store.Bounds(p); b.First == first {
			break
		}
	}
	return b, below, err
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
	if p.account != nil {
		p.account.read(p)
	}
	if n == 0 {
		return
	}
	p.touch()
	p.recount()
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
	u := msg.unit
	m.forget(t, true)
	m.group.counts.delivered--
	p.done(msg)
	it.Done()
	n := int64(1)
	if u != nil {
		u.place()
	} else {
		n = p.goneAt(offset)
	}
	m.group.arm()
	p.offer()
	m.group.passOn(p)
	m.group.stopIfSpent()
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
	if m == nil { // there is nobody to be told
		return
	}
	g.mu.Unlock()
	m.Missed(p.topic.position(p.number, from), p.topic.position(p.number, to), n)
	g.mu.Lock()
}

// lag counts what a group is not done with, removed records not counted: with passed and open of its window, which goes on at next, and what is
// done above it.
func (e *engine) lag(p storage.PartitionID, next, passed, open int64, done []frontier.Range) int64 {
	n, _ := e.lagTo(p, next, passed, open, done)
	return n
}

// lagTo is lag, and the offset below which that was so.
func (e *engine) lagTo(p storage.PartitionID, next, passed, open int64, done []frontier.Range) (n, end int64) {
	b, below, err := e.removed(p, next, done)
	if err != nil {
		return 0, 0 // the store is closed, or the topic deleted
	}
	gone := int64(0)
	if b.First > next {
		gone = max(0, below-passed-open)
	}
	return max(0, b.Records-passed-gone), b.Next
}
