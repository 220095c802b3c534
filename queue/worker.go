package queue

import (
	"context"
	"errors"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// worker receives, calls the handler and settles, over and over. It has everything it needs in hand, made once:
// a delivery costs it no allocation.
type worker struct {
	c         *consumer
	stint     stint         // of each worker, since one count of all would be a line that all cores fight for
	goroutine atomic.Uint64 // that it runs in
	standsIn  bool          // for one that is stuck
	abandoned bool          // what is in hand is another's

	// Of the messages in hand, len(failures) many, 0 between two calls.
	handovers   []Handover
	deliveries  []Delivery
	given       []*Delivery
	settlements []Settlement
	failures    []error // nil: done
	told        int     // how many of them Events.Failed was told of, or need not be
	gone        []gone  // to be told, of what was in hand before

	result [1]error            // of a Handler
	marked map[named]*Delivery // by what is in hand; nil: one at a time is
}

func newWorker(c *consumer) *worker {
	var marked map[named]*Delivery
	if c.batch != nil {
		marked = map[named]*Delivery{}
	}
	return &worker{
		c:           c,
		marked:      marked,
		handovers:   make([]Handover, c.size),
		deliveries:  make([]Delivery, c.size),
		given:       make([]*Delivery, c.size),
		settlements: make([]Settlement, c.size),
		failures:    make([]error, 0, c.size),
	}
}

// run works until the intake ends. A handler that ends the goroutine fails its attempt, and run goes on in another.
func (w *worker) run(intake, handling context.Context) {
	ended := false
	defer func() {
		switch {
		case w.abandoned:
			w.comeBack(intake)
			return
		case !ended:
			go w.run(intake, handling)
			return
		}
		if w.c.left.Add(-1) == 0 {
			close(w.c.done)
		}
	}()
	w.goroutine.Store(goroutineID())
	w.settle(handling) // what such a handler left
	w.tellGone()
	if w.standsIn {
		w.standIn(intake)
	}
	for intake.Err() == nil && w.receive(intake) {
		if len(w.failures) == 0 || !w.claim() {
			continue
		}
		w.call(handling)
		if w.abandoned {
			return
		}
		w.settle(handling)
	}
	ended = true
}

// receive takes messages in hand. It is false when there will be no more.
func (w *worker) receive(intake context.Context) bool {
	c := w.c
	n, err := c.member.Receive(intake, w.handovers, c.limits)
	if err != nil {
		if intake.Err() == nil {
			c.end(c.b.explain(err))
		}
		return false
	}
	w.failures = w.failures[:n] // all nil, as settle left them
	if intake.Err() != nil {
		w.giveBack(0)
		return false
	}
	w.sift()
	for i := range w.failures {
		c.fill(&w.deliveries[i], &w.handovers[i])
		w.deliveries[i].marked = w.marked
		w.given[i] = &w.deliveries[i]
	}
	return true
}

// fill makes d what is handed on of h, in its place: copies would be a cost of each message.
func (c *consumer) fill(d *Delivery, h *Handover) {
	*d = Delivery{
		Record: h.Record, Group: c.group.Name, Attempt: h.Attempt, FirstFailed: h.FirstFailed, LastError: h.LastError, broker: c.b,
		member: c.member, handle: h.Handle,
	}
	if len(d.Headers) > 0 {
		d.show()
	}
}

// sift settles what is in hand and is not to be worked on. If that cannot be stored everything is given back, since others may have to wait for it.
func (w *worker) sift() {
	kept, held := 0, false
	for i := range w.failures {
		h := &w.handovers[i]
		if !h.plain() {
			if v := w.c.judge(h); v != runs {
				held = !w.c.dismiss(h, v) || held
				continue
			}
		}
		if kept < i {
			w.handovers[kept] = *h
		}
		kept++
	}
	clear(w.handovers[kept:len(w.failures)])
	w.failures = w.failures[:kept]
	if held {
		w.giveBack(uncommittedDelay)
	}
}

// claim finishes what is in hand before it is worked on, for AtMostOnce. If that cannot be stored it is given back, and claim is false.
func (w *worker) claim() bool {
	if w.c.group.Guarantee != AtMostOnce {
		return true
	}
	n := len(w.failures)
	for i := range n {
		w.settlements[i] = Settlement{Handle: w.handovers[i].Handle, Outcome: SettleClaim}
	}
	w.c.member.Settle(context.Background(), w.settlements[:n])
	for i := range n {
		if w.settlements[i].Err != nil { // one commit: all of them have it
			w.giveBack(uncommittedDelay)
			return false
		}
	}
	return true
}

// call runs the handler, and leaves in failures what came of it, whatever way the handler ended.
func (w *worker) call(handling context.Context) {
	var errs []error
	returned := false
	ctx := w.stint.begin(w.c, handling)
	defer func() {
		state := w.stint.end(w.c)
		switch {
		case state == abandoned:
			w.abandoned = true
			if !returned {
				recover() // there is nobody any more to be told
				w.c.b.panics.Add(1)
			}
			return
		case returned:
			judge(w.failures, errs)
		default:
			w.contain(recover())
		}
		if state == cancelled {
			timedOut(w.failures)
		}
	}()
	errs = w.invoke(ctx)
	returned = true
}

func (w *worker) invoke(handling context.Context) []error {
	if w.c.one == nil {
		return w.c.batch(handling, w.given[:len(w.failures)])
	}
	w.result[0] = w.c.one(handling, w.given[0])
	return w.result[:]
}

// contain fails everything in hand after a panic with v, or after a Goexit if v is nil.
func (w *worker) contain(v any) {
	b, h := w.c.b, &w.handovers[0]
	b.panics.Add(1)
	if v == nil {
		fail(w.failures, errGoexit)
		b.logger.Warn("handler called runtime.Goexit", "group", w.c.group.Name, "position", h.Position.String(), "attempt", h.Attempt)
		return
	}
	err := &PanicError{Value: v, Stack: debug.Stack()}
	fail(w.failures, err)
	b.logger.Warn("handler panicked", "group", w.c.group.Name, "position", h.Position.String(), "attempt", h.Attempt,
		"panic", err.Error(), "stack", string(err.Stack))
}

// settle tells the engine the outcomes of what is in hand, and lets go of it. Failures after we ended the handlers' context
// are given back without counting.
func (w *worker) settle(handling context.Context) {
	n := len(w.failures)
	if n == 0 {
		return
	}
	if n > 1 && w.c.group.Failure.WhileRetry != PassKey {
		holdLanes(w.c.group.Order, w.handovers[:n], w.failures)
	}
	cancelled := handling.Err() != nil
	for i, err := range w.failures {
		w.settlements[i] = Settlement{Handle: w.handovers[i].Handle, Outcome: SettleDone}
		switch {
		case err == nil:
			w.settlements[i].Publish, w.settlements[i].Marks = w.deliveries[i].outputs, true
			w.settlements[i].Wait = w.c.group.Guarantee == ExactlyOnce
		case cancelled || err == errHeld:
			w.settlements[i].Outcome = SettleRelease
		case w.deliveries[i].refused != nil:
			w.settlements[i] = w.refused(i)
		default:
			w.settlements[i] = w.c.failed(&w.handovers[i], err)
		}
	}
	w.tell()
	w.send()
}

// refused is the settlement of a message that cannot be decoded, whatever else failed in the same call.
func (w *worker) refused(i int) Settlement {
	var undecoded *DecodeError
	if !errors.As(w.failures[i], &undecoded) {
		w.failures[i] = w.deliveries[i].refused
	}
	h := &w.handovers[i]
	return w.c.exhaust(h, h.Attempt, w.failures[i])
}

// tell reports the failed attempts that others follow. An Events.Failed that ends the goroutine is told of each once all the same.
func (w *worker) tell() {
	for w.told < len(w.failures) {
		i := w.told
		w.told++
		w.tellFailed(i)
	}
}

func (w *worker) tellFailed(i int) {
	if s := &w.settlements[i]; s.Outcome == SettleRetry {
		h := &w.handovers[i]
		w.c.b.events.Failed(FailedEvent{Group: w.c.group.Name, Position: h.Position, Attempt: h.Attempt, Err: w.failures[i], After: s.After})
	}
}

// tellGone reports what is done though it failed. An event that ends the goroutine is told of each once all the same.
func (w *worker) tellGone() {
	for len(w.gone) > 0 {
		g := w.gone[0]
		w.gone = w.gone[1:]
		g.tell(w.c)
	}
	w.gone = nil
}

// giveBack returns everything in hand, as not worked on, to come again after a while.
func (w *worker) giveBack(after time.Duration) {
	for i := range w.failures {
		w.settlements[i] = Settlement{Handle: w.handovers[i].Handle, Outcome: SettleRelease, After: after}
	}
	w.send()
}

// uncommitted sees to commits that could not be stored. Those of one call fail together, so each is tried alone before it is given up. What could not be stored for want of room
// comes again, uncounted; a handler's outputs that never can be are a failed attempt.
func (w *worker) uncommitted(n int) {
	c, ctx := w.c, context.Background()
	for i := range n {
		s := w.settlements[i : i+1]
		if stored(s[0].Err) {
			continue
		}
		if n > 1 {
			if c.member.Settle(ctx, s); stored(s[0].Err) {
				continue
			}
		}
		if w.failures[i] == nil && !hopeless(s[0].Err) {
			c.comeAgain(s, s[0].Err)
			continue
		}
		h := &w.handovers[i]
		if w.failures[i] == nil {
			w.failures[i] = s[0].Err
			s[0] = c.failed(h, w.failures[i])
			w.tellFailed(i)
			if c.member.Settle(ctx, s); stored(s[0].Err) {
				continue
			}
		}
		c.bury(ctx, s, h)
	}
}

// send settles what is in hand, and forgets it, so that an idle worker keeps no message alive.
func (w *worker) send() {
	n := len(w.failures)
	for i := range w.settlements[:n] {
		w.settlements[i].Returned = w.c.group.Borrowed && !w.standsIn
	}
	w.c.member.Settle(context.Background(), w.settlements[:n])
	w.uncommitted(n)
	for i := range w.settlements[:n] {
		switch s := &w.settlements[i]; {
		case s.Err != nil: // the message comes again, which is all that can be done
			w.c.b.late.Add(1)
		case w.failures[i] != nil && s.Outcome == SettleDone:
			h := &w.handovers[i]
			w.gone = append(w.gone, gone{h.Position, h.Attempt, w.failures[i]})
		}
	}
	clear(w.handovers[:n])
	clear(w.deliveries[:n])
	clear(w.given[:n])
	clear(w.settlements[:n])
	clear(w.failures)
	w.failures = w.failures[:0]
	w.told = 0
	w.result[0] = nil
	clear(w.marked)
	w.tellGone()
}
