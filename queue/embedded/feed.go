package embedded

import (
	"slices"
	"time"

	"github.com/leatmq/leat/queue/internal/lanes"
)

// feed is what receivers are fed from: partitions, and the receivers that wait. Each member of an ordered group has one; an unordered group
// has one for all. All of it is guarded by group.mu.
type feed struct {
	turns   lanes.Turns[message] // what may be handed out
	unread  []*partition         // what may be read, first come first served
	parked  []*partition         // what has something parked that may be read, the same
	pending []*partition         // what the member has to take over
	idle    receivers            // those that found nothing
	called  int                  // receivers that were woken and are not back yet
}

// work counts what receivers could do now, each thing by one of them.
func (f *feed) work() int {
	return f.turns.Lanes() + len(f.unread) + len(f.parked) + min(1, len(f.pending))
}

// wake calls as many idle receivers as there is work for, but for so much of it that the caller sees to, and what those called before
// will find.
func (f *feed) wake(mine int) {
	for n := f.work() - f.called - mine; n > 0; n-- {
		r := f.idle.pop()
		if r == nil {
			return
		}
		r.called = true
		f.called++
		r.wake <- struct{}{}
	}
}

// handOn wakes who can go on with p, of which the caller has read something.
func (f *feed) handOn(p *partition) {
	switch p.feed {
	case nil:
	case f:
		f.wake(1)
	default: // it moved meanwhile
		p.feed.wake(0)
	}
}

// wakeAll calls all idle receivers.
func (f *feed) wakeAll() { f.idle.wakeAll() }

// nextUnread takes the partition that is to be read next out of the list.
func (f *feed) nextUnread() *partition {
	p := f.unread[0]
	f.unread[0] = nil
	f.unread = f.unread[1:]
	p.listed = false
	return p
}

func (f *feed) forget(p *partition) {
	if i := slices.Index(f.unread, p); i >= 0 {
		f.unread = slices.Delete(f.unread, i, i+1)
		p.listed = false
	}
	if i := slices.Index(f.parked, p); i >= 0 {
		f.parked = slices.Delete(f.parked, i, i+1)
		p.park.listed = false
	}
}

// receiver is one call of Receive, and the memory that it works with.
type receiver struct {
	wake   chan struct{} // of one; written to by who takes the receiver out of its list
	called bool          // it is counted in feed.called
	list   *receivers    // that it waits in
	prev   *receiver
	next   *receiver

	linger  *time.Timer // made when first needed; stopped but between two looks at what has come
	waited  bool        // linger has run down
	waiting bool        // linger runs
	items   []*lanes.Item[message]
	later   []later // of what is handed out
}

func (g *group) receiver() *receiver {
	last := len(g.spare) - 1
	if last < 0 {
		return &receiver{wake: make(chan struct{}, 1)}
	}
	r := g.spare[last]
	g.spare = g.spare[:last]
	return r
}

// release keeps r to be used again.
func (g *group) release(r *receiver) {
	r.stopLinger()
	clear(r.later)
	r.later = r.later[:0]
	g.spare = append(g.spare, r)
}

// lingering starts the time to wait for more, once, and returns its end.
func (r *receiver) lingering(d time.Duration) <-chan time.Time {
	switch {
	case r.linger == nil:
		r.linger = time.NewTimer(d)
	case !r.waiting:
		r.linger.Reset(d)
	}
	r.waiting = true
	return r.linger.C
}

func (r *receiver) stopLinger() {
	if r.waiting {
		r.linger.Stop()
	}
	r.waiting, r.waited = false, false
}

// receivers is a list of those that wait, in the order they came.
type receivers struct{ first, last *receiver }

func (l *receivers) push(r *receiver) {
	r.list, r.prev, r.next = l, l.last, nil
	if l.last == nil {
		l.first = r
	} else {
		l.last.next = r
	}
	l.last = r
}

func (l *receivers) remove(r *receiver) {
	if r.prev == nil {
		l.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		l.last = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.list, r.prev, r.next = nil, nil, nil
}

func (l *receivers) pop() *receiver {
	r := l.first
	if r != nil {
		l.remove(r)
	}
	return r
}

func (l *receivers) wakeAll() {
	for r := l.pop(); r != nil; r = l.pop() {
		r.wake <- struct{}{}
	}
}
