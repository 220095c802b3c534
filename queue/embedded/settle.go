package embedded

import (
	"context"
	"errors"
	"time"

	"github.com/leatmq/leat/queue"
)

// Settle implements queue.Member.
func (m *member) Settle(ctx context.Context, ss []queue.Settlement) {
	g := m.group
	g.mu.Lock()
	mine := 1 // the lane that becomes ready is for the caller, who comes back to receive; if not, the next flush sees to it
	var x *commit
	for i := range ss {
		s := &ss[i]
		t, ok := s.Handle.(*token)
		if !ok || t.member != m || t.item == nil || t.item.Value.committing || g.overdue(t.item) {
			s.Err = queue.ErrLeaseLost
			continue
		}
		if s.Err = g.engine.takes(s); s.Err != nil {
			continue
		}
		if s.Outcome == queue.SettleExtend {
			g.extend(t.item, s.After)
			continue
		}
		if commits(s) || s.Outcome == queue.SettleDone && s.Marks && t.marks != nil {
			if x == nil {
				x = &commit{member: m}
			}
			x.begin(t, s)
			s.Err = errCommitting
			continue
		}
		m.settle(t, s)
		if s.Outcome != queue.SettleDone {
			mine = 0
		}
	}
	m.feed.wake(mine)
	g.settled(m)
	if x == nil {
		return
	}
	err := m.commit(ctx, x)
	for i := range ss {
		if ss[i].Err == errCommitting {
			ss[i].Err = err
		}
	}
}

// errCommitting marks settlements that are being committed.
var errCommitting = errors.New("queue: being committed")

// takes tells why what a settlement is about would be known to nobody, since the store stopped or the engine was closed; else nil. Those that are done are noted all the same: if they are
// to be known they are commits, which fail by themselves.
func (e *engine) takes(s *queue.Settlement) error {
	if s.Outcome == queue.SettleDone {
		return nil
	}
	return e.over()
}

// commits tells whether an outcome is to be stored before Settle returns.
func commits(s *queue.Settlement) bool {
	return s.Outcome == queue.SettleClaim || s.Outcome == queue.SettleDone && (s.Wait || len(s.Publish) > 0)
}

// settled tells others what a settlement of m may have changed for them. It is called with g.mu held and returns without it.
func (g *group) settled(m *member) {
	m.unblock()
	idle := g.out == 0 && g.set.Queued().Items == 0
	revoked := len(g.revoked) > 0
	g.mu.Unlock()
	if revoked {
		g.tellRevoked()
	}
	if idle {
		g.engine.changes.notify()
	}
}

// settle ends a hand-over.
func (m *member) settle(t *token, s *queue.Settlement) {
	g, it := m.group, t.item
	msg := &it.Value
	p := msg.partition
	u := msg.unit
	m.forget(t, s.Returned)
	switch s.Outcome {
	case queue.SettleDone:
		g.counts.done++
		p.done(msg)
		it.Done()
	case queue.SettleRetry:
		g.counts.failed++
		if msg.claimed { // it does not come again
			p.done(msg)
			it.Done()
			break
		}
		msg.suspect = false // it was survived
		due := p.failed(it, s.After, s.Cause)
		if due == 0 && p.halfFull() {
			due = g.engine.later(hurriedPause)
		}
		if m.Group.Failure.WhileRetry == queue.PassKey {
			it.Aside(due)
		} else {
			it.Back(due)
		}
		p.stepAside(m, it)
	default:
		if msg.claimed {
			p.done(msg)
			it.Done()
			break
		}
		it.Back(g.engine.later(s.After))
		p.stepAside(m, it)
	}
	g.arm() // even if nothing failed: the lane may begin with what failed before, and had to wait for this
	if u != nil {
		u.place()
	}
	p.offer()
	g.passOn(p)
	g.stopIfSpent()
}

// done takes note that a message needs no more work.
func (p *partition) done(msg *message) {
	if msg.unit != nil {
		msg.unit.done(msg.offset)
	}
	if msg.claimed {
		msg.claimed = false
		p.group.claimed--
		return
	}
	msg.finished()
	msg.track.touch()
}

// finished takes note of that in the window, and in what counts for the topic's limit.
func (m *message) finished() { m.track.finished(m.slot) }

// finished is that of the record of a slot.
func (t *track) finished(slot uint64) {
	if a := t.of.account; a != nil {
		a.done(t.of.number, t.window.Size(slot))
	}
	t.window.Done(slot)
}

// later is the time on the engine's clock after a while; 0 for at once.
func (e *engine) later(after time.Duration) time.Duration {
	if after <= 0 {
		return 0
	}
	return e.after(after)
}

// forget takes a hand-over out of what is in flight. Its handle is void from here on. returned says that nobody uses the record's bytes any more, or ever did.
func (m *member) forget(t *token, returned bool) {
	it := t.item
	t.item = nil
	if t.marks != nil {
		t.marks.Release()
		t.marks = nil
	}
	last := len(m.out) - 1
	moved, at := m.out[last], it.Value.at
	m.out[at], moved.Value.at = moved, at
	m.out[last] = nil
	m.out = m.out[:last]
	m.bytes -= it.Size
	m.group.out--
	m.group.leases.remove(it)

	msg := &it.Value
	if msg.suspect {
		m.group.suspects--
	}
	msg.giveUp(!returned)
	msg.token = nil
	msg.reload = true
	msg.record.Key, msg.record.Value, msg.record.Headers = nil, nil, nil
}

// Leave implements queue.Member.
func (m *member) Leave(ctx context.Context) error {
	g := m.group
	g.mu.Lock()
	if m.left {
		g.mu.Unlock()
		return nil
	}
	m.left = true
	g.uncommitted()
	for len(m.out) > 0 {
		m.settle(m.out[len(m.out)-1].Value.token, &queue.Settlement{Outcome: queue.SettleRelease})
	}
	g.dismiss(m)
	m.feed.wakeAll()
	m.blocked.wakeAll()
	g.mu.Unlock()
	g.tellRevoked()
	g.engine.changes.notify()
	return g.engine.flusher.flush(ctx)
}
