package backpressure

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// Controller is a bound of what is held, a rate, and perhaps a share of a pool, as one decision: whoever asks has all of it or nothing. Nothing passes the bound under any
// concurrency, and what is refused spends no token. It is safe for concurrent use.
type Controller struct {
	gate     *Gate                // nil: no bound
	share    *Share               // nil: no pool
	rate     atomic.Pointer[Rate] // nil: no rate
	admitted atomic.Int64
	full     atomic.Int64
	limited  atomic.Int64
}

// Options of a Controller. One of Bound, Share and Rate must be set.
type Options struct {
	Bound Weight  // of what is held; a zero field is no bound
	Share *Share  // of a pool, of which everything is taken as well; nil: none
	Rate  float64 // of Weight.Count, in a second; 0: no bound
	Burst int     // 0: as NewRate; else not without Rate

	// Watch is told when what is held becomes high by Marks, and low again, as Gate.Watch says; nil: nobody is told. It needs a Bound.
	Watch func(high bool, held Weight)
	Marks Marks
}

// Reason is why something was refused.
type Reason string

// The reasons.
const (
	QueueFull   Reason = "queue_full"
	RateLimited Reason = "rate_limited"
)

// NewController returns a controller that holds nothing. ErrOption for options that cannot be.
func NewController(o Options) (*Controller, error) {
	c := &Controller{share: o.Share}
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	var err error
	if o.Bound != (Weight{}) {
		c.gate, err = NewGate(o.Bound)
		note(err)
	}
	if o.Rate != 0 {
		var r *Rate
		r, err = NewRate(o.Rate, o.Burst)
		c.rate.Store(r)
		note(err)
	}
	switch {
	case c.gate == nil && o.Watch != nil, o.Watch == nil && o.Marks != Marks{}, o.Rate == 0 && o.Burst != 0,
		o.Bound == Weight{} && o.Rate == 0 && o.Share == nil:
		note(errors.Join(ErrOption, errors.New("one of Bound, Share and Rate must be set; Burst needs Rate, Watch needs Bound, Marks need Watch")))
	case c.gate != nil && o.Watch != nil:
		note(c.gate.Watch(o.Marks, o.Watch))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// Admit waits for room for w and for w.Count tokens, in turn, room first, and takes both. It returns ErrFull or ErrRateLimited joined with ctx's error when ctx ended first, or, for the
// rate, will have; ErrWeight for what can never pass. Nothing is taken then.
func (c *Controller) Admit(ctx context.Context, w Weight) error {
	if err := c.judge(w); err != nil {
		return err
	}
	if c.gate != nil {
		if err := c.gate.Acquire(ctx, w); err != nil {
			return c.refused(err)
		}
	}
	if c.share != nil {
		if err := c.share.Acquire(ctx, w); err != nil {
			c.back(w, false)
			return c.refused(err)
		}
	}
	if r := c.rate.Load(); r != nil {
		if err := r.Wait(ctx, int(w.Count)); err != nil {
			c.back(w, true)
			return c.refused(err)
		}
	}
	c.admitted.Add(w.Count)
	return nil
}

// TryAdmit is Admit without waiting: ErrFull or ErrRateLimited at once. It does not allocate, whatever it returns.
func (c *Controller) TryAdmit(w Weight) error {
	if err := c.judge(w); err != nil {
		return err
	}
	r := c.rate.Load()
	switch {
	case c.gate != nil && !c.gate.TryAcquire(w):
		return c.refused(ErrFull)
	case c.share != nil && !c.share.TryAcquire(w):
		c.back(w, false)
		return c.refused(ErrFull)
	case r != nil && !r.Allow(int(w.Count)):
		c.back(w, true)
		return c.refused(limited{})
	}
	c.admitted.Add(w.Count)
	return nil
}

// judge returns ErrWeight for what can never pass.
func (c *Controller) judge(w Weight) error {
	if r := c.rate.Load(); r != nil && (w.Count < 0 || w.Count > int64(r.Burst())) {
		return w.judge(Weight{int64(r.Burst()), w.Bytes})
	}
	if c.gate != nil {
		c.gate.mu.Lock()
		most := c.gate.most
		c.gate.mu.Unlock()
		if err := w.judge(most); err != nil {
			return err
		}
	}
	if c.share != nil {
		return w.judge(c.share.pool.most)
	}
	return nil
}

// back gives back the room that an admission took before it failed.
func (c *Controller) back(w Weight, shared bool) {
	if c.gate != nil {
		c.gate.Release(w)
	}
	if shared && c.share != nil {
		c.share.Release(w)
	}
}

// refused counts a refusal.
func (c *Controller) refused(err error) error {
	switch {
	case errors.Is(err, ErrRateLimited):
		c.limited.Add(1)
	case errors.Is(err, ErrFull):
		c.full.Add(1)
	}
	return err
}

// Take is Gate.Take: it counts w, without asking for room or tokens.
func (c *Controller) Take(w Weight) {
	if c.gate != nil {
		c.gate.Take(w)
	}
	if c.share != nil {
		c.share.Take(w)
	}
}

// Release gives back the room of w. Tokens are spent.
func (c *Controller) Release(w Weight) { c.back(w, true) }

// SetBound replaces Options.Bound, as Gate.SetBound does. ErrOption for a bound that cannot be, and if there was none.
func (c *Controller) SetBound(bound Weight) error {
	if c.gate == nil {
		return fmt.Errorf("%w: a bound for a controller that was made without one", ErrOption)
	}
	return c.gate.SetBound(bound)
}

// SetRate replaces Options.Rate and Options.Burst; 0 and 0 are no rate. Tokens that are there remain, within the new burst, and a rate where there was none begins with all of it. Who waits for tokens
// gets them at the old rate. ErrOption, as NewRate. It is for one caller at a time.
func (c *Controller) SetRate(perSecond float64, burst int) error {
	if perSecond == 0 && burst == 0 {
		c.rate.Store(nil)
		return nil
	}
	r, err := NewRate(perSecond, burst)
	if err != nil {
		return err
	}
	if old := c.rate.Load(); old != nil {
		r.Allow(r.Burst() - max(0, min(r.Burst(), int(old.bucket.Tokens()))))
	}
	c.rate.Store(r)
	return nil
}

// Close turns away all that wait for room, and whoever comes later, with reason. Who waits for tokens is not.
func (c *Controller) Close(reason error) {
	if c.gate != nil {
		c.gate.Close(reason)
	}
	if c.share != nil {
		c.share.Close(reason)
	}
}

// Held returns what is held, of the bound, or of the share if there is none, and how many wait for room. It does not allocate.
func (c *Controller) Held() (held Weight, waiting int) {
	if c.share != nil {
		held, waiting = c.share.Held()
	}
	if c.gate != nil {
		var more int
		held, more = c.gate.Held()
		waiting += more
	}
	return held, waiting
}

// Stats is a snapshot of a controller.
type Stats struct {
	Held     Weight           // of the bound, or of the share if there is none
	Waiting  int              // for room; who waits for tokens does not count
	Admitted int64            // Weight.Count of what was admitted, ever
	Rejected map[Reason]int64 // calls that were refused, ever, by the reason; those whose wait ended included
}

// Stats returns what was counted.
func (c *Controller) Stats() Stats {
	s := Stats{Admitted: c.admitted.Load(), Rejected: map[Reason]int64{QueueFull: c.full.Load(), RateLimited: c.limited.Load()}}
	s.Held, s.Waiting = c.Held()
	return s
}
