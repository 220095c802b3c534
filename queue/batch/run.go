package batch

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/leatmq/leat/retry"
)

// run has the Func work on items, and settles them.
func (p *Processor[T]) run(items []*item[T], began time.Time) {
	failures := make([]error, len(items))
	failAll(failures, errGoexit) // unless call returns
	defer func() { p.completed(items, p.judge(items, failures), time.Since(began)) }()
	values := make([]T, len(items))
	for i, it := range items {
		values[i] = it.v
	}
	p.call(values, failures)
}

// call fills failures with what the Func returned.
func (p *Processor[T]) call(values []T, failures []error) {
	defer func() {
		if v := recover(); v != nil {
			failAll(failures, &PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	errs := p.fn(p.ctx, values)
	switch len(errs) {
	case 0: // nil, since no batch is empty
		clear(failures)
	case len(failures):
		copy(failures, errs)
	default:
		failAll(failures, fmt.Errorf("batch: the function returned %d errors for %d items", len(errs), len(failures)))
	}
}

func failAll(failures []error, err error) {
	for i := range failures {
		failures[i] = err
	}
}

// verdict is what becomes of an item after an attempt.
type verdict struct {
	err   error
	again bool
	after time.Duration
}

// judge asks the policy, which may be the application's, without a lock.
func (p *Processor[T]) judge(items []*item[T], failures []error) []verdict {
	verdicts := make([]verdict, len(items))
	for i, err := range failures {
		if err == nil {
			continue
		}
		it := items[i]
		if it.seed == 0 {
			it.seed = rand.Uint64() | 1
		}
		d := p.c.Retry.Decide(retry.Attempt{Number: it.attempts, Err: err, Elapsed: time.Since(it.began), Previous: it.previous, Seed: it.seed})
		verdicts[i] = verdict{err, d.Retry, d.After}
	}
	return verdicts
}

// completed settles the items of a batch, or has them come again.
func (p *Processor[T]) completed(items []*item[T], verdicts []verdict, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.ended(took)
	now := time.Now()
	for len(items) > 0 {
		n := 1
		for n < len(items) && items[n].lane == items[0].lane && items[0].lane != p.free {
			n++
		}
		p.completedLane(items[:n], verdicts[:n], now)
		items, verdicts = items[n:], verdicts[n:]
	}
	p.dispatch()
}

// completedLane is for the items of one lane. From the first on that is tried again all come again, in order; without keys each is by itself.
func (p *Processor[T]) completedLane(items []*item[T], verdicts []verdict, now time.Time) {
	l := items[0].lane
	n := 0
	for n < len(items) && (!verdicts[n].again || p.over || items[n].left) {
		p.settle(items[n], verdicts[n].err)
		n++
	}
	back := items[n:]
	switch {
	case len(back) > 0:
		if l == p.free {
			l = &lane[T]{}
		}
		p.comesAgain(l, back, verdicts[n], now)
	case l != p.free:
		p.rest(l)
	}
}

// comesAgain parks a lane whose first item is tried again; the others did not have an attempt that counts.
func (p *Processor[T]) comesAgain(l *lane[T], items []*item[T], v verdict, now time.Time) {
	for i, it := range items {
		it.running, it.lane = false, l
		if i > 0 {
			it.attempts--
		}
	}
	first := items[0]
	first.err, first.previous = v.err, v.after
	p.stats.Retried++
	l.putBack(items)
	l.due = now.Add(v.after)
	p.move(l, parked)
}

// settle gives an item its result. mu is held.
func (p *Processor[T]) settle(it *item[T], err error) {
	if err == nil {
		p.stats.Done++
	} else {
		p.stats.Failed++
	}
	if err != nil && (it.done == nil || it.left) {
		p.failures.note(err)
	}
	p.release(it, err)
}

// release ends an item, and makes room for another.
func (p *Processor[T]) release(it *item[T], err error) {
	it.running, it.err = false, err
	if it.done != nil {
		close(it.done)
	}
	p.held--
	p.settled(it.flight)
	p.room.Release(one())
	p.checkFinished()
}
