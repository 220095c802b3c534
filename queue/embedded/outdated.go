package embedded

import (
	"time"

	"github.com/leatmq/leat/queue"
)

// hasExpired tells whether the time of a message is over that expires at at.
func (e *engine) hasExpired(at time.Time) bool { return !at.IsZero() && !e.wall().Before(at) }

// expire ends a hand-over of m whose message has expired: it is done, and is not handed out. Whoever wants expired messages to go somewhere commits that here, with the
// message being done. It is called with g.mu held and returns with it held; meanwhile it is not.
func (m *member) expire(t *token, h *queue.Handover) {
	g := m.group
	m.settle(t, &queue.Settlement{Outcome: queue.SettleDone, Returned: true})
	g.counts.done--
	g.counts.delivered--
	g.lapsed++
	g.mu.Unlock()
	g.engine.changes.notify()
	g.engine.tellExpired(queue.ExpiredEvent{Topic: h.Topic, Group: g.name, Position: h.Position, Expires: h.Expires})
	g.mu.Lock()
}
