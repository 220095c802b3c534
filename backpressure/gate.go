package backpressure

import (
	"context"
	"sync"
)

// Gate holds at most so much at a time, in number and in bytes together. Who finds no room waits, first come, first served: nobody passes a heavier one that came before,
// so none starves. It is safe for concurrent use.
type Gate struct {
	mu      sync.Mutex
	most    Weight    // guarded by mu
	held    Weight    // guarded by mu
	waiting waiters   // guarded by mu
	closed  error     // guarded by mu; why nobody is let in any more
	marks   *crossing // guarded by mu; nil: nobody watches
}

// NewGate returns a gate that holds nothing yet. A zero field of bound is no bound; ErrOption for one that is negative, or zero in both.
func NewGate(bound Weight) (*Gate, error) {
	most, err := limit(bound)
	if err != nil {
		return nil, err
	}
	return &Gate{most: most}, nil
}

// Acquire waits until there is room for w behind all that came before, and takes it. It returns ErrFull joined with ctx's error when ctx ended first, and nothing is taken
// then; ErrWeight at once for what can never pass; and the reason once the gate is closed.
func (g *Gate) Acquire(ctx context.Context, w Weight) error {
	if err := ctx.Err(); err != nil {
		return ended(ErrFull, err)
	}
	if g.TryAcquire(w) {
		return nil
	}
	g.mu.Lock()
	if err := g.refuses(w); err != nil {
		g.mu.Unlock()
		return err
	}
	if g.free(w) { // by now
		g.take(w)
		return nil
	}
	me := &waiter{weight: w, ready: make(chan struct{})}
	g.waiting.push(me)
	g.mu.Unlock()
	select {
	case <-me.ready:
		return me.err
	case <-ctx.Done():
		return g.giveUp(me, ctx.Err())
	}
}

// giveUp ends a wait. What it was given meanwhile goes back.
func (g *Gate) giveUp(me *waiter, cause error) error {
	g.mu.Lock()
	switch {
	case me.waits:
		g.waiting.remove(me)
	case me.err != nil:
		g.mu.Unlock()
		return me.err
	default:
		g.held = g.held.Minus(me.weight)
	}
	g.serve()
	g.unlock()
	return ended(ErrFull, cause)
}

// TryAcquire takes room for w if it is there and nobody waits for it. It does not wait, and does not allocate.
func (g *Gate) TryAcquire(w Weight) bool {
	g.mu.Lock()
	if !g.free(w) {
		g.mu.Unlock()
		return false
	}
	g.take(w)
	return true
}

// free tells whether w may pass now.
func (g *Gate) free(w Weight) bool {
	return g.waiting.first == nil && w.within(g.most, g.held) && !w.bad() && g.closed == nil
}

// take counts w, and unlocks.
func (g *Gate) take(w Weight) {
	g.held = g.held.Plus(w)
	if g.marks == nil {
		g.mu.Unlock()
		return
	}
	g.unlock()
}

// refuses tells why w will never pass.
func (g *Gate) refuses(w Weight) error {
	if g.closed != nil {
		return g.closed
	}
	return w.judge(g.most)
}

// Take counts w whether there is room or not: for what is there already, and for what must not wait. Until as much is released nobody is let in. A negative
// w is a panic.
func (g *Gate) Take(w Weight) {
	if w.bad() {
		panic("backpressure: Gate.Take of a negative weight")
	}
	g.mu.Lock()
	g.take(w)
}

// Release gives back w of what was taken, and lets in who waits for it. To give back more than is held is a panic.
func (g *Gate) Release(w Weight) {
	g.mu.Lock()
	if w.bad() || !w.within(g.held, Weight{}) {
		g.mu.Unlock()
		panic("backpressure: Gate.Release of more than is held")
	}
	g.held = g.held.Minus(w)
	if g.waiting.first == nil && g.marks == nil {
		g.mu.Unlock()
		return
	}
	g.serve()
	g.unlock()
}

// serve lets in those that there is room for.
func (g *Gate) serve() {
	for w := g.waiting.first; w != nil && w.weight.within(g.most, g.held); w = g.waiting.first {
		g.held = g.held.Plus(w.weight)
		g.waiting.letIn()
	}
}

// unlock has who watches told what happened, behind the lock.
func (g *Gate) unlock() {
	m := g.marks
	crossed := m != nil && m.note(g.held)
	g.mu.Unlock()
	if crossed {
		m.tell()
	}
}

// SetBound replaces the bound. What is held beyond it stays, and who waits for more than could ever pass is turned away with ErrWeight. ErrOption, as NewGate.
func (g *Gate) SetBound(bound Weight) error {
	most, err := limit(bound)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.most = most
	for w := g.waiting.first; w != nil; {
		next := w.next
		if w.err = w.weight.judge(most); w.err != nil {
			g.waiting.remove(w)
			close(w.ready)
		}
		w = next
	}
	if g.marks != nil {
		g.marks.mark.bound(most)
	}
	g.serve()
	g.unlock()
	return nil
}

// Close turns away all that wait, and whoever comes later, with reason, which must not be nil. What is held can still be released. The first reason counts.
func (g *Gate) Close(reason error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = reason
		g.waiting.turnAway(reason)
	}
}

// Held returns what is held now, and how many wait for room.
func (g *Gate) Held() (held Weight, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held, g.waiting.count
}
