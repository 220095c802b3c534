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
	gone     chan struct{} // closed when the broker is closing and the last consumer has left
	quit     chan struct{} // closed to end the watcher
	watched  chan struct{} // closed by the watcher, which then calls nothing but Events.Stopped
	finished chan struct{} // closed when the broker is closed
	err      error         // of closing; to be read when finished is closed

	mu        sync.Mutex
	consumers map[*consumer]struct{} // guarded by mu
	refusal   error                  // guarded by mu; why no consumer may begin, nil while they may
	closing   bool                   // guarded by mu
	hurried   bool                   // guarded by mu; hurry is closed
}

func newLife() life {
	return life{
		hurry:     make(chan struct{}),
		gone:      make(chan struct{}),
		quit:      make(chan struct{}),
		watched:   make(chan struct{}),
		finished:  make(chan struct{}),
		consumers: make(map[*consumer]struct{}),
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
	if l.closing && len(l.consumers) == 0 {
		close(l.gone)
	}
}

// handlers counts those that run now.
func (l *life) handlers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for c := range l.consumers {
		for _, w := range c.workers {
			if w.busy.Load() {
				n++
			}
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
// Options.DrainTime, or when ctx ends, their contexts end too. It returns when all have returned and the engine is closed.
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
	if len(b.consumers) == 0 {
		close(b.gone)
	}
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
	b.closed.Store(true)
	close(b.quit)
	<-b.watched

	ctx, cancel := context.WithCancel(context.Background())
	var hurrying sync.WaitGroup
	hurrying.Go(func() { b.cancelAfterGrace(ctx, cancel) })
	b.err = errors.Join(stuck, b.engine.Close(ctx))
	cancel()
	hurrying.Wait()
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

// handlerStacks returns the stacks of the goroutines in which a handler runs, or of all if it finds none.
func handlerStacks() []byte {
	buf := make([]byte, maxStacks)
	all := buf[:runtime.Stack(buf, true)]
	var found [][]byte
	for s := range bytes.SplitSeq(all, []byte("\n\n")) {
		if bytes.Contains(s, []byte("queue.(*worker).invoke(")) {
			found = append(found, s)
		}
	}
	if found == nil {
		return bytes.Clone(all)
	}
	return bytes.Join(found, []byte("\n\n"))
}
