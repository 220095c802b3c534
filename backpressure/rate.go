package backpressure

import (
	"context"
	"fmt"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// Rate lets through so many a second, and burst at once: a bucket of burst tokens, full at first, that fills at the rate. It is safe for concurrent use.
type Rate struct{ bucket *rate.Limiter }

// NewRate returns a rate of perSecond, above zero, with a burst of at least 1; 0 is what comes in a tenth of a second, and 1 at least. ErrOption for others.
func NewRate(perSecond float64, burst int) (*Rate, error) {
	if !(perSecond > 0) || math.IsInf(perSecond, 1) {
		return nil, fmt.Errorf("%w: a rate of %v: above zero, and finite", ErrOption, perSecond)
	}
	if burst < 0 {
		return nil, fmt.Errorf("%w: a burst of %d: not negative", ErrOption, burst)
	}
	if burst == 0 {
		burst = int(min(max(1, perSecond/10), math.MaxInt32))
	}
	return &Rate{rate.NewLimiter(rate.Limit(perSecond), burst)}, nil
}

// Allow takes n tokens if they are there now. It does not allocate. n below zero is never allowed.
func (r *Rate) Allow(n int) bool { return n >= 0 && r.bucket.AllowN(time.Now(), n) }

// Wait waits for n tokens, in turn, and takes them. It returns ErrRateLimited joined with ctx's error when ctx ended first, or at once, joined with context.DeadlineExceeded, if it
// would end first; no token is taken then. ErrWeight for n that is negative or more than the burst.
func (r *Rate) Wait(ctx context.Context, n int) error {
	if n < 0 || n > r.bucket.Burst() {
		return fmt.Errorf("%w: %d tokens, the burst is %d", ErrWeight, n, r.bucket.Burst())
	}
	err := r.bucket.WaitN(ctx, n)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ended(limited{}, ctx.Err())
	}
	return ended(limited{}, context.DeadlineExceeded)
}

// Burst returns how many are let through at once.
func (r *Rate) Burst() int { return r.bucket.Burst() }

// full tells whether the bucket is as a new one.
func (r *Rate) full() bool { return r.bucket.Tokens() >= float64(r.bucket.Burst()) }
