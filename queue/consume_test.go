package queue

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestConsume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSliceEngine()
		b := open(t, e, Options{})
		publish(t, b, "a", "b", "c")
		var got []string
		ctx, cancel := context.WithCancel(t.Context())
		wait := inBackground(func() error {
			return b.Consume(ctx, group, func(_ context.Context, d *Delivery) error {
				if d.Group != "g" || d.Attempt != 1 || d.Topic != "t" || d.Position.IsZero() {
					t.Errorf("a delivery is %+v", *d)
				}
				got = append(got, string(d.Value))
				return nil
			})
		})
		synctest.Wait()
		if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
			t.Errorf("handled %v, want %v", got, want)
		}
		if want := []Outcome{SettleDone, SettleDone, SettleDone}; !slices.Equal(e.outcomes(), want) {
			t.Errorf("settled %v, want %v", e.outcomes(), want)
		}
		cancel()
		if err := wait(); err != nil {
			t.Errorf("Consume returned %v when its ctx ended, want nil", err)
		}
		if e.left != 1 {
			t.Errorf("the member left %d times, want once", e.left)
		}
	})
}

func TestConsumeRunsConcurrencyHandlersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newSliceEngine(), Options{})
		publish(t, b, "1", "2", "3", "4", "5")
		g, open := group, make(chan struct{})
		g.Concurrency = 3
		ctx, cancel := context.WithCancel(t.Context())
		wait := inBackground(func() error {
			return b.Consume(ctx, g, func(context.Context, *Delivery) error { <-open; return nil })
		})
		synctest.Wait()
		if got := b.Stats().Handlers; got != 3 {
			t.Errorf("%d handlers run, want 3", got)
		}
		close(open)
		synctest.Wait()
		if got := b.Stats().Handlers; got != 0 {
			t.Errorf("%d handlers run after all returned", got)
		}
		cancel()
		if err := wait(); err != nil {
			t.Error(err)
		}
	})
}

// Whatever way a handler fails, the member lives, the message comes again, and the failure is told.
func TestFailedAttempts(t *testing.T) {
	failure := errors.New("db down")
	for _, c := range []struct {
		name   string
		fail   func() error
		is     func(error) bool
		panics int64
		logged string
	}{
		{"error", func() error { return failure }, func(err error) bool { return err == failure }, 0, ""},
		{"panic", func() error { panic("boom") }, func(err error) bool {
			var p *PanicError
			return errors.As(err, &p) && p.Value == "boom" && bytes.Contains(p.Stack, []byte("TestFailedAttempts"))
		}, 1, "boom"},
		{"panic with an error", func() error { panic(failure) }, func(err error) bool { return errors.Is(err, failure) && err != failure }, 1, "db down"},
		{"goexit", func() error { runtime.Goexit(); return nil }, func(err error) bool { return err == errGoexit }, 1, "Goexit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				var failed []FailedEvent
				e := newSliceEngine()
				b := open(t, e, Options{
					Logger: slog.New(slog.NewTextHandler(&log, nil)),
					Events: Events{Failed: func(f FailedEvent) { failed = append(failed, f) }},
				})
				publish(t, b, "bad", "good")
				start := time.Now()
				var took time.Duration
				ctx, cancel := context.WithCancel(t.Context())
				wait := inBackground(func() error {
					return b.Consume(ctx, group, func(_ context.Context, d *Delivery) error {
						if string(d.Value) == "bad" && d.Attempt <= 2 {
							return c.fail()
						}
						if string(d.Value) == "bad" {
							took = time.Since(start)
						}
						return nil
					})
				})
				time.Sleep(time.Second)
				synctest.Wait()
				if want := []Outcome{SettleRetry, SettleDone, SettleRetry, SettleDone}; !slices.Equal(e.outcomes(), want) {
					t.Errorf("settled %v, want %v", e.outcomes(), want)
				}
				if took != 300*time.Millisecond {
					t.Errorf("the third attempt came after %v, want 100ms and 200ms", took)
				}
				if len(failed) != 2 {
					t.Fatalf("%d failures told, want 2", len(failed))
				}
				for i, f := range failed {
					err := f.Err
					f.Err = nil
					want := FailedEvent{Group: "g", Position: NewPosition("t", 0, 1, 0), Attempt: i + 1, After: 100 * time.Millisecond << i}
					if f != want || !c.is(err) {
						t.Errorf("told of %+v, %v, want %+v", f, err, want)
					}
				}
				if got := b.Stats().Panics; got != 2*c.panics {
					t.Errorf("Stats count %d panics, want %d", got, 2*c.panics)
				}
				if out := log.String(); strings.Count(out, "level=WARN") != int(2*c.panics) || !strings.Contains(out, c.logged) {
					t.Errorf("logged %q, want %d warnings with %q", out, 2*c.panics, c.logged)
				}
				cancel()
				if err := wait(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A test's t.Fatal in Events.Failed is a Goexit: told once, and the message is given back all the same.
func TestGoexitInEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		e := newSliceEngine()
		b := open(t, e, Options{Events: Events{Failed: func(FailedEvent) { told++; runtime.Goexit() }}})
		publish(t, b, "a")
		ctx, cancel := context.WithCancel(t.Context())
		wait := inBackground(func() error {
			return b.Consume(ctx, group, func(_ context.Context, d *Delivery) error {
				if d.Attempt == 1 {
					return errors.New("first")
				}
				return nil
			})
		})
		time.Sleep(time.Second)
		synctest.Wait()
		if want := []Outcome{SettleRetry, SettleDone}; told != 1 || !slices.Equal(e.outcomes(), want) {
			t.Errorf("told %d times, settled %v, want once and %v", told, e.outcomes(), want)
		}
		cancel()
		if err := wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestConsumeRefuses(t *testing.T) {
	e := newSliceEngine()
	e.caps.Features = map[Feature]Grade{CanOrderByPartition: {}, CanCommit: {}}
	b := open(t, e, Options{})
	handler := func(context.Context, *Delivery) error { return nil }
	with := func(change func(*Group)) Group { g := group; change(&g); return g }
	var config *ConfigError
	for _, err := range []error{
		b.Consume(t.Context(), Group{}, handler),
		b.Consume(t.Context(), group, nil),
		b.ConsumeBatch(t.Context(), group, nil),
	} {
		if !errors.As(err, &config) {
			t.Errorf("%v, want a *ConfigError", err)
		}
	}
	resume := func(context.Context, string, int) (Position, error) { return Position{}, nil }
	for _, g := range []Group{
		with(func(g *Group) { g.Order = ByKey }),
		with(func(g *Group) { g.Order = Unordered }),
		with(func(g *Group) { g.Order, g.Resume = ByPartition, resume }),
	} {
		if err := b.Consume(t.Context(), g, handler); !errors.Is(err, ErrUnsupported) {
			t.Errorf("order %v: %v, want ErrUnsupported", g.Order, err)
		}
	}
	e.refuseJoin = ErrNotFound
	if err := b.Consume(t.Context(), with(func(g *Group) { g.Order = ByPartition }), handler); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v, want what Join returned", err)
	}
	if len(e.joined) != 1 {
		t.Errorf("%d joined, want the last only", len(e.joined))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Consume(ended, with(func(g *Group) { g.Order = ByPartition }), handler); err != nil || len(e.joined) != 1 {
		t.Errorf("with an ended ctx: %v, %d joined, want nil and nobody", err, len(e.joined))
	}
}

func TestConsumeEndsWithTheMembersError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSliceEngine()
		b := open(t, e, Options{})
		g := group
		g.Concurrency = 4
		wait := inBackground(func() error {
			return b.Consume(t.Context(), g, func(context.Context, *Delivery) error { return nil })
		})
		synctest.Wait()
		broken := errors.New("resume failed")
		e.breakWith(broken)
		if err := wait(); !errors.Is(err, broken) || errors.Is(err, ErrStopped) {
			t.Errorf("Consume returned %v, want %v alone", err, broken)
		}
		if e.left != 1 {
			t.Errorf("the member left %d times, want once", e.left)
		}
	})
}

func TestAssignments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []PartitionEvent
		e := newSliceEngine()
		b := open(t, e, Options{Events: Events{
			Assigned: func(p PartitionEvent) { got = append(got, p) },
			Revoked:  func(p PartitionEvent) { p.Partition = -p.Partition; got = append(got, p) },
		}})
		ctx, cancel := context.WithCancel(t.Context())
		wait := inBackground(func() error {
			return b.Consume(ctx, group, func(context.Context, *Delivery) error { return nil })
		})
		synctest.Wait()
		e.joined[0].Assigned("t", 3)
		e.joined[0].Revoked("t", 4)
		if want := []PartitionEvent{{"g", "t", 3}, {"g", "t", -4}}; !reflect.DeepEqual(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
		cancel()
		if err := wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestResumeIsContained(t *testing.T) {
	at := PositionAt("t", 1, 2)
	failure := errors.New("torn")
	for _, c := range []struct {
		name   string
		resume resumeFunc
		p      Position
		is     func(error) bool
	}{
		{"returns", func(context.Context, string, int) (Position, error) { return at, nil }, at, func(err error) bool { return err == nil }},
		{"fails", func(context.Context, string, int) (Position, error) { return Position{}, failure }, Position{},
			func(err error) bool { return err == failure }},
		{"panics", func(context.Context, string, int) (Position, error) { panic(failure) }, Position{},
			func(err error) bool { var p *PanicError; return errors.As(err, &p) && errors.Is(err, failure) }},
		{"goexits", func(context.Context, string, int) (Position, error) { runtime.Goexit(); return at, nil }, Position{},
			func(err error) bool { return err == errGoexit }},
	} {
		if p, err := contained(c.resume)(t.Context(), "t", 1); p != c.p || !c.is(err) {
			t.Errorf("%s: %q, %v", c.name, p, err)
		}
	}
}

func TestLateOutcomesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSliceEngine()
		e.lateSettles = true
		b := open(t, e, Options{})
		publish(t, b, "a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		wait := inBackground(func() error {
			return b.Consume(ctx, group, func(context.Context, *Delivery) error { return nil })
		})
		synctest.Wait()
		if got := b.Stats().Late; got != 2 {
			t.Errorf("Stats count %d late outcomes, want 2", got)
		}
		cancel()
		if err := wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestIdleWorkerKeepsNoMessage(t *testing.T) {
	e := newSliceEngine()
	b := open(t, e, Options{})
	publish(t, b, "a", "b")
	w := newWorker(&consumer{b: b, group: group, size: 2, member: (*sliceMember)(e),
		batch: func(_ context.Context, ds []*Delivery) []error { return FailAll(ds, errors.New("no")) }})
	if !w.receive(t.Context()) {
		t.Fatal("received nothing")
	}
	w.call(t.Context())
	w.settle(t.Context())
	fresh := newWorker(w.c)
	fresh.stint.number = w.stint.number
	fresh.stint.state.Store(w.stint.state.Load())
	if !reflect.DeepEqual(w, fresh) {
		t.Errorf("the worker still has %+v", w)
	}
}
