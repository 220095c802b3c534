package embedded

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// A partition that is damaged is not read on. What was read of it before is handed out, moves from member to member, and is settled as ever; so is what is parked. A message that cannot be read again for its
// next attempt is held in its lane, and a key in its parking whose next message cannot be read. When nothing else is left of any partition the group stops.

// held is when a message is due that cannot be read: when the damage is mended or given up.
const held = time.Duration(math.MaxInt64)

// broken says why a partition is not read on, nil if all are.
func (g *group) broken() error {
	for _, p := range g.active {
		if p.broken != nil {
			return p.broken
		}
	}
	return nil
}

// silent tells whether nothing of p may be handed out, since it is not known what is parked of it.
func (p *partition) silent() bool { return p.park != nil && p.park.unknown != nil }

// breakOff gives up reading p, which err keeps from being read. If it is damaged, the group goes on with what was read before, and with its other partitions. It is called with
// g.mu held and returns with it held; meanwhile it may not be.
func (p *partition) breakOff(m *member, err error) {
	g := p.group
	if errors.Is(err, storage.ErrNotFound) {
		g.stop(g.deletedTopic(p.topic))
		return
	}
	err = fmt.Errorf("queue: group %q reading %s/%d: %w", g.name, p.topic.Name, p.number, g.engine.explained(err))
	var damage *storage.DamageError
	if !errors.As(err, &damage) {
		g.stop(err)
		return
	}
	if p.broken == nil {
		p.broken = err
		if p.feed != nil {
			p.feed.forget(p)
			p.offer()
		}
		p.doubted = err
		believed := p.disproved != nil && *p.disproved == *damage
		g.mu.Unlock()
		mended := !believed && g.engine.isMended(damage)
		if !mended {
			m.Damaged(p.topic.Name, p.number, err)
		}
		g.mu.Lock()
		if p.doubted == err { // else another was found since
			p.doubted = nil
		}
		if mended && p.broken == err {
			p.unbreak()
			p.disproved = damage
		}
	}
	g.stopIfSpent()
}

// isMended tells whether what was found damaged can be read, or was given up: between the read that found it and the moment that everybody knows, who mends it finds no group to be told.
func (e *engine) isMended(d *storage.DamageError) bool {
	_, _, err := e.store.Read(nil, d.Partition, d.First, 1)
	return err == nil
}

// stopIfSpent stops a group of which no partition can be read on, when all that was read before is settled. It is to be called when something is, with g.mu held.
func (g *group) stopIfSpent() {
	if g.err == nil && !g.seeking && len(g.members) > 0 && g.spent() {
		g.stop(g.broken())
	}
}

// spent tells whether nothing is left that could be handed out before damage is mended or given up.
func (g *group) spent() bool {
	for _, p := range g.active {
		if p.broken == nil || p.broken == p.doubted || p.reading || p.adopting || p.lanes.Ready() > 0 || p.park != nil && len(p.park.ready) > 0 {
			return false
		}
	}
	due, waits := g.set.NextDue()
	return len(g.active) > 0 && g.out == 0 && g.committing == 0 && (!waits || due == held) && len(g.parked) == 0 && g.toPark.items == g.stuck() && g.unparking == 0
}

// hold keeps a message in its lane that could not be read again, until the damage is mended or given up. It is void for its member, and so are those of hs, which were taken with it, that are behind it.
func (m *member) hold(t *token, hs []queue.Handover) {
	g, it := m.group, t.item
	p := it.Value.partition
	var behind []*token
	for i := range hs {
		other, ok := hs[i].Handle.(*token)
		if ok && other.item != nil && other != t && it.Seq < other.item.Seq && it.Beside(other.item) {
			behind = append(behind, other)
			hs[i].Handle = nil
		}
	}
	for _, other := range behind {
		m.settle(other, &queue.Settlement{Outcome: queue.SettleRelease, Returned: true}) // nobody has been given it
	}
	m.forget(t, true)
	g.counts.delivered -= int64(1 + len(behind))
	if m.Group.Failure.WhileRetry == queue.PassKey {
		it.Aside(held)
	} else {
		it.Back(held)
	}
	g.arm()
	g.passOn(p)
}

// heal has p be read again, and what was held.
func (p *partition) heal() {
	p.broken, p.disproved, p.unread = nil, nil, true
	for _, it := range p.lanes.Waiters() {
		if it.Due == held {
			it.Rouse()
		}
	}
	if k := p.park; k != nil {
		us := k.held
		k.held = nil
		for _, u := range us {
			u.held = false
			u.place()
		}
		for u := range k.all {
			if u.resting() {
				u.move()
			}
		}
		k.troubles.damage = nil
	}
}
