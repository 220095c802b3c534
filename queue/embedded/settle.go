package embedded

import (
	"context"

	"github.com/leatmq/leat/queue"
)

// Settle implements queue.Member.
func (m *member) Settle(_ context.Context, ss []queue.Settlement) {
	g := m.group
	g.mu.Lock()
	mine := 1 // the lane that becomes ready is for the caller, who comes back to receive; if not, the next flush sees to it
	for i := range ss {
		s := &ss[i]
		t, ok := s.Handle.(*token)
		if !ok || t.member != m || t.item == nil {
			s.Err = queue.ErrLeaseLost
			continue
		}
		s.Err = nil
		m.settle(t, s)
		if s.Outcome != queue.SettleDone {
			mine = 0
		}
	}
	m.feed.wake(mine)
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
	m.forget(t)
	switch s.Outcome {
	case queue.SettleDone:
		g.counts.done++
		p.window.Done(msg.slot)
		p.touch()
		it.Done()
	case queue.SettleRetry:
		g.counts.failed++
		due := p.failed(it, s.After)
		p.touch()
		it.Back(due)
	default:
		it.Back(0)
	}
	g.arm() // even if nothing failed: the lane may begin with what failed before, and had to wait for this
	p.offer()
	g.passOn(p)
}

// forget takes a hand-over out of what is in flight. Its handle is void from here on.
func (m *member) forget(t *token) {
	it := t.item
	t.item = nil
	last := len(m.out) - 1
	moved, at := m.out[last], it.Value.at
	m.out[at], moved.Value.at = moved, at
	m.out[last] = nil
	m.out = m.out[:last]
	m.bytes -= it.Size
	m.group.out--

	msg := &it.Value
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
