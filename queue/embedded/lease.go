package embedded

import (
	"math"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/lanes"
)

// leases is a heap of messages that are in flight until a time, the one whose time comes first on top. Messages of members without a lease
// are not in it.
type leases []*lanes.Item[message]

// add starts the lease of it. It must have none.
func (l *leases) add(it *lanes.Item[message], until time.Duration) {
	it.Value.until = until
	*l = append(*l, it)
	it.Value.leased = int32(len(*l))
	l.up(len(*l) - 1)
}

// move has the lease of it end at another time.
func (l leases) move(it *lanes.Item[message], until time.Duration) {
	it.Value.until = until
	i := int(it.Value.leased) - 1
	l.down(i)
	l.up(i)
}

// remove ends the lease of it, if it has one.
func (l *leases) remove(it *lanes.Item[message]) {
	i, last := int(it.Value.leased)-1, len(*l)-1
	if i < 0 {
		return
	}
	l.swap(i, last)
	(*l)[last] = nil
	*l = (*l)[:last]
	it.Value.leased = 0
	if i < last {
		l.down(i)
		l.up(i)
	}
}

func (l leases) less(i, j int) bool { return l[i].Value.until < l[j].Value.until }

func (l leases) swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].Value.leased, l[j].Value.leased = int32(i)+1, int32(j)+1
}

func (l leases) up(i int) {
	for i > 0 && l.less(i, (i-1)/2) {
		l.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (l leases) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(l) {
			return
		}
		if child+1 < len(l) && l.less(child+1, child) {
			child++
		}
		if !l.less(child, i) {
			return
		}
		l.swap(i, child)
		i = child
	}
}

// lease starts the lease of what is handed over now.
func (m *member) lease(it *lanes.Item[message], h *queue.Handover) {
	d := m.Group.Lease
	if d == 0 {
		return
	}
	h.Deadline = time.Now().Add(d) // before the engine's clock is looked at, so that it is no later
	m.group.leases.add(it, m.group.engine.after(d))
}

// after is a time on the engine's clock.
func (e *engine) after(d time.Duration) time.Duration {
	now := e.now()
	return now + min(d, math.MaxInt64-now)
}

// overdue tells whether the lease of it is over, though the timer has not rung yet: a process that was stopped for longer than the lease
// goes on with either.
func (g *group) overdue(it *lanes.Item[message]) bool {
	return it.Value.leased > 0 && it.Value.until <= g.engine.now()
}

// extend has the lease of it, if it has one, end after d.
func (g *group) extend(it *lanes.Item[message], d time.Duration) {
	if it.Value.leased == 0 {
		return
	}
	g.leases.move(it, g.engine.after(d))
	g.arm()
}

// expiredLease is one that a member has to be told of.
type expiredLease struct {
	token    *token
	position queue.Position
	attempt  int
}

// leaseExpired is the cause of an attempt that failed because nobody settled it in time.
const leaseExpired = "the lease expired"

// expire takes back what was leased up to now, as failed. The caller tells the members, and those whose partitions are passed on.
func (g *group) expire(now time.Duration) []expiredLease {
	var es []expiredLease
	for len(g.leases) > 0 && g.leases[0].Value.until <= now {
		it := g.leases[0]
		msg := &it.Value
		t, p := msg.token, msg.partition
		es = append(es, expiredLease{t, p.topic.position(p.number, msg.record.Offset), int(msg.attempts) + 1})
		t.member.settle(t, &queue.Settlement{Outcome: queue.SettleRetry, Cause: leaseExpired})
	}
	return es
}

// tellExpired tells the members that had the leases, all of them even if one ends the goroutine. It is called without g.mu.
func tellExpired(es []expiredLease) {
	if len(es) == 0 {
		return
	}
	defer tellExpired(es[1:])
	es[0].token.member.Expired(es[0].token, es[0].position, es[0].attempt)
}
