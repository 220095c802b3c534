package queue

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// obedient works for so long, or until its context ends, which it returns the error of.
func obedient(d time.Duration) Handler {
	return func(ctx context.Context, _ *Delivery) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Both ends of a Consume are in two phases: handlers finish in peace, and are cancelled, uncounted, after DrainTime.
func TestTwoPhases(t *testing.T) {
	for _, c := range []struct {
		name    string
		work    time.Duration
		took    time.Duration
		outcome Outcome
	}{
		{"finishes in peace", 7 * time.Second, 7 * time.Second, SettleDone},
		{"is cancelled", time.Hour, 10 * time.Second, SettleRelease},
	} {
		for how, want := range map[string]error{"ctx": nil, "close": ErrClosed} {
			t.Run(c.name+" by "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newSliceEngine()
					failures := 0
					b := open(t, e, Options{Events: Events{Failed: func(FailedEvent) { failures++ }}})
					publish(t, b, "a", "b")
					ctx, cancel := context.WithCancel(t.Context())
					wait := inBackground(func() error { return b.Consume(ctx, group, obedient(c.work)) })
					synctest.Wait()
					start := time.Now()
					closing := func() error { return nil }
					if how == "ctx" {
						cancel()
					} else {
						closing = inBackground(b.Close)
					}
					if err := wait(); err != want {
						t.Errorf("Consume returned %v, want %v", err, want)
					}
					if got := time.Since(start); got != c.took {
						t.Errorf("it took %v, want %v", got, c.took)
					}
					if err := closing(); err != nil {
						t.Errorf("Close: %v", err)
					}
					// "b" was not begun: its intake had ended.
					if got := e.outcomes(); !slices.Equal(got, []Outcome{c.outcome}) || failures != 0 {
						t.Errorf("settled %v and told of %d failures, want %v and none", got, failures, c.outcome)
					}
					cancel()
				})
			})
		}
	}
}

// Until the engine is closed, handlers may publish, and a failure in peace counts as any other.
func TestHandlersFinishTheirWorkWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSliceEngine()
		b := open(t, e, Options{})
		publish(t, b, "a")
		wait := inBackground(func() error {
			return b.Consume(t.Context(), group, func(ctx context.Context, _ *Delivery) error {
				time.Sleep(5 * time.Second)
				if _, err := b.Publish(ctx, Message{Topic: "t"}); err != nil {
					t.Errorf("Publish while closing: %v", err)
				}
				return errors.New("failed")
			})
		})
		synctest.Wait()
		closing := inBackground(b.Close)
		synctest.Wait()
		if err := b.Consume(t.Context(), group, obedient(0)); !errors.Is(err, ErrClosed) {
			t.Errorf("a new Consume while closing: %v, want ErrClosed", err)
		}
		e.stop(errors.New("disk gone"))
		synctest.Wait()
		if err := b.Consume(t.Context(), group, obedient(0)); !errors.Is(err, ErrClosed) {
			t.Errorf("a new Consume while closing a store that stopped: %v, want ErrClosed", err)
		}
		if err := closing(); err != nil {
			t.Error(err)
		}
		if err := wait(); err != ErrClosed {
			t.Errorf("Consume returned %v, want ErrClosed", err)
		}
		if got := e.outcomes(); !slices.Equal(got, []Outcome{SettleRetry}) {
			t.Errorf("settled %v, want a failed attempt", got)
		}
	})
}

func TestStuckHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSliceEngine()
		b := open(t, e, Options{DrainTime: time.Minute})
		publish(t, b, "a", "b")
		g, open := group, make(chan struct{})
		g.Concurrency = 2
		wait := inBackground(func() error {
			return b.Consume(t.Context(), g, func(context.Context, *Delivery) error { <-open; return nil })
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		err := b.Shutdown(ctx)
		var stuck *StuckError
		if !errors.As(err, &stuck) || stuck.Handlers != 2 {
			t.Fatalf("Shutdown returned %v, want a *StuckError of 2 handlers", err)
		}
		if n := bytes.Count(stuck.Stacks, []byte("TestStuckHandler")); n < 2 {
			t.Errorf("the stacks name the handler %d times, want both:\n%s", n, stuck.Stacks)
		}
		if bytes.Contains(stuck.Stacks, []byte("(*Broker).Shutdown")) {
			t.Errorf("the stacks are not of handlers alone:\n%s", stuck.Stacks)
		}
		if got := time.Since(start); got != 6*time.Second {
			t.Errorf("Shutdown took %v, want 5s and a second of grace", got)
		}
		if !e.closed {
			t.Error("the engine is not closed")
		}
		if again := b.Close(); again != err {
			t.Errorf("Close again: %v, want the same", again)
		}
		close(open)
		if err := wait(); err != ErrClosed {
			t.Errorf("Consume returned %v when the handlers returned at last, want ErrClosed", err)
		}
		if got := b.Stats(); got.Late != 2 || got.Handlers != 0 || len(e.outcomes()) != 0 {
			t.Errorf("late outcomes counted %d, handlers %d, settled %v; want 2, 0, none", got.Late, got.Handlers, e.outcomes())
		}
	})
}

// A handler that heeds its context is not stuck, though both contexts end at once.
func TestGraceForHandlersThatHeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSliceEngine()
		b := open(t, e, Options{DrainTime: 2 * time.Second})
		publish(t, b, "a")
		wait := inBackground(func() error {
			return b.Consume(t.Context(), group, func(ctx context.Context, _ *Delivery) error {
				<-ctx.Done()
				time.Sleep(grace / 2)
				return ctx.Err()
			})
		})
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v, want nil", err)
		}
		if err := wait(); err != ErrClosed {
			t.Error(err)
		}
		if got := e.outcomes(); !slices.Equal(got, []Outcome{SettleRelease}) {
			t.Errorf("settled %v, want it given back uncounted", got)
		}
	})
}

// Of several Shutdowns the ctx that ends first counts, so that a second signal can force the end of the first.
func TestShutdownIsHurriedBySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newSliceEngine(), Options{DrainTime: time.Hour})
		publish(t, b, "a")
		consuming := inBackground(func() error { return b.Consume(t.Context(), group, obedient(time.Hour)) })
		synctest.Wait()
		start := time.Now()
		first := inBackground(func() error { return b.Shutdown(context.Background()) })
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Shutdown(ended); err != nil {
			t.Errorf("the second Shutdown: %v", err)
		}
		if err := first(); err != nil {
			t.Errorf("the first Shutdown: %v", err)
		}
		if got := time.Since(start); got != 0 {
			t.Errorf("it took %v, want no time", got)
		}
		if err := consuming(); err != ErrClosed {
			t.Error(err)
		}
	})
}

func TestCloseIsIdempotentAndConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSliceEngine()
		e.closeErr = errors.New("flush failed")
		b := open(t, e, Options{})
		var waits []func() error
		for range 8 {
			waits = append(waits, inBackground(b.Close))
		}
		for _, wait := range waits {
			if err := wait(); !errors.Is(err, e.closeErr) {
				t.Errorf("Close: %v, want what the engine returned, from every call", err)
			}
		}
		if err := b.Consume(t.Context(), group, obedient(0)); !errors.Is(err, ErrClosed) {
			t.Errorf("Consume after Close: %v, want ErrClosed", err)
		}
	})
}

// slowCloser takes until its ctx ends to close.
type slowCloser struct{ *sliceEngine }

func (e slowCloser) Close(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestEngineCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, slowCloser{newSliceEngine()}, Options{DrainTime: 3 * time.Second})
		start := time.Now()
		if err := b.Close(); !errors.Is(err, context.Canceled) {
			t.Errorf("Close: %v, want what the engine returned", err)
		}
		if got := time.Since(start); got != 3*time.Second+grace {
			t.Errorf("it took %v, want 3s and the grace", got)
		}
	})
}

func TestEngineStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var told []error
		e := newSliceEngine()
		cause := errors.New("disk gone")
		var b *Broker
		b = open(t, e, Options{
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Events: Events{Stopped: func(err error) { told = append(told, err, b.Close()) }}, // may close
		})
		publish(t, b, "a", "b")
		wait := inBackground(func() error { return b.Consume(t.Context(), group, obedient(3*time.Second)) })
		synctest.Wait()
		e.stop(cause)
		start := time.Now()
		err := wait()
		if !errors.Is(err, ErrStopped) || !errors.Is(err, cause) {
			t.Errorf("Consume returned %v, want ErrStopped with its cause", err)
		}
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("Consume took %v, want the 3s of its handler", got)
		}
		if got := e.outcomes(); !slices.Equal(got, []Outcome{SettleDone}) {
			t.Errorf("settled %v, want the one that was running, and no other begun", got)
		}
		synctest.Wait()
		if len(told) != 2 || told[0] == nil || !errors.Is(told[0], cause) || told[1] != nil {
			t.Errorf("Stopped was told %v, want the cause once, and Close without an error", told)
		}
		if out := log.String(); strings.Count(out, "level=ERROR") != 1 || !strings.Contains(out, "disk gone") {
			t.Errorf("logged %q, want one error with the cause", out)
		}
	})
}

func TestConsumeAfterTheEngineStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSliceEngine()
		b := open(t, e, Options{})
		e.stop(nil)
		synctest.Wait()
		if err := b.Consume(t.Context(), group, obedient(0)); !errors.Is(err, ErrStopped) || len(e.joined) != 0 {
			t.Errorf("Consume returned %v, %d joined, want ErrStopped before anything", err, len(e.joined))
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := b.Consume(t.Context(), group, obedient(0)); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v, want ErrClosed", err)
		}
	})
}

// A member may hear of the stop before the broker's own watcher does.
func TestErrorsOfAStoppedEngineAreErrStopped(t *testing.T) {
	e := newSliceEngine()
	b := open(t, e, Options{})
	cause := errors.New("disk gone")
	if err := b.explain(cause); err != cause {
		t.Errorf("before the stop: %v, want it unchanged", err)
	}
	e.stop(cause)
	for _, err := range []error{b.explain(cause), b.explain(b.explain(cause))} {
		if !errors.Is(err, ErrStopped) || !errors.Is(err, cause) || strings.Count(err.Error(), "stopped") != 1 {
			t.Errorf("after the stop: %v, want ErrStopped and the cause, once", err)
		}
	}
}

// A message that the engine hands out while the intake ends is given back without being begun.
func TestNothingBeginsWhenTheIntakeEnded(t *testing.T) {
	e := newSliceEngine()
	b := open(t, e, Options{})
	publish(t, b, "a")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	w := newWorker(&consumer{b: b, group: group, size: 1, member: (*sliceMember)(e)})
	if w.receive(ended) {
		t.Error("the worker goes on")
	}
	if got := e.outcomes(); !slices.Equal(got, []Outcome{SettleRelease}) {
		t.Errorf("settled %v, want it given back", got)
	}
}
