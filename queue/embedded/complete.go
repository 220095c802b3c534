package embedded

import (
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// later is what a hand-over still needs, and needs no lock for.
type later struct {
	handover  *queue.Handover
	partition *partition
	headers   storage.Headers
	reload    bool
	gone      bool  // the record is not there any more
	err       error // it cannot be read
}

// complete finds what the hand-overs need.
func (m *member) complete(ls []later) {
	for i := range ls {
		l := &ls[i]
		if !l.reload {
			l.handover.Headers = decodeHeaders(l.headers)
			continue
		}
		there, err := m.group.engine.reload(l.handover, l.partition.id)
		l.gone, l.err = err == nil && !there, err
	}
}

// sort takes those out of hs that could not be completed, and returns how many are left. It is called with g.mu held and returns with it held;
// meanwhile it may not be.
func (m *member) sort(hs []queue.Handover, ls []later) int {
	for i := range ls {
		l := &ls[i]
		t, ok := l.handover.Handle.(*token)
		switch {
		case !l.gone && l.err == nil:
			continue
		case !ok || t.item == nil: // the member left meanwhile
		case l.gone:
			m.vanished(t, l.handover)
		default:
			m.settle(t, &queue.Settlement{Outcome: queue.SettleRelease})
			l.partition.breakOff(m, l.err)
		}
		l.handover.Handle = nil
	}
	n := 0
	for i := range hs {
		if hs[i].Handle != nil {
			hs[n] = hs[i]
			n++
		}
	}
	clear(hs[n:])
	return n
}
