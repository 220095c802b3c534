package breaker_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/retry"
	"github.com/leatmq/leat/retry/breaker"
)

var errDown = errors.New("down")

func newBreaker(t *testing.T, o breaker.Options) *breaker.Breaker {
	t.Helper()
	b, err := breaker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run makes calls that end as given, and stops at the first that is refused.
func run(b *breaker.Breaker, ends ...error) error {
	for _, end := range ends {
		err := b.Do(context.Background(), func(context.Context) error { return end })
		if errors.Is(err, breaker.ErrOpen) {
			return err
		}
	}
	return nil
}

func allow(t *testing.T, b *breaker.Breaker) breaker.Call {
	t.Helper()
	call, err := b.Allow()
	if err != nil {
		t.Fatal(err)
	}
	return call
}

func wantState(t *testing.T, b *breaker.Breaker, want breaker.State) {
	t.Helper()
	if got := b.State(); got != want {
		t.Fatalf("%v, want %v", got, want)
	}
}

// wantRefused wants an *OpenError, after which the next call is due in left.
func wantRefused(t *testing.T, b *breaker.Breaker, state breaker.State, left time.Duration) {
	t.Helper()
	_, err := b.Allow()
	var open *breaker.OpenError
	if !errors.As(err, &open) || !errors.Is(err, breaker.ErrOpen) {
		t.Fatalf("got %v, want an *OpenError", err)
	}
	if open.State != state || open.Left != left {
		t.Fatalf("refused as %v for %v, want %v for %v", open.State, open.Left, state, left)
	}
}

func TestOpensAfterFailuresInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Options{Failures: 3, Name: "bank"})
		if err := run(b, errDown, errDown, nil, errDown, errDown, context.Canceled); err != nil {
			t.Fatal(err)
		}
		if s := b.Stats(); s.InARow != 2 || s.Counts.Calls != 5 || s.Counts.Failed != 4 {
			t.Fatalf("%+v", s)
		}
		wantState(t, b, breaker.Closed)
		if err := b.Do(t.Context(), func(context.Context) error { return errDown }); err != errDown {
			t.Fatalf("the call that opens it returns %v, want its own error", err)
		}
		wantState(t, b, breaker.Open)
		wantRefused(t, b, breaker.Open, 5*time.Second)
		if err := b.Do(t.Context(), func(context.Context) error { t.Error("called"); return nil }); !strings.Contains(err.Error(), "of bank is open for another 5s") {
			t.Error(err)
		}
		if s := b.Stats(); s.Refused != 2 || s.Opened != 1 || s.OpenLeft != 5*time.Second || s.Counts != (breaker.Counts{}) {
			t.Errorf("%+v", s)
		}
	})
}

func TestOpensByRatio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Options{Failures: -1, FailureRatio: 0.5, MinCalls: 10, Window: 10 * time.Second})
		run(b, errDown, errDown, errDown, errDown, errDown, errDown, errDown, errDown, errDown) // all, but too few
		wantState(t, b, breaker.Closed)
		time.Sleep(10 * time.Second) // they no longer count
		run(b, nil, nil, nil, nil, nil, nil, errDown, errDown, errDown, errDown)
		wantState(t, b, breaker.Closed)
		if s := b.Stats(); s.Counts.Calls != 10 || s.Counts.Failed != 4 {
			t.Fatalf("%+v", s)
		}
		run(b, errDown) // 5 of 11
		wantState(t, b, breaker.Closed)
		run(b, errDown) // 6 of 12
		wantState(t, b, breaker.Open)
	})
}

// TestWindowRolls: what is old goes a tenth at a time, not all at once.
func TestWindowRolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Options{Failures: -1, FailureRatio: 1, MinCalls: 100, Window: 10 * time.Second})
		for range 30 {
			run(b, errDown)
			time.Sleep(time.Second)
		}
		for want := int64(9); want >= 0; want-- {
			if got := b.Stats().Counts.Calls; got != want {
				t.Fatalf("%d calls in the window, want %d", got, want)
			}
			time.Sleep(time.Second)
		}
		run(b, errDown)
		time.Sleep(10*time.Second - 1)
		if got := b.Stats().Counts.Calls; got != 1 {
			t.Fatalf("%d calls in the window, want that of almost 10 seconds ago", got)
		}
		time.Sleep(time.Nanosecond)
		if got := b.Stats().Counts.Calls; got != 0 {
			t.Fatalf("%d calls in the window, want none", got)
		}
	})
}

func TestOpensBySlowCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Options{SlowAfter: time.Second, SlowRatio: 0.5, MinCalls: 4})
		slow := func(d time.Duration) {
			_ = b.Do(t.Context(), func(context.Context) error { time.Sleep(d); return nil })
		}
		slow(0)
		slow(time.Second - 1)
		slow(time.Second)
		wantState(t, b, breaker.Closed)
		slow(time.Second)
		wantState(t, b, breaker.Open)
		time.Sleep(5 * time.Second)
		slow(2 * time.Second) // a slow probe is a failed one
		wantState(t, b, breaker.Open)
	})
}

func TestProbesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Options{Failures: 1, Probes: 2, Successes: 3})
		run(b, errDown)
		time.Sleep(5*time.Second - 1)
		wantRefused(t, b, breaker.Open, 1)
		time.Sleep(time.Nanosecond)
		wantState(t, b, breaker.Open) // nobody has called
		first, second := allow(t, b), allow(t, b)
		wantState(t, b, breaker.HalfOpen)
		wantRefused(t, b, breaker.HalfOpen, 0)
		first.Done(nil)
		first.Done(nil) // counts once
		first.Done(nil) // and frees one place
		third := allow(t, b)
		wantRefused(t, b, breaker.HalfOpen, 0)
		third.Done(context.Canceled) // tells nothing, and frees the place
		third = allow(t, b)
		second.Done(nil)
		wantState(t, b, breaker.HalfOpen)
		if s := b.Stats(); s.Probing != 1 || s.Counts.Calls != 2 {
			t.Fatalf("%+v", s)
		}
		third.Done(nil)
		wantState(t, b, breaker.Closed)
	})
}

// TestProbeTimeout: a probe whose end is never told is given up, not before its time.
func TestProbeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Options{Failures: 1, ProbeTimeout: 10 * time.Second})
		time.Sleep(time.Hour)
		run(b, errDown)
		time.Sleep(5 * time.Second)
		allow(t, b)
		time.Sleep(10*time.Second - 1)
		wantRefused(t, b, breaker.HalfOpen, 0)
		time.Sleep(time.Nanosecond)
		wantRefused(t, b, breaker.Open, 10*time.Second)
		time.Sleep(10 * time.Second)
		run(b, nil)
		wantState(t, b, breaker.Closed)
	})
}

func TestOpensLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Options{Failures: 1, OpenFor: 5 * time.Second, MaxOpenFor: 15 * time.Second})
		run(b, errDown)
		for _, want := range []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second, 15 * time.Second} {
			wantRefused(t, b, breaker.Open, want)
			time.Sleep(want)
			run(b, errDown)
		}
		time.Sleep(15 * time.Second)
		run(b, nil)
		wantState(t, b, breaker.Closed)
		run(b, errDown) // from the beginning
		wantRefused(t, b, breaker.Open, 5*time.Second)
	})
}

// TestLateCallsDoNotCount: what began before the last change says nothing about now.
func TestLateCallsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Options{Failures: 1})
		late, later, opening := allow(t, b), allow(t, b), allow(t, b)
		opening.Done(errDown)
		late.Done(nil)
		wantState(t, b, breaker.Open)
		time.Sleep(5 * time.Second)
		probe := allow(t, b)
		later.Done(errDown)
		wantState(t, b, breaker.HalfOpen)
		if n := b.Stats().Probing; n != 1 {
			t.Fatalf("%d probes, want 1: a late call gave back a place that it did not take", n)
		}
		probe.Done(nil)
		wantState(t, b, breaker.Closed)

		run(b, errDown)
		time.Sleep(5 * time.Second)
		stale := allow(t, b)
		time.Sleep(time.Minute) // it is given up
		wantRefused(t, b, breaker.Open, 10*time.Second)
		stale.Done(nil)
		wantState(t, b, breaker.Open)
	})
}

func TestPanicsAndGoexitsAreFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Options{Failures: 3})
		func() {
			defer func() {
				if v := recover(); v != "boom" {
					t.Errorf("recovered %v", v)
				}
			}()
			_ = b.Do(t.Context(), func(context.Context) error { panic("boom") })
		}()
		var ended sync.WaitGroup
		ended.Go(func() {
			_ = b.Do(t.Context(), func(context.Context) error { runtime.Goexit(); return nil })
		})
		ended.Wait()
		if n := b.Stats().InARow; n != 2 {
			t.Errorf("%d failures, want 2", n)
		}
		run(b, errDown)
		time.Sleep(5 * time.Second)
		func() {
			defer func() { _ = recover() }()
			_ = b.Do(t.Context(), func(context.Context) error { panic("as a probe") })
		}()
		wantState(t, b, breaker.Open)
	})
}

// TestChangesAreToldInOrder, without the lock: the callback asks the breaker.
func TestChangesAreToldInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *breaker.Breaker
		var told []breaker.Change
		b = newBreaker(t, breaker.Options{Name: "bank", Failures: 2, OnChange: func(c breaker.Change) {
			if got := b.Stats().State; got != c.To {
				t.Errorf("told of %v while it is %v", c.To, got)
			}
			told = append(told, c)
		}})
		run(b, nil, errDown, errDown)
		time.Sleep(5 * time.Second)
		run(b, nil)
		want := []breaker.Change{
			{Name: "bank", From: breaker.Closed, To: breaker.Open, Counts: breaker.Counts{Calls: 3, Failed: 2}, OpenFor: 5 * time.Second},
			{Name: "bank", From: breaker.Open, To: breaker.HalfOpen},
			{Name: "bank", From: breaker.HalfOpen, To: breaker.Closed, Counts: breaker.Counts{Calls: 1}},
		}
		if !slices.Equal(told, want) {
			t.Errorf("told %+v, want %+v", told, want)
		}
	})
}

// TestSlowCallback: nobody else waits for it, it is never called twice at once, and what came meanwhile becomes one change.
func TestSlowCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []breaker.Change
		running := 0
		b := newBreaker(t, breaker.Options{Failures: 1, OpenFor: time.Second, OnChange: func(c breaker.Change) {
			running++
			if running != 1 {
				t.Errorf("%d callbacks at once", running)
			}
			told = append(told, c)
			time.Sleep(time.Minute)
			running--
		}})
		go func() { run(b, errDown) }() // tells for a minute
		synctest.Wait()
		begin := time.Now()
		time.Sleep(time.Second)
		run(b, nil, errDown) // half-open, closed, open
		if d := time.Since(begin); d != time.Second {
			t.Errorf("the others waited: %v", d)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if len(told) != 2 || told[1].From != breaker.Open || told[1].To != breaker.Open || told[1].Skipped != 2 {
			t.Errorf("told %+v", told)
		}
	})
}

func TestPanicInCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		b := newBreaker(t, breaker.Options{Failures: 1, OnChange: func(breaker.Change) {
			if told++; told == 1 {
				panic("boom")
			}
		}})
		func() {
			defer func() { _ = recover() }()
			run(b, errDown)
		}()
		time.Sleep(5 * time.Second)
		run(b, nil)
		wantState(t, b, breaker.Closed)
		if told != 3 {
			t.Errorf("told %d times, want 3", told)
		}
	})
}

// TestJudgePanics: the place of a probe is not lost with it.
func TestJudgePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Options{Failures: 1, Judge: func(error) breaker.Outcome { panic("boom") }})
		func() {
			defer func() { _ = recover() }()
			run(b, errDown)
		}()
		wantState(t, b, breaker.Open)
	})
}

// TestRetriesWaitForTheBreaker: a policy of package retry takes the time from the OpenError.
func TestRetriesWaitForTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Options{Failures: 1, OpenFor: 30 * time.Second})
		begin := time.Now()
		var called []time.Duration
		err := retry.Do(t.Context(), retry.Constant(time.Second), func(ctx context.Context) error {
			return b.Do(ctx, func(context.Context) error {
				called = append(called, time.Since(begin))
				if len(called) == 1 {
					return errDown
				}
				return nil
			})
		})
		if want := []time.Duration{0, 30 * time.Second}; err != nil || !slices.Equal(called, want) {
			t.Errorf("%v: called at %v, want %v", err, called, want)
		}
	})
}

// TestHalfOpenUnderLoad: of many that come at once, as many as may be go through.
func TestHalfOpenUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Options{Failures: 1, Probes: 3})
		run(b, errDown)
		time.Sleep(5 * time.Second)
		var mu sync.Mutex
		running, most, refused := 0, 0, 0
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				err := b.Do(t.Context(), func(context.Context) error {
					mu.Lock()
					running++
					most = max(most, running)
					mu.Unlock()
					time.Sleep(time.Second)
					mu.Lock()
					running--
					mu.Unlock()
					return nil
				})
				if errors.Is(err, breaker.ErrOpen) {
					mu.Lock()
					refused++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if most != 3 || refused != 97 {
			t.Errorf("%d at once, %d refused, want 3 and 97", most, refused)
		}
		wantState(t, b, breaker.Closed)
	})
}
