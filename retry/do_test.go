package retry_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/retry"
)

// failing returns a function that fails n times, then succeeds, and the moments of its calls.
func failing(n int, err error) (fn func(context.Context) error, calls *[]time.Duration) {
	begin := time.Now()
	calls = new([]time.Duration)
	return func(context.Context) error {
		*calls = append(*calls, time.Since(begin))
		if len(*calls) <= n {
			return err
		}
		return nil
	}, calls
}

func wantError(t *testing.T, err error, reason retry.Reason, attempts int) *retry.Error {
	t.Helper()
	var e *retry.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *retry.Error", err)
	}
	if e.Reason != reason || e.Attempts != attempts {
		t.Fatalf("gave up after %d: %v, want %d: %v", e.Attempts, e.Reason, attempts, reason)
	}
	return e
}

func TestDoWaitsAsThePolicySays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		var told []retry.Retry
		fn, calls := failing(3, errDown)
		r := retry.Runner{
			Policy:  retry.Policy{First: s, Max: 3 * s, Jitter: retry.NoJitter},
			OnRetry: func(r retry.Retry) { told = append(told, r) },
		}
		if err := r.Do(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{0, s, 3 * s, 6 * s}; !slices.Equal(*calls, want) {
			t.Errorf("called at %v, want %v", *calls, want)
		}
		if want := []retry.Retry{{1, errDown, s}, {2, errDown, 2 * s}, {3, errDown, 3 * s}}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}

func TestDoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fn, calls := failing(99, errDown)
		err := retry.Do(t.Context(), retry.Constant(time.Second), fn)
		e := wantError(t, err, retry.OutOfAttempts, 8)
		if len(*calls) != 8 || e.Elapsed != 7*time.Second || !errors.Is(err, errDown) || e.Cause != nil {
			t.Errorf("%d calls, %+v", len(*calls), e)
		}
		if want := "retry: gave up after 8 attempts (out of attempts): down"; err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}

		fn, _ = failing(99, retry.Permanent(errDown))
		err = retry.Do(t.Context(), retry.Policy{}, fn)
		wantError(t, err, retry.PermanentFailure, 1)
		if !errors.Is(err, errDown) || !strings.Contains(err.Error(), "1 attempt (permanent") {
			t.Error(err)
		}

		p := retry.Constant(time.Second)
		p.MaxElapsed = 2500 * time.Millisecond
		fn, _ = failing(99, errDown)
		wantError(t, retry.Do(t.Context(), p, fn), retry.OutOfTime, 3)
	})
}

func TestDoHonoursAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fn, calls := failing(1, retry.After(10*time.Second, errDown))
		if err := retry.Do(t.Context(), retry.Policy{}, fn); err != nil || !slices.Equal(*calls, []time.Duration{0, 10 * time.Second}) {
			t.Errorf("%v, called at %v", err, *calls)
		}
	})
}

func TestDoStopsWithItsContext(t *testing.T) {
	errShutdown := errors.New("shutting down")
	synctest.Test(t, func(t *testing.T) { // while it waits
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(1500*time.Millisecond, func() { cancel(errShutdown) })
		fn, _ := failing(99, errDown)
		begin := time.Now()
		err := retry.Do(ctx, retry.Constant(time.Second), fn)
		e := wantError(t, err, retry.Cancelled, 2)
		if !errors.Is(err, errShutdown) || !errors.Is(err, errDown) || !errors.Is(err, context.Canceled) || e.Cause != errShutdown {
			t.Errorf("%v is not all of the cause, the last error and context.Canceled", err)
		}
		if d := time.Since(begin); d != 1500*time.Millisecond || e.Elapsed != d {
			t.Errorf("returned after %v, says %v", d, e.Elapsed)
		}
	})
	synctest.Test(t, func(t *testing.T) { // while fn runs, and it says what has nothing to do with it
		ctx, cancel := context.WithCancel(t.Context())
		r := retry.Runner{OnRetry: func(retry.Retry) { t.Error("told of a retry that does not come") }}
		err := r.Do(ctx, func(context.Context) error { cancel(); return errDown })
		wantError(t, err, retry.Cancelled, 1)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, errDown) {
			t.Error(err)
		}
		called := false // before it begins
		err = retry.Do(ctx, retry.Policy{}, func(context.Context) error { called = true; return nil })
		wantError(t, err, retry.Cancelled, 0)
		if called || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "no attempt") {
			t.Errorf("called: %v, %v", called, err)
		}
		ctx, cancel = context.WithCancel(t.Context()) // at once is not without end
		calls := 0
		p := retry.Constant(0)
		p.MaxAttempts = -1
		r = retry.Runner{Policy: p, OnRetry: func(r retry.Retry) {
			if r.Attempt == 100 {
				cancel()
			}
		}}
		wantError(t, r.Do(ctx, func(context.Context) error { calls++; return errDown }), retry.Cancelled, 100)
		if calls != 100 {
			t.Errorf("%d calls", calls)
		}
	})
	synctest.Test(t, func(t *testing.T) { // fn succeeds although the context ended
		ctx, cancel := context.WithCancel(t.Context())
		if err := retry.Do(ctx, retry.Policy{}, func(context.Context) error { cancel(); return nil }); err != nil {
			t.Error(err)
		}
	})
}

// TestDoTellsThePolicyTheDelayBefore, also where an error asked for it.
func TestDoTellsThePolicyTheDelayBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var delays []time.Duration
		r := retry.Runner{Policy: retry.Policy{Jitter: retry.DecorrelatedJitter}, Seed: 5, OnRetry: func(r retry.Retry) { delays = append(delays, r.After) }}
		fn, _ := failing(1, retry.After(20*time.Second, errDown))
		_ = r.Do(t.Context(), func(ctx context.Context) error { return errors.Join(fn(ctx), errDown) })
		if want := r.Policy.Delay(2, 20*time.Second, 5); delays[0] != 20*time.Second || delays[1] != want {
			t.Errorf("waited %v, want 20s and %v", delays, want)
		}
	})
}

func TestDoDoesNotWaitPastTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			timeout  time.Duration
			attempts int
		}{{2500 * time.Millisecond, 3}, {2 * time.Second, 2}, {2*time.Second + 1, 3}} {
			ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
			fn, _ := failing(99, errDown)
			begin := time.Now()
			err := retry.Do(ctx, retry.Constant(time.Second), fn)
			e := wantError(t, err, retry.PastDeadline, test.attempts)
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errDown) || e.Cause != context.DeadlineExceeded {
				t.Error(err)
			}
			if d := time.Since(begin); d != time.Duration(test.attempts-1)*time.Second {
				t.Errorf("within %v: returned after %v", test.timeout, d)
			}
			cancel()
		}
	})
}

func TestDoValidates(t *testing.T) {
	var f *retry.FieldError
	err := retry.Do(t.Context(), retry.Listed(), func(context.Context) error { t.Error("called"); return nil })
	if !errors.As(err, &f) || f.Field != "List" {
		t.Errorf("got %v, want a *FieldError of List", err)
	}
}

func TestDoValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		v, err := retry.DoValue(t.Context(), retry.Policy{}, func(context.Context) (int, error) {
			if calls++; calls < 3 {
				return 13, errDown
			}
			return 42, nil
		})
		if v != 42 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
		v, err = retry.DoValue(t.Context(), retry.Policy{MaxAttempts: 1}, func(context.Context) (int, error) { return 13, errDown })
		if v != 0 || !errors.Is(err, errDown) {
			t.Errorf("%d, %v: want the zero value with an error", v, err)
		}
	})
}

func TestPanicGoesThrough(t *testing.T) {
	defer func() {
		if v := recover(); v != "boom" {
			t.Errorf("recovered %v", v)
		}
	}()
	_ = retry.Do(t.Context(), retry.Policy{}, func(context.Context) error { panic("boom") })
}

// TestSeeds: a seed makes the same delays, and without one no two calls wait alike.
func TestSeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delays := func(seed uint64, jitter retry.Jitter) (list []time.Duration) {
			r := retry.Runner{Policy: retry.Policy{Jitter: jitter}, Seed: seed, OnRetry: func(r retry.Retry) { list = append(list, r.After) }}
			_ = r.Do(t.Context(), func(context.Context) error { return errDown })
			return list
		}
		for _, jitter := range []retry.Jitter{retry.FullJitter, retry.EqualJitter, retry.DecorrelatedJitter} {
			if a, b := delays(7, jitter), delays(7, jitter); len(a) != 7 || !slices.Equal(a, b) {
				t.Errorf("%v: %v and %v from one seed", jitter, a, b)
			}
			if a, b := delays(0, jitter), delays(0, jitter); slices.Equal(a, b) {
				t.Errorf("%v: %v twice without a seed", jitter, a)
			}
		}
	})
}
