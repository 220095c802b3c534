package queue

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// grace is what handlers get to return after their context ended together with Shutdown's, and what the engine then gets
// to write its cursors.
const grace = time.Second

// maxStacks bounds what a StuckError collects.
const maxStacks = 1 << 20

// life is the part of a broker that ends it.
type life struct {
	closed   atomic.Bool   // every call is ErrClosed from here on
	hurry    chan struct{} // closed when the ctx of a Shutdown ended: handlers are cancelled at once
	gone     chan struct{} // closed when the broker is closing, the last consumer has left, and the last handler has returned
	quit     chan struct{} // closed to end the watcher
	watched  chan struct{} // closed by the watcher, which then calls nothing but Events.Stopped
	finished chan struct{} // closed when the broker is closed
	err      error         // of closing; to be read when finished is closed

	mu        sync.Mutex
	consumers map[*consumer]struct{}  // guarded by mu
	stuck     map[*worker]struct{}    // guarded by mu; those whose handlers were given up, and have not returned
	senders   map[*Publisher]struct{} // guarded by mu; those that are not closed. nil: there are no more
	refusal   error                   // guarded by mu; why no consumer may begin, nil while they may
	closing   bool                    // guarded by mu
	hurried   bool                    // guarded by mu; hurry is closed
}

func newLife() life {
	return life{
		hurry:     make(chan struct{}),
		gone:      make(chan struct{}),
		quit:      make(chan struct{}),
		watched:   make(chan struct{}),
		finished:  make(chan struct{}),
		consumers: make(map[*consumer]struct{}),
		stuck:     make(map[*worker]struct{}),
		senders:   make(map[*Publisher]struct{}),
	}
}

// enter lets a consumer begin, or says why not.
func (l *life) enter(c *consumer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusal != nil {
		return l.refusal
	}
	l.consumers[c] = struct{}{}
	return nil
}

// leave is the last thing a consumer does.
func (l *life) leave(c *consumer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.consumers, c)
	l.checkGone()
}

// checkGone notes that nobody is left. It is called with mu held when somebody went, or when closing begins.
func (l *life) checkGone() {
	if l.closing && len(l.consumers) == 0 && len(l.stuck) == 0 {
		close(l.gone)
	}
}

// abandon puts another worker in place of one that is stuck.
func (l *life) abandon(c *consumer, i int, other *worker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stuck[c.workers[i]] = struct{}{}
	c.workers[i] = other
}

// returned notes that a worker is stuck no longer.
func (l *life) returned(w *worker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.stuck, w)
	l.checkGone()
}

// stuckReason says why nothing runs in a group of which allStuck is true.
const stuckReason = "no worker is left: every one waits for a handler that does not return"

// allStuck tells whether the group has workers here, and each of them waits for one that is stuck to return.
func (l *life) allStuck(group string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := false
	for c := range l.consumers {
		switch {
		case c.group.Name != group:
		case int(c.waiting.Load()) < c.group.Concurrency:
			return false
		default:
			waiting = true
		}
	}
	return waiting
}

// stuckHandlers tells of those that c left behind; nil if there are none.
func (l *life) stuckHandlers(c *consumer) error {
	l.mu.Lock()
	var left []uint64
	for w := range l.stuck {
		if w.c == c {
			left = append(left, w.goroutine.Load())
		}
	}
	l.mu.Unlock()
	if left == nil {
		return nil
	}
	var stacks [][]byte
	for _, goroutine := range left {
		stacks = append(stacks, stackOf(goroutine))
	}
	return &StuckError{Handlers: len(left), Stacks: bytes.Join(stacks, []byte("\n\n"))}
}

// handlers counts those that run now.
func (l *life) handlers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.stuck)
	for c := range l.consumers {
		for _, w := range c.workers {
			if w.stint.busy() {
				n++
			}
		}
		if c.lender != nil && c.lender.busy.Load() {
			n++
		}
	}
	return n
}

// refuse ends the intake of all consumers with err, and lets no other begin.
func (l *life) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusal != ErrClosed {
		l.refusal = err
	}
	for c := range l.consumers {
		c.end(err)
	}
}

// watch waits for the engine to stop by itself.
func (b *Broker) watch() {
	select {
	case <-b.quit:
		close(b.watched)
	case <-b.engine.Done():
		err := stopped(b.engine.Err())
		b.refuse(err)
		b.logger.Error("the store stopped writing", "cause", err)
		close(b.watched) // before Stopped, which may call Close
		b.events.Stopped(err)
	}
}

// Close is Shutdown within Options.DrainTime. Closing again waits for the first and returns the same.
func (b *Broker) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), b.drainTime)
	defer cancel()
	return b.Shutdown(ctx)
}

// Shutdown closes the broker: no message is handed out any more, handlers finish and may publish meanwhile, and after
// Options.DrainTime, or when ctx ends, their contexts end too. Then publishers are closed, whose errors it returns. It returns when all have returned and the engine is closed.
// When ctx ends first, handlers have a second more to heed their contexts; those that do not are a *StuckError, and the
// engine is closed all the same. Every running Consume ends with ErrClosed, and so does every call from then on. Of
// several calls, the ctx that ends first counts, and all return the same. It must not be called by a handler, for
// which it would wait.
func (b *Broker) Shutdown(ctx context.Context) error {
	release := context.AfterFunc(ctx, b.hurryUp)
	defer release()
	if b.beginClosing() {
		b.finish()
	}
	<-b.finished
	return b.err
}

// beginClosing is true for the first who closes.
func (b *Broker) beginClosing() bool {
	b.refuse(ErrClosed)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return false
	}
	b.closing = true
	b.checkGone()
	return true
}

func (b *Broker) hurryUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.hurried {
		b.hurried = true
		close(b.hurry)
	}
}

func (b *Broker) finish() {
	defer close(b.finished)
	stuck := b.awaitConsumers()
	unsent := b.withinGrace(b.closePublishers)
	b.closed.Store(true)
	close(b.quit)
	<-b.watched
	b.err = errors.Join(stuck, unsent, b.withinGrace(b.engine.Close))
}

// withinGrace calls f with a ctx that ends a grace after we were told to hurry.
func (b *Broker) withinGrace(f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	var hurrying sync.WaitGroup
	hurrying.Go(func() { b.cancelAfterGrace(ctx, cancel) })
	defer hurrying.Wait()
	defer cancel()
	return f(ctx)
}

// closePublishers has no publisher begin any more, and closes those that are there.
func (b *Broker) closePublishers(ctx context.Context) error {
	b.mu.Lock()
	senders := b.senders
	b.senders = nil
	b.mu.Unlock()
	var errs []error
	for p := range senders {
		errs = append(errs, p.Close(ctx))
	}
	return errors.Join(errs...)
}

// enlist has p closed with the broker.
func (l *life) enlist(p *Publisher) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.senders == nil {
		return ErrClosed
	}
	l.senders[p] = struct{}{}
	return nil
}

func (l *life) delist(p *Publisher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.senders, p)
}

// cancelAfterGrace ends ctx a grace after we were told to hurry; it returns when ctx ended in any way.
func (b *Broker) cancelAfterGrace(ctx context.Context, cancel context.CancelFunc) {
	select {
	case <-ctx.Done():
		return
	case <-b.hurry:
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
		cancel()
	}
}

// awaitConsumers waits until no Consume runs, or a grace after we were told to hurry; then it says what hangs.
func (b *Broker) awaitConsumers() error {
	select {
	case <-b.gone:
		return nil
	case <-b.hurry:
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-b.gone:
		return nil
	case <-t.C:
		return &StuckError{Handlers: b.handlers(), Stacks: handlerStacks()}
	}
}

// handlerStacks returns the stacks of the goroutines in which a handler or the body of a loop over Deliveries runs, or of all if it finds
// none.
func handlerStacks() []byte {
	buf := make([]byte, maxStacks)
	all := buf[:runtime.Stack(buf, true)]
	var found [][]byte
	for s := range bytes.SplitSeq(all, []byte("\n\n")) {
		if bytes.Contains(s, []byte("queue.(*worker).invoke(")) || bytes.Contains(s, []byte("queue.(*lender).lend(")) {
			found = append(found, s)
		}
	}
	if found == nil {
		return bytes.Clone(all)
	}
	return bytes.Join(found, []byte("\n\n"))
}
