package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leatmq/leat/backpressure"
)

// grace is what a Func gets to return after its ctx ended together with Close's.
const grace = time.Second

// Processor gathers items and has a Func work on them. Its methods may be called at the same time, by the Func too, as long as they need not wait for it: one that adds items
// to a full buffer may wait for itself. It must be closed. It has no goroutines but those that run the Func.
type Processor[T any] struct {
	c      Config[T]
	fn     Func[T]
	room   *backpressure.Gate
	ctx    context.Context // of the Func
	cancel context.CancelFunc

	mu         sync.Mutex
	lanes      map[string]*lane[T] // guarded by mu; by key, those that hold something or are worked on
	free       *lane[T]            // guarded by mu; of items without keys
	ready      lanes[T]            // guarded by mu; what may be taken
	readyItems int                 // guarded by mu; in those
	readyBytes int                 // guarded by mu
	parked     lanes[T]            // guarded by mu; what waits for its next attempt
	timer      *time.Timer         // calls wake
	flights    []*flight           // guarded by mu; the oldest first, the last one is open
	held       int                 // guarded by mu; items that are not settled
	closing    bool                // guarded by mu
	over       bool                // guarded by mu; the time to close is over: nothing begins any more
	failures   failures            // guarded by mu
	stats      Stats               // guarded by mu
	finished   chan struct{}       // closed when the processor is closing and nothing is held
	closed     func() error        // once; what Close returns when finished is closed
}

// New makes a processor, which has done nothing yet. It returns ErrConfig with every fault.
func New[T any](c Config[T], fn Func[T]) (*Processor[T], error) {
	c, err := c.withDefaults()
	if fn == nil {
		err = errors.Join(err, fmt.Errorf("%w: there is no function", ErrConfig))
	}
	if err != nil {
		return nil, err
	}
	room, err := backpressure.NewGate(backpressure.Weight{Count: int64(c.MaxBufferSize)})
	if err != nil {
		return nil, err // cannot be: the bound is positive
	}
	p := &Processor[T]{
		c: c, fn: fn, room: room,
		lanes:    map[string]*lane[T]{},
		free:     &lane[T]{},
		parked:   lanes[T]{byDue: true},
		flights:  []*flight{newFlight()},
		finished: make(chan struct{}),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.timer = time.AfterFunc(time.Hour, p.wake)
	p.timer.Stop()
	p.closed = sync.OnceValue(p.tell)
	return p, nil
}

// Do adds v and waits for its result: nil, or the error of its last attempt. ctx bounds the wait for room and the wait for the result. When it ends before the Func was called with v, v is taken
// back, and the error is ErrNotRun and ctx's; while the Func is at work on v it is ErrUnknown and ctx's, and v is not tried again; while v waits for its next attempt there is none, and the error
// is ctx's and that of the attempt before.
func (p *Processor[T]) Do(ctx context.Context, v T) error {
	it, err := p.admit(ctx, v, make(chan struct{}))
	if err != nil {
		return err
	}
	select {
	case <-it.done:
		return it.err
	case <-ctx.Done():
		return p.abandon(it, ctx.Err())
	}
}

// Add adds v and returns when it is in the buffer; Flush and Close tell of it if it fails. ctx bounds the wait for room: when it ends, and when the processor is closed, nothing was
// added, and the error is ErrNotRun with ctx's error or ErrClosed.
func (p *Processor[T]) Add(ctx context.Context, v T) error {
	_, err := p.admit(ctx, v, nil)
	return err
}

// one is what an item takes of the buffer.
func one() backpressure.Weight { return backpressure.Weight{Count: 1} }

func (p *Processor[T]) admit(ctx context.Context, v T, done chan struct{}) (*item[T], error) {
	it := &item[T]{v: v, done: done}
	key := ""
	if p.c.Key != nil {
		key = p.c.Key(v)
	}
	if p.c.Size != nil {
		it.size = max(0, p.c.Size(v))
	}
	if err := p.room.Acquire(ctx, one()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRun, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		p.room.Release(one())
		return nil, fmt.Errorf("%w: %w", ErrNotRun, ErrClosed)
	}
	it.arrived = time.Now()
	it.flight = p.flights[len(p.flights)-1]
	it.flight.held++
	p.held++
	p.stats.Added++
	it.number = p.stats.Added
	l := p.laneOf(key)
	l.put(it)
	switch l.place {
	case nowhere:
		p.move(l, ready)
	case ready:
		p.readyItems++
		p.readyBytes += it.size
	}
	p.dispatch()
	return it, nil
}

// abandon ends the wait for it.
func (p *Processor[T]) abandon(it *item[T], cause error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-it.done: // both at once
		return it.err
	default:
	}
	it.left = true
	if it.running {
		return fmt.Errorf("%w: %w", ErrUnknown, cause)
	}
	err := notAgain(it, cause)
	p.takeBack(it)
	p.stats.Cancelled++
	p.release(it, err)
	p.dispatch()
	return err
}

// notAgain is the result of an item of which no attempt begins any more.
func notAgain[T any](it *item[T], cause error) error {
	if it.err == nil {
		return fmt.Errorf("%w: %w", ErrNotRun, cause)
	}
	return fmt.Errorf("%w: after a failed attempt: %w", cause, it.err)
}

// takeBack removes from its lane what is not worked on. mu is held.
func (p *Processor[T]) takeBack(it *item[T]) {
	l := it.lane
	was, i := l.place, slices.Index(l.items, it)
	if was != working {
		p.move(l, nowhere)
	}
	l.items = slices.Delete(l.items, i, i+1)
	l.bytes -= it.size
	switch {
	case was == working:
	case was == parked && i > 0:
		p.move(l, parked) // what its first item waits for has not come
	default:
		p.rest(l)
	}
}

// Close takes no more items, and returns when every one is settled, those that are tried again included. When ctx ends before, the ctx of the Func ends, what has not begun is ErrNotRun and
// ErrClosed, and nothing is tried again; if the Func has not returned a second later, the error is ErrStuck. Otherwise it returns what Flush returns; closing again
// returns the same. It must not be called by the Func, for which it would wait.
func (p *Processor[T]) Close(ctx context.Context) error {
	p.beginClosing()
	select {
	case <-p.finished:
		return p.closed()
	case <-ctx.Done():
	}
	p.giveUp()
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.finished:
		return p.closed()
	case <-t.C:
		return ErrStuck
	}
}

func (p *Processor[T]) beginClosing() {
	p.room.Close(ErrClosed)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return
	}
	p.closing = true
	p.dispatch()
	p.checkFinished()
}

// checkFinished is called with mu held when closing begins, and when an item is settled.
func (p *Processor[T]) checkFinished() {
	if p.closing && p.held == 0 {
		p.timer.Stop()
		p.cancel()
		close(p.finished)
	}
}

// giveUp settles everything that is not worked on, and has what is end.
func (p *Processor[T]) giveUp() {
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for _, h := range []*lanes[T]{&p.ready, &p.parked} {
		for len(h.of) > 0 {
			l := h.of[0]
			p.move(l, nowhere)
			p.settleAll(l)
		}
	}
	for _, l := range p.lanes {
		p.settleAll(l)
	}
}

// settleAll settles what a lane has that is not worked on.
func (p *Processor[T]) settleAll(l *lane[T]) {
	items := l.items
	l.items, l.bytes = nil, 0
	for _, it := range items {
		p.settle(it, notAgain(it, ErrClosed))
	}
}
