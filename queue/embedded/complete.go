package embedded

import (
	"errors"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// later is what a hand-over still needs, and needs no lock for.
type later struct {
	handover  *queue.Handover
	partition *partition
	track     storage.PartitionID // where it is stored
	offset    int64               // the same
	headers   storage.Headers
	reload    bool
	gone      bool  // the record is not there any more
	err       error // it cannot be read
	expired   bool
}

// complete finds what the hand-overs need.
func (m *member) complete(ls []later) {
	for i := range ls {
		l := &ls[i]
		if !l.reload {
			decode(&l.handover.Message, l.headers)
			if l.expired = m.group.engine.hasExpired(l.handover.Expires); !l.handover.Expires.IsZero() {
				m.group.engine.sweeper.watch(l.partition.topic)
			}
			continue
		}
		there, err := m.group.engine.reload(&l.handover.Message, l.track, l.offset)
		l.gone, l.err = err == nil && !there, err
		l.expired = there && m.group.engine.hasExpired(l.handover.Expires)
	}
}

// sort strikes out those of ls, which hs hold with others, that could not be completed, or were taken back meanwhile. It is called with g.mu held and returns with it held; meanwhile it may
// not be.
func (m *member) sort(ls []later, hs []queue.Handover) {
	for i := range ls {
		l := &ls[i]
		t, ok := l.handover.Handle.(*token)
		switch {
		case !ok || t.item == nil: // the member left meanwhile, or the group was moved
		case !l.gone && l.err == nil && (!l.expired || m.Group.Failure.BuryExpired):
			l.handover.Expired = l.expired
			continue
		case l.gone:
			m.vanished(t, l.handover)
		case l.expired:
			m.expire(t, l.handover)
		default:
			m.unreadable(t, l, hs)
		}
		l.handover.Handle = nil
	}
}

// unreadable ends a hand-over of m whose record cannot be read. It is called with g.mu held and returns with it held; meanwhile it may not be.
func (m *member) unreadable(t *token, l *later, hs []queue.Handover) {
	var damage *storage.DamageError
	if errors.As(l.err, &damage) && !t.item.Value.claimed {
		m.hold(t, hs)
	} else {
		m.settle(t, &queue.Settlement{Outcome: queue.SettleRelease, Returned: true})
	}
	l.partition.breakOff(m, l.err)
}

// strike strikes out those of hs that were taken back meanwhile. It is called with g.mu held.
func strike(hs []queue.Handover) {
	for i := range hs {
		if t, ok := hs[i].Handle.(*token); ok && t.item == nil {
			hs[i].Handle = nil
		}
	}
}

// compact returns how many of hs are not struck out, and moves them to the front.
func compact(hs []queue.Handover) (n int) {
	for i := range hs {
		if hs[i].Handle != nil {
			hs[n] = hs[i]
			n++
		}
	}
	clear(hs[n:])
	return n
}

// Stored implements queue.MemberReader.
func (m *member) Stored(h *queue.Handover) (queue.Message, bool) {
	g := m.group
	g.mu.Lock()
	t, ok := h.Handle.(*token)
	if !ok || t.item == nil {
		g.mu.Unlock()
		return queue.Message{}, false
	}
	msg := &t.item.Value
	track, offset := msg.track.id, msg.offset
	g.mu.Unlock()
	stored := queue.Message{Topic: h.Topic, Timestamp: h.Timestamp}
	there, err := g.engine.reload(&stored, track, offset)
	return stored, there && err == nil
}
