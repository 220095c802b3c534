package backpressure

import (
	"context"
	"slices"
	"sync"
)

// Pool is one bound that many share, in number and in bytes together. A share may hold as much as is left free beside all: one alone takes half of the pool, two a third each, and so on, so
// that there is room for who comes next. One that holds nothing may take what it likes, within the bound. Within a share it is first come, first served; between shares that wait
// it goes in turn, and one that holds nothing is passed by nobody once it waits. It is safe for concurrent use.
type Pool struct {
	mu      sync.Mutex
	most    Weight
	held    Weight   // guarded by mu
	waiting []*Share // guarded by mu; those with waiters, who is next first
}

// Share is who takes part in a Pool. It comes from [Pool.Share], and is forgotten when it holds nothing and nobody has it any more. It is safe for concurrent use.
type Share struct {
	pool   *Pool
	held   Weight  // guarded by pool.mu
	queue  waiters // guarded by pool.mu
	closed error   // guarded by pool.mu
}

// NewPool returns a pool of which nothing is taken. A zero field of bound is no bound; ErrOption for one that is negative, or zero in both.
func NewPool(bound Weight) (*Pool, error) {
	most, err := limit(bound)
	if err != nil {
		return nil, err
	}
	return &Pool{most: most}, nil
}

// Share returns a new share.
func (p *Pool) Share() *Share { return &Share{pool: p} }

// Held returns what all shares hold, and how many wait.
func (p *Pool) Held() (held Weight, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.waiting {
		waiting += s.queue.count
	}
	return p.held, waiting
}

// Held returns what the share holds, and how many wait for more.
func (s *Share) Held() (held Weight, waiting int) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return s.held, s.queue.count
}

// Acquire is Gate.Acquire.
func (s *Share) Acquire(ctx context.Context, w Weight) error {
	if err := ctx.Err(); err != nil {
		return ended(ErrFull, err)
	}
	p := s.pool
	p.mu.Lock()
	if s.closed != nil {
		defer p.mu.Unlock()
		return s.closed
	}
	if err := w.judge(p.most); err != nil {
		p.mu.Unlock()
		return err
	}
	if s.free(w) {
		s.take(w)
		p.mu.Unlock()
		return nil
	}
	me := &waiter{weight: w, ready: make(chan struct{})}
	if s.queue.first == nil {
		p.waiting = append(p.waiting, s)
	}
	s.queue.push(me)
	p.mu.Unlock()
	select {
	case <-me.ready:
		return me.err
	case <-ctx.Done():
		return s.giveUp(me, ctx.Err())
	}
}

// giveUp ends a wait. What it was given meanwhile goes back.
func (s *Share) giveUp(me *waiter, cause error) error {
	p := s.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case me.waits:
		s.queue.remove(me)
		p.unlist(s)
	case me.err != nil:
		return me.err
	default:
		s.take(Weight{-me.weight.Count, -me.weight.Bytes})
	}
	p.serve()
	return ended(ErrFull, cause)
}

// TryAcquire is Gate.TryAcquire.
func (s *Share) TryAcquire(w Weight) bool {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if w.bad() || s.closed != nil || !s.free(w) {
		return false
	}
	s.take(w)
	return true
}

// free tells whether w, which is not negative, may be taken now: nobody of the share waits, it fits, and no share that holds nothing waits for room.
func (s *Share) free(w Weight) bool {
	p := s.pool
	if s.queue.first != nil || !s.fits(w) {
		return false
	}
	for _, other := range p.waiting {
		if other.held == (Weight{}) {
			return false
		}
	}
	return true
}

// fits tells whether there is room for w, and the share may have it.
func (s *Share) fits(w Weight) bool {
	p := s.pool
	if !w.within(p.most, p.held) {
		return false
	}
	return s.held == (Weight{}) || w.within(p.most.Minus(p.held), s.held)
}

func (s *Share) take(w Weight) {
	s.held = s.held.Plus(w)
	s.pool.held = s.pool.held.Plus(w)
}

// Take is Gate.Take.
func (s *Share) Take(w Weight) {
	if w.bad() {
		panic("backpressure: Share.Take of a negative weight")
	}
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.take(w)
}

// Release is Gate.Release.
func (s *Share) Release(w Weight) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if w.bad() || !w.within(s.held, Weight{}) {
		panic("backpressure: Share.Release of more than is held")
	}
	s.take(Weight{-w.Count, -w.Bytes})
	s.pool.serve()
}

// Close is Gate.Close, of the share.
func (s *Share) Close(reason error) {
	p := s.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.closed != nil {
		return
	}
	s.closed = reason
	if s.queue.first != nil {
		s.queue.turnAway(reason)
		p.unlist(s)
	}
	p.serve()
}

// unlist forgets a share nobody of which waits any more.
func (p *Pool) unlist(s *Share) {
	if s.queue.first == nil {
		p.waiting = slices.DeleteFunc(p.waiting, func(other *Share) bool { return other == s })
	}
}

// serve lets in those that there is room for, one of each share in turn. A share that holds nothing and finds no room has the others wait with it.
func (p *Pool) serve() {
	for i := 0; i < len(p.waiting); {
		s := p.waiting[i]
		w := s.queue.first.weight
		switch {
		case s.fits(w):
			s.take(w)
			s.queue.letIn()
			p.waiting = slices.Delete(p.waiting, i, i+1)
			if s.queue.first != nil {
				p.waiting = append(p.waiting, s) // behind those that had none
			}
			i = 0
		case s.held == (Weight{}):
			return
		default:
			i++
		}
	}
}
