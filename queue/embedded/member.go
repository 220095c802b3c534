package embedded

import (
	"context"
	"math"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/lanes"
)

// member is a queue.Member: a slot of its group's dispatcher.
type member struct {
	queue.Membership
	group  *group
	maxOut int // messages in flight

	// Guarded by group.mu.
	feed     *feed
	blocked  receivers              // those that wait until something of this member is settled or taken over
	out      []*lanes.Item[message] // in flight
	bytes    int                    // of those
	tokens   []token                // to be used, each once
	adopting bool                   // it is taking over partitions, and nothing else may run meanwhile
	err      error                  // of Resume
	left     bool
}

func newMember(g *group, m queue.Membership) *member {
	made := &member{Membership: m, group: g, feed: &feed{}}
	made.maxOut = int(min(math.MaxInt32, int64(m.Group.Concurrency)*int64(max(1, m.Group.Batch.Messages))))
	if m.Group.Order == queue.Unordered {
		made.feed = &g.shared
	}
	return made
}

// Receive implements queue.Member.
func (m *member) Receive(ctx context.Context, dst []queue.Handover, limits queue.ReceiveLimits) (int, error) {
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.receiver()
	defer g.release(r)
	for {
		n, err := m.receive(ctx, r, dst, limits)
		if err != nil {
			m.feed.wake(0) // what this call was woken for is for another
			m.unblock()
			return n, err
		}
		if m.careful(n) {
			if err := m.markStarts(ctx, dst[:n]); err != nil {
				return 0, err
			}
			strike(dst[:n])
		}
		if len(r.later) > 0 {
			g.mu.Unlock()
			m.complete(r.later)
			g.mu.Lock()
			m.sort(r.later, dst[:n])
		}
		if n = compact(dst[:n]); n > 0 {
			clear(r.later)
			r.later = r.later[:0]
			return n, nil
		}
		clear(r.later)
		r.later = r.later[:0]
	}
}

// receive waits until it can fill something of dst. It is called with g.mu held and returns with it held.
func (m *member) receive(ctx context.Context, r *receiver, dst []queue.Handover, limits queue.ReceiveLimits) (int, error) {
	g, f := m.group, m.feed
	first := true
	for ; ; first = false {
		if err := m.over(ctx); err != nil {
			return 0, err
		}
		switch {
		case m.mayAdopt():
			m.adopt(ctx)
		case m.full():
			g.callAnother(f)
			m.wait(ctx, r, &m.blocked, nil)
		case first && f.mayUnpark(g): // so that what is due does not wait for all that is ready
			f.unpark(m)
		case m.enough(r, len(dst), limits):
			n := m.take(r, dst, limits)
			f.wake(0)
			g.unblock(m)
			if n > 0 {
				return n, nil
			}
		case f.mayUnpark(g):
			f.unpark(m)
		case len(f.unread) > 0 && g.mayRead():
			f.fetch(m)
		case f.turns.Lanes() > 0:
			m.wait(ctx, r, &f.idle, r.lingering(limits.Linger))
		default:
			r.stopLinger()
			m.wait(ctx, r, &f.idle, nil)
		}
	}
}

// over tells why the member receives no more, nil if it does.
func (m *member) over(ctx context.Context) error {
	g := m.group
	switch {
	case m.left:
		return queue.ErrClosed
	case g.err != nil:
		return g.err
	case m.err != nil:
		return m.err
	}
	select {
	case <-g.engine.store.Stopped(): // not only when the engine's goroutine has heard of it
		return g.engine.Err()
	default:
		return ctx.Err()
	}
}

// full tells whether the member has to settle something, to take over partitions, or to wait for an operator or for another member to leave, before it
// gets more.
func (m *member) full() bool {
	turns := &m.feed.turns
	switch {
	case m.adopting, m.mustAdopt(), len(m.out) >= m.maxOut, m.group.paused(), m.group.seeking, m.standsBy():
		return true
	case len(m.out) == 0 || turns.Lanes() == 0:
		return false
	}
	return turns.NextSize() > m.Group.InFlightBytes-m.bytes
}

// unblock calls a receiver that waited until the member was not full, if it is not. That one calls the next.
func (m *member) unblock() {
	if m.blocked.first != nil && (m.mayAdopt() || !m.full()) {
		m.blocked.pop().wake <- struct{}{}
	}
}

// unblock is to be called when m took something. What is next may fit another member, too, if the members share what there is.
func (g *group) unblock(m *member) {
	m.unblock()
	if g.order != queue.Unordered || len(g.members) == 1 {
		return
	}
	for _, m := range g.members {
		m.unblock()
	}
}

// callAnother is to be called when a receiver of f has no room for what it may have been woken for. If members share f, another may have.
func (g *group) callAnother(f *feed) {
	if g.order == queue.Unordered && len(g.members) > 1 {
		f.wake(0)
	}
}

// enough tells whether what there is should be handed out now.
func (m *member) enough(r *receiver, want int, limits queue.ReceiveLimits) bool {
	run := m.feed.turns.Run()
	return run.Items > 0 && (limits.Linger <= 0 || r.waited ||
		run.Items >= min(want, m.maxOut-len(m.out)) || limits.Bytes > 0 && run.Bytes >= limits.Bytes)
}

// wait puts r in a list until it is woken, there is news from the store, ctx ends, or the time to linger is over.
func (m *member) wait(ctx context.Context, r *receiver, list *receivers, linger <-chan time.Time) {
	g := m.group
	var news <-chan struct{}
	if list == &m.feed.idle {
		news = g.watcher.C()
	}
	list.push(r)
	g.mu.Unlock()
	noticed := false
	select {
	case <-r.wake:
	case <-news:
		noticed = true
	case <-linger:
		r.waited = true
	case <-ctx.Done():
	}
	g.mu.Lock()
	if r.list != nil {
		r.list.remove(r)
	}
	select {
	case <-r.wake: // while another case was chosen
	default:
	}
	if r.called {
		r.called = false
		m.feed.called--
	}
	if noticed {
		g.notice(m.feed)
	}
}

// take fills dst. There is a lane that may be taken from.
func (m *member) take(r *receiver, dst []queue.Handover, limits queue.ReceiveLimits) int {
	turns := &m.feed.turns
	if limits.Bytes <= 0 {
		limits.Bytes = m.Group.InFlightBytes
	}
	n, bytes, full := 0, 0, false
	for !full && n < len(dst) && len(m.out) < m.maxOut && turns.Lanes() > 0 {
		room := m.Group.InFlightBytes - m.bytes
		if size := turns.NextSize(); len(m.out) > 0 && size > room || n > 0 && size > limits.Bytes-bytes {
			break
		}
		r.items = turns.Take(r.items[:0], min(len(dst)-n, m.maxOut-len(m.out)), min(room, limits.Bytes-bytes))
		for i, it := range r.items {
			if !m.alone(it, n) {
				m.group.putBack(r.items[i:])
				full = true
				break
			}
			m.handOver(it, &dst[n], r)
			bytes += it.Size
			n++
			if it.Value.suspect && !m.indifferent() {
				m.group.putBack(r.items[i+1:])
				full = true
				break
			}
		}
		r.items[len(r.items)-1].Value.partition.offer() // there may be room for more, ByPartition
	}
	m.group.counts.delivered += int64(n)
	m.group.out += n
	if m.Group.Lease > 0 {
		m.group.arm()
	}
	return n
}

// handOver gives it to the member.
func (m *member) handOver(it *lanes.Item[message], h *queue.Handover, r *receiver) {
	msg := &it.Value
	p, rec := msg.partition, &msg.record
	if msg.slab != nil && !m.Group.Borrowed { // another member has read it
		msg.giveUp(false)
		msg.reload = true
	}
	if msg.reload || len(rec.Headers) > 0 {
		r.later = append(r.later, later{handover: h, partition: p, track: msg.track.id, offset: msg.offset, headers: rec.Headers, reload: msg.reload})
	}
	*h = queue.Handover{
		Record: queue.Record{
			Message:  queue.Message{Topic: p.topic.Name, Key: rec.Key, Value: rec.Value, Timestamp: rec.Timestamp},
			Position: p.topic.position(p.number, rec.Offset),
			Appended: rec.Appended,
		},
		Attempt: int(msg.attempts) + 1,
		Handle:  m.token(it),
	}
	if msg.attempts > 0 || msg.suspect {
		f, _ := msg.track.window.Failure(msg.offset)
		n := decodeNote(f.Note)
		h.FirstFailed, h.LastError, h.Crashes = n.firstFailed(), n.cause, int(n.crashes)
	}
	if msg.suspect {
		m.group.suspects++
	}
	msg.track.touch() // for its start mark
	msg.at = int32(len(m.out))
	m.out = append(m.out, it)
	m.bytes += it.Size
	m.lease(it, h)
}

// tokensAtOnce is how many tokens are made together.
const tokensAtOnce = 64

func (m *member) token(it *lanes.Item[message]) *token {
	if len(m.tokens) == 0 {
		m.tokens = make([]token, tokensAtOnce)
	}
	t := &m.tokens[0]
	m.tokens = m.tokens[1:]
	t.member, t.item = m, it
	it.Value.token = t
	return t
}
