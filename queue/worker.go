package queue

import (
	"context"
	"runtime/debug"
	"sync/atomic"
)

// worker receives, calls the handler and settles, over and over. It has everything it needs in hand, made once:
// a delivery costs it no allocation.
type worker struct {
	c    *consumer
	busy atomic.Bool // a handler runs; of each worker, since one count of all would be a line that all cores fight for

	// Of the messages in hand, len(failures) many, 0 between two calls.
	handovers   []Handover
	deliveries  []Delivery
	given       []*Delivery
	settlements []Settlement
	failures    []error // nil: done
	told        int     // how many of them Events.Failed was told of, or need not be

	result [1]error // of a Handler
}

func newWorker(c *consumer) *worker {
	return &worker{
		c:           c,
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
		if !ended {
			go w.run(intake, handling)
			return
		}
		if w.c.left.Add(-1) == 0 {
			close(w.c.done)
		}
	}()
	w.settle(handling) // what such a handler left
	for intake.Err() == nil && w.receive(intake) {
		w.call(handling)
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
		w.giveBack()
		return false
	}
	for i := range n {
		w.deliveries[i] = Delivery{Record: w.handovers[i].Record, Group: c.group.Name, Attempt: w.handovers[i].Attempt}
		w.given[i] = &w.deliveries[i]
	}
	return true
}

// call runs the handler, and leaves in failures what came of it, whatever way the handler ended.
func (w *worker) call(handling context.Context) {
	returned := false
	w.busy.Store(true)
	defer func() {
		w.busy.Store(false)
		if !returned {
			w.contain(recover())
		}
	}()
	judge(w.failures, w.invoke(handling))
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
	if n > 1 {
		holdLanes(w.c.group.Order, w.handovers[:n], w.failures)
	}
	cancelled := handling.Err() != nil
	for i, err := range w.failures {
		w.settlements[i] = Settlement{Handle: w.handovers[i].Handle, Outcome: SettleDone}
		switch {
		case err == nil:
		case cancelled || err == errHeld:
			w.settlements[i].Outcome = SettleRelease
		default:
			w.settlements[i].Outcome = SettleRetry
			w.settlements[i].After = retryDelay(w.handovers[i].Attempt)
		}
	}
	w.tell()
	w.send()
}

// tell reports the failed attempts. An Events.Failed that ends the goroutine is told of each once all the same.
func (w *worker) tell() {
	for w.told < len(w.failures) {
		i := w.told
		w.told++
		if s := &w.settlements[i]; s.Outcome == SettleRetry {
			h := &w.handovers[i]
			w.c.b.events.Failed(FailedEvent{
				Group: w.c.group.Name, Position: h.Position, Attempt: h.Attempt, Err: w.failures[i], After: s.After,
			})
		}
	}
}

// giveBack returns everything in hand, as not worked on.
func (w *worker) giveBack() {
	for i := range w.failures {
		w.settlements[i] = Settlement{Handle: w.handovers[i].Handle, Outcome: SettleRelease}
	}
	w.send()
}

// send settles what is in hand, and forgets it, so that an idle worker keeps no message alive.
func (w *worker) send() {
	n := len(w.failures)
	w.c.member.Settle(context.Background(), w.settlements[:n])
	for i := range w.settlements[:n] {
		if w.settlements[i].Err != nil { // the message comes again, which is all that can be done
			w.c.b.late.Add(1)
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
}
