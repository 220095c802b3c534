package disk

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
)

// lookout tells the operator what befalls the store. It has a goroutine of its own, since those that write may be stuck in what it tells of.
type lookout struct {
	core   *core.Core
	events func(storage.Event) // nil: nobody wants to know
	told   atomic.Bool         // that the store stopped
	after  time.Duration       // for how long a call may be under way
	lanes  lanes
	ahead  time.Duration // of the append times in front of the clock, at the open

	quit, done chan struct{}
}

func newLookout(c *core.Core, o *Options) *lookout {
	return &lookout{core: c, events: o.Events, after: o.StallAfter, quit: make(chan struct{}), done: make(chan struct{})}
}

// tell calls the operator's function. No lock of the store is held by who calls it.
func (l *lookout) tell(e storage.Event) {
	if l.events == nil {
		return
	}
	e.At = time.Now()
	l.events(e)
}

// run watches until quit is closed.
func (l *lookout) run() {
	defer close(l.done)
	if l.ahead > time.Second {
		l.tell(storage.Event{Kind: storage.EventClock, Text: fmt.Sprintf("append times are %v ahead of the wall clock", l.ahead)})
	}
	every := max(l.after/looks, time.Millisecond)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for stopped := l.core.Stopped(); ; {
		select {
		case <-tick.C:
			l.look(every)
		case <-stopped:
			l.stopped()
			stopped = nil
		case <-l.quit:
			l.look(0) // what was stuck has ended
			l.stopped()
			return
		}
	}
}

// looks is how often a call is looked at before it is found stuck.
const looks = 5

// look tells of calls that do not return, and of those that have after all.
func (l *lookout) look(every time.Duration) {
	for _, lane := range l.lanes.all() {
		switch stuck, moving := lane.look(every, l.after); {
		case stuck:
			l.tell(storage.Event{Kind: storage.EventStalled, Text: fmt.Sprintf("writing or syncing %s has not returned for %v", *lane.what.Load(), l.after)})
		case moving:
			l.tell(storage.Event{Kind: storage.EventMoving, Text: "the disk has answered"})
		}
	}
}

// clockSet tells that the wall clock was.
func (l *lookout) clockSet(by time.Duration) {
	l.tell(storage.Event{Kind: storage.EventClock, Text: fmt.Sprintf("the wall clock was set by %v", by)})
}

// startClock tells the clock of the store what it cannot know: how far append times are.
func (st *Store) startClock() {
	newest := int64(0)
	for _, p := range st.core.Catalog.Partitions() {
		if p != nil {
			newest = max(newest, p.Marks().Time)
		}
	}
	st.lookout.ahead = st.core.Clock.Begin(st.keeper.made.lead, newest)
}

// stopped tells once that the store stopped, if it did.
func (l *lookout) stopped() {
	if cause := l.core.StopCause(); cause != nil && l.told.CompareAndSwap(false, true) {
		l.tell(storage.Event{Kind: storage.EventStopped, Err: cause, Text: "nothing more is written until it is closed and opened again"})
	}
}
