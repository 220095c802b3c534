package queue

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// MaxStuckHandlers is how many handlers of one member may go on behind its back, since they did not return when their Group.HandlerTimeout
// was over. When one more does not, its worker takes no other message before one of them has returned.
const MaxStuckHandlers = 64

// watch is how a member finds handlers that run for long. One timer looks at all its workers, so that a call pays nothing for it.
type watch struct {
	began            time.Time
	intake, handling context.Context
	permits          chan struct{} // of MaxStuckHandlers: each is held by a worker that stands in for a handler that does not return

	mu    sync.Mutex  // held while workers are looked at
	timer *time.Timer // guarded by mu
	over  bool        // guarded by mu
	seen  []sight     // guarded by mu; of each worker
}

// sight is what was seen of the call that a worker is in.
type sight struct {
	call      uint64
	since     time.Duration // it has been running since then, at least
	report    time.Duration // when it has run for so long, it is reported
	cancelled time.Duration // when its context was ended
}

// now is the watch's clock.
func (w *watch) now() time.Duration { return time.Since(w.began) }

// awaitLook returns when the workers are not being looked at.
func (w *watch) awaitLook() {
	w.mu.Lock()
	defer w.mu.Unlock()
}

// startWatching begins to look at the workers.
func (c *consumer) startWatching(intake, handling context.Context) {
	w := &c.watch
	w.began, w.intake, w.handling = time.Now(), intake, handling
	w.permits = make(chan struct{}, MaxStuckHandlers)
	w.seen = make([]sight, len(c.workers))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(c.lookAgain(), c.look)
}

// stopWatching returns when nobody looks at the workers any more.
func (c *consumer) stopWatching() {
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	c.watch.over = true
	c.watch.timer.Stop()
}

// lookAgain is when to look again at the latest: nothing that begins from now on is too slow before.
func (c *consumer) lookAgain() time.Duration {
	if t := c.group.HandlerTimeout; t > 0 {
		return min(t, lookEvery)
	}
	return lookEvery
}

// look looks at all workers, and tells of those that are slow.
func (c *consumer) look() { c.tellSlow(c.seeAll()) }

// tellSlow tells all of it even if one event ends the goroutine.
func (c *consumer) tellSlow(es []SlowEvent) {
	if len(es) == 0 {
		return
	}
	defer c.tellSlow(es[1:])
	c.b.events.Slow(es[0])
}

func (c *consumer) seeAll() (slow []SlowEvent) {
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	if c.watch.over {
		return nil
	}
	next := c.lookAgain()
	for i := range c.workers {
		e, wait := c.see(i, c.watch.now())
		if e != nil {
			slow = append(slow, *e)
		}
		if wait > 0 {
			next = min(next, wait)
		}
	}
	c.watch.timer.Reset(next)
	return slow
}

// see looks at one worker. It returns what is to be told of it, and when it has to be looked at again, if that is known.
func (c *consumer) see(i int, now time.Duration) (slow *SlowEvent, wait time.Duration) {
	w, at := c.workers[i], &c.watch.seen[i]
	state := w.stint.state.Load()
	if call := state >> stateBits; at.call != call {
		*at = sight{call: call, since: now, report: slowAfter}
	}
	limit := c.group.HandlerTimeout
	if limit > 0 {
		at.since = time.Duration(w.stint.began.Load())
	}
	ran := now - at.since
	switch state & (1<<stateBits - 1) {
	case idle:
		return nil, 0
	case running:
		if limit == 0 {
			break
		}
		if wait = limit - ran; wait > 0 {
			break
		}
		cancel := w.stint.cancel.Load() // of this call, if it still runs
		if w.stint.state.CompareAndSwap(state, state-running+cancelled) {
			(*cancel)(ErrHandlerTimeout)
			at.cancelled = now
			return nil, grace
		}
	case cancelled:
		if wait = at.cancelled + grace - now; wait > 0 {
			break
		}
		return c.abandon(i, state, ran), 0
	}
	if ran < at.report {
		return nil, wait
	}
	for at.report <= ran {
		at.report *= 2
	}
	return c.describe(w, state, ran), wait
}

// describe tells what a worker is in. It is nil if the call has ended.
func (c *consumer) describe(w *worker, state uint64, ran time.Duration) *SlowEvent {
	if !w.stint.state.CompareAndSwap(state, state|looked) {
		return nil
	}
	h := &w.handovers[0]
	e := &SlowEvent{
		Group: c.group.Name, Position: h.Position, Attempt: h.Attempt, Messages: len(w.failures),
		Running: ran, Stack: stackOf(w.goroutine.Load()),
	}
	if !w.stint.state.CompareAndSwap(state|looked, state) {
		return nil
	}
	return e
}

// abandon has another worker go on in place of one whose handler does not return, with its messages as failed.
func (c *consumer) abandon(i int, state uint64, ran time.Duration) *SlowEvent {
	w := c.workers[i]
	e := c.describe(w, state, ran)
	if e == nil || !w.stint.state.CompareAndSwap(state, state-cancelled+abandoned) {
		return nil
	}
	e.Abandoned = true
	other := newWorker(c)
	other.failures = other.failures[:copy(other.handovers, w.handovers[:len(w.failures)])]
	fail(other.failures, fmt.Errorf("%w, and did not return when its context had ended", ErrHandlerTimeout))
	other.standsIn = true
	c.b.abandon(c, i, other)
	go other.run(c.watch.intake, c.watch.handling)
	return e
}

// standIn waits until a worker may go on in place of one that is stuck.
func (w *worker) standIn(intake context.Context) {
	w.standsIn = false
	w.c.waiting.Add(1)
	defer w.c.waiting.Add(-1)
	select {
	case w.c.watch.permits <- struct{}{}:
	case <-intake.Done():
	}
}

// comeBack is the end of a worker whose handler returned after all.
func (w *worker) comeBack(intake context.Context) {
	w.c.b.late.Add(int64(len(w.failures)))
	select {
	case <-w.c.watch.permits: // the one that stands in for it, or will
	case <-intake.Done():
	}
	w.c.b.returned(w)
}

// maxTrace bounds a trace of all goroutines, in which one of them is looked for.
const maxTrace = 16 << 20

// stackOf returns the stack of a goroutine, nil if there are too many to find it.
func stackOf(goroutine uint64) []byte {
	for size := 1 << 16; size <= maxTrace; size *= 4 {
		buf := make([]byte, size)
		n := runtime.Stack(buf, true)
		head := fmt.Appendf(nil, "goroutine %d [", goroutine)
		for s := range bytes.SplitSeq(buf[:n], []byte("\n\n")) {
			if bytes.HasPrefix(s, head) && (n < size || len(s) < n) {
				return bytes.Clone(s)
			}
		}
		if n < size {
			return nil
		}
	}
	return nil
}
