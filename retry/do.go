package retry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Runner runs functions under a policy. It has no state of its own: a copy does the same, and any number of goroutines may use it. The zero Runner has the
// zero Policy.
type Runner struct {
	Policy Policy
	// Budget bounds the retries of all the calls that share it. nil: no bound.
	Budget *Budget
	// OnRetry is called before each wait, in the goroutine of Do. nil: nothing is.
	OnRetry func(Retry)
	// Seed makes the jitter the same each time, for tests. 0: each Do draws its own.
	Seed uint64
}

// Retry is an attempt that failed and is followed by another.
type Retry struct {
	Attempt int // the failed one, from 1
	Err     error
	After   time.Duration // until the next begins
}

// Error is what Do returns when it gives up. errors.Is and errors.As find the last error, and what the context ended with.
type Error struct {
	Attempts int           // how many were made; 0 if the context had ended already
	Elapsed  time.Duration // since Do was called
	Reason   Reason
	Err      error // of the last attempt; nil if there was none
	// Cause is why the context ended (context.Cause), with Cancelled; and context.DeadlineExceeded with PastDeadline. Else it is nil.
	Cause error

	context error // its Err, if the cause is another
}

func (e *Error) Error() string {
	what := e.Reason.String()
	if e.Reason == Cancelled && e.Cause != nil {
		what += ": " + e.Cause.Error()
	}
	if e.Err == nil {
		return fmt.Sprintf("retry: no attempt (%s)", what)
	}
	unit := "attempts"
	if e.Attempts == 1 {
		unit = "attempt"
	}
	return fmt.Sprintf("retry: gave up after %d %s (%s): %v", e.Attempts, unit, what, e.Err)
}

// Unwrap returns the last error and what the context ended with.
func (e *Error) Unwrap() []error {
	var list []error
	for _, err := range []error{e.Err, e.Cause, e.context} {
		if err != nil {
			list = append(list, err)
		}
	}
	return list
}

// Do calls fn until it returns nil, or the policy says that it is enough: Runner.Do without a budget and without a hook.
func Do(ctx context.Context, p Policy, fn func(context.Context) error) error {
	return Runner{Policy: p}.Do(ctx, fn)
}

// DoValue is Do for a function with a result. With an error it returns the zero value.
func DoValue[T any](ctx context.Context, p Policy, fn func(context.Context) (T, error)) (T, error) {
	var value, zero T
	err := Do(ctx, p, func(ctx context.Context) (err error) {
		value, err = fn(ctx)
		return err
	})
	if err != nil {
		return zero, err
	}
	return value, nil
}

// Do calls fn until it returns nil, and waits in between as the policy says, in the caller's goroutine. It returns nil, or an *Error when it gives up; a policy
// that Validate refuses gives what that says, before fn is called.
//
// When ctx ends, the wait ends, and no other attempt begins; a running one is fn's to end. A wait that would last to the deadline of ctx or longer is not begun. A panic of
// fn goes through.
func (r Runner) Do(ctx context.Context, fn func(context.Context) error) error {
	if err := r.Policy.Validate(); err != nil {
		return err
	}
	begin := time.Now()
	a := Attempt{Seed: r.Seed}
	if a.Seed == 0 {
		a.Seed = rand.Uint64()
	}
	if ctx.Err() != nil {
		return giveUp(ctx, a, Cancelled)
	}
	if r.Budget != nil {
		r.Budget.Deposit()
	}
	for {
		a.Number++
		a.Err = fn(ctx)
		a.Elapsed = time.Since(begin)
		if a.Err == nil {
			return nil
		}
		after, reason := r.next(ctx, a)
		if reason != 0 {
			return giveUp(ctx, a, reason)
		}
		if r.OnRetry != nil {
			r.OnRetry(Retry{Attempt: a.Number, Err: a.Err, After: after})
		}
		if !wait(ctx, after) {
			if r.Budget != nil {
				r.Budget.refund()
			}
			a.Elapsed = time.Since(begin)
			return giveUp(ctx, a, Cancelled)
		}
		a.Previous = after
	}
}

// next returns how long to wait, or why not. What it takes from the budget is for one attempt.
func (r Runner) next(ctx context.Context, a Attempt) (after time.Duration, reason Reason) {
	if ctx.Err() != nil {
		return 0, Cancelled
	}
	d := r.Policy.Decide(a)
	if !d.Retry {
		return 0, d.Reason
	}
	if deadline, ok := ctx.Deadline(); ok && d.After >= time.Until(deadline) {
		return 0, PastDeadline
	}
	if r.Budget != nil && !r.Budget.Withdraw() {
		return 0, OutOfBudget
	}
	return d.After, 0
}

func giveUp(ctx context.Context, a Attempt, reason Reason) error {
	e := &Error{Attempts: a.Number, Elapsed: a.Elapsed, Reason: reason, Err: a.Err}
	switch reason {
	case Cancelled:
		e.Cause = context.Cause(ctx)
		if err := ctx.Err(); err != e.Cause {
			e.context = err
		}
	case PastDeadline:
		e.Cause = context.DeadlineExceeded
	}
	return e
}

// wait returns false when ctx ended, also if it did at the same moment.
func wait(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	return ctx.Err() == nil
}
