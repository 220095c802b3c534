package timers

import (
	"maps"
	"time"

	"github.com/leatmq/leat/storage"
)

// Stats is a snapshot of what an index has.
type Stats struct {
	Pending map[storage.PartitionID]int64 // messages, by the first partition of their topic
	Next    int64                         // the least due time; 0: none. What is due already may be about to be moved
	// Overdue tells that there is what is due and not moved, though nothing is in its way.
	Overdue bool
	Err     error // what goes wrong at present, and is tried again
	Figures
}

// Figures tell what an index is made of.
type Figures struct {
	References int   // in memory
	Runs       int   // on disk
	Writing    int   // runs that are being written
	Known      int64 // up to this offset the inbox was looked at
}

// patience bounds how long Stats and Overdue wait: an append may wait for room without end, and Told may ask.
const patience = 100 * time.Millisecond

// Stats returns a snapshot. It waits until what was there at the open is counted, and a moment for the index to look at what was stored in the inbox before the call, and to
// count what readers found in its partition before the call. So it says what its caller can know, unless something is in the way.
func (x *Index) Stats() Stats {
	<-x.ready
	x.mu.Lock()
	begun := x.begun
	x.mu.Unlock()
	x.look(begun)
	return x.snapshot()
}

// snapshot returns what is known, without waiting.
func (x *Index) snapshot() Stats {
	x.mu.Lock()
	defer x.mu.Unlock()
	return Stats{maps.Clone(x.pending), x.next, x.overdue(), x.err, x.figures}
}

// Overdue is Stats.Overdue, or true if there may be what is due in what was stored before the call and has not been looked at.
func (x *Index) Overdue() bool {
	x.mu.Lock()
	overdue := x.overdue()
	x.mu.Unlock()
	if overdue {
		return true
	}
	known := x.look(0)
	x.mu.Lock()
	defer x.mu.Unlock()
	return !known || x.overdue()
}

// overdue is called with x.mu held.
func (x *Index) overdue() bool { return x.waiting != 0 && x.waiting <= x.now() }

// look returns when the index knows all that was in the inbox before the call, and has counted so many steps. It is false if patience ends before that, and true as well if
// something goes wrong, or the index ended: what is known then is all that will be for a while.
func (x *Index) look(steps int64) bool {
	b, err := x.store.Bounds(x.inboxID)
	if err != nil {
		return true
	}
	var enough <-chan time.Time
	for {
		changed := x.watch(b.Next, steps)
		if changed == nil {
			return true
		}
		if enough == nil {
			timer := time.NewTimer(patience)
			defer timer.Stop()
			enough = timer.C
		}
		select {
		case <-changed:
		case <-x.ended:
			return true
		case <-enough:
			return false
		}
	}
}

// watch returns nil when a look is over, and otherwise a channel that is closed when that may be.
func (x *Index) watch(next, steps int64) <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil || x.figures.Known >= next && x.counted >= steps {
		return nil
	}
	if x.changed == nil {
		x.changed = make(chan struct{})
	}
	return x.changed
}

// wake has those that look do so again. It is called with x.mu held.
func (x *Index) wake() {
	if x.changed != nil {
		close(x.changed)
		x.changed = nil
	}
}

// beginStep notes that what a step moves may be seen from now on.
func (x *Index) beginStep() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.begun++
}

// endStep notes that the step was counted, or stored nothing.
func (x *Index) endStep() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.counted = x.begun
	x.wake()
}

// report has err told, until all is well.
func (x *Index) report(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err = err; err != nil {
		x.wake()
	}
}

// tally counts messages that came or went.
func (x *Index) tally(first storage.PartitionID, by int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pending[first] += by; x.pending[first] == 0 {
		delete(x.pending, first)
	}
}

// show publishes what is next, and returns when that is.
func (x *Index) show() (next, free int64) {
	next, free = x.least()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.figures = Figures{x.inbox.live, len(x.runs), len(x.jobs), x.inbox.next}
	if x.next, x.waiting = next, free; x.loading {
		x.waiting = 1
	}
	x.wake()
	return next, free
}
