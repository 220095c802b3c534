package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// observed is what a broker told while a test ran.
type observed struct {
	mu     sync.Mutex
	slow   []SlowEvent
	failed []FailedEvent
}

func (o *observed) events() Events {
	return Events{
		Slow:   func(e SlowEvent) { o.mu.Lock(); defer o.mu.Unlock(); o.slow = append(o.slow, e) },
		Failed: func(e FailedEvent) { o.mu.Lock(); defer o.mu.Unlock(); o.failed = append(o.failed, e) },
	}
}

// timed is group with a HandlerTimeout of a minute.
func timed() Group {
	g := group
	g.HandlerTimeout = time.Minute
	return g
}

// A handler that returns within the grace decides by itself what became of its attempt.
func TestHandlerTimeoutEndsTheContext(t *testing.T) {
	own := errors.New("gave up")
	for _, c := range []struct {
		name    string
		after   time.Duration // that its context ended
		err     error
		outcome Outcome
	}{
		{"done all the same", 0, nil, SettleDone},
		{"done in the last moment", grace - 1, nil, SettleDone},
		{"fails", grace / 2, own, SettleRetry},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o observed
				e := newSliceEngine()
				b := open(t, e, Options{Events: o.events()})
				publish(t, b, "a")
				ctx, cancel := context.WithCancel(t.Context())
				wait := inBackground(func() error {
					return b.Consume(ctx, timed(), func(ctx context.Context, d *Delivery) error {
						if d.Attempt > 1 {
							return nil
						}
						began := time.Now()
						<-ctx.Done()
						if took := time.Since(began); took != time.Minute || context.Cause(ctx) != ErrHandlerTimeout {
							t.Errorf("its context ended after %v with %v", took, context.Cause(ctx))
						}
						time.Sleep(c.after)
						return c.err
					})
				})
				time.Sleep(time.Hour)
				synctest.Wait()
				if got := e.outcomes(); got[0] != c.outcome || len(got) > 2 {
					t.Errorf("settled %v, want %v first", got, c.outcome)
				}
				if len(o.slow) > 1 { // it has run for a minute
					t.Errorf("told of slow handlers %+v", o.slow)
				}
				if c.err != nil && (len(o.failed) != 1 || !errors.Is(o.failed[0].Err, own) || !errors.Is(o.failed[0].Err, ErrHandlerTimeout)) {
					t.Errorf("told of %+v, want ErrHandlerTimeout and the handler's own", o.failed)
				}
				cancel()
				if err := wait(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A call that is not too slow never sees the end of the context of one before it.
func TestHandlerTimeoutIsOfEachCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSliceEngine()
		b := open(t, e, Options{})
		publish(t, b, "a", "b", "c", "d", "e")
		ctx, cancel := context.WithCancel(t.Context())
		wait := inBackground(func() error {
			return b.Consume(ctx, timed(), func(ctx context.Context, d *Delivery) error {
				switch string(d.Value) {
				case "b":
					<-ctx.Done()
					return nil
				}
				time.Sleep(50 * time.Second)
				return ctx.Err()
			})
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := e.outcomes(); !slices.Equal(got, slices.Repeat([]Outcome{SettleDone}, 5)) {
			t.Errorf("settled %v, want all done", got)
		}
		cancel()
		if err := wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestHandlerThatDoesNotReturnIsGivenUp(t *testing.T) {
	for _, end := range []struct {
		name   string
		how    func()
		panics int64
	}{{"returns", func() {}, 0}, {"panics", func() { panic("late") }, 1}, {"exits", runtime.Goexit, 1}} {
		t.Run(end.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o observed
				e := newSliceEngine()
				b := open(t, e, Options{Events: o.events()})
				publish(t, b, "stuck", "next")
				open, handled := make(chan struct{}), []string{}
				ctx, cancel := context.WithCancel(t.Context())
				wait := inBackground(func() error {
					return b.Consume(ctx, timed(), func(_ context.Context, d *Delivery) error {
						if string(d.Value) == "stuck" && d.Attempt == 1 {
							<-open
							end.how()
							return errors.New("too late to be told")
						}
						handled = append(handled, fmt.Sprint(string(d.Value), d.Attempt))
						return nil
					})
				})
				time.Sleep(time.Minute + grace - 1)
				synctest.Wait()
				if got := e.outcomes(); got != nil {
					t.Errorf("settled %v before the grace was over", got)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if want := []string{"next1", "stuck2"}; !slices.Equal(handled, want) {
					t.Errorf("handled %v, want %v", handled, want)
				}
				if want := []Outcome{SettleRetry, SettleDone, SettleDone}; !slices.Equal(e.outcomes(), want) {
					t.Errorf("settled %v, want %v", e.outcomes(), want)
				}
				if len(o.failed) != 1 || !errors.Is(o.failed[0].Err, ErrHandlerTimeout) || o.failed[0].Position.String() != NewPosition("t", 0, 1, 0).String() {
					t.Errorf("told of failures %+v", o.failed)
				}
				last := o.slow[len(o.slow)-1]
				if !last.Abandoned || last.Running != time.Minute+grace || last.Attempt != 1 || last.Messages != 1 || last.Group != "g" ||
					last.Position != NewPosition("t", 0, 1, 0) || !bytes.Contains(last.Stack, []byte("TestHandlerThatDoesNotReturnIsGivenUp")) {
					t.Errorf("told of slow handlers %+v", last)
				}
				if got := b.Stats(); got.Handlers != 1 || got.Late != 0 {
					t.Errorf("%d handlers, %d late; want the one that is stuck, and none", got.Handlers, got.Late)
				}
				close(open)
				synctest.Wait()
				if got := b.Stats(); got.Handlers != 0 || got.Late != 1 || got.Panics != end.panics || len(e.outcomes()) != 3 || len(o.failed) != 1 {
					t.Errorf("when it returned: %+v, settled %v, told %v", got, e.outcomes(), o.failed)
				}
				cancel()
				if err := wait(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestBatchHandlerThatDoesNotReturnIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o observed
		e := newSliceEngine()
		b := open(t, e, Options{Events: o.events()})
		publish(t, b, "a", "b", "c")
		open := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		g := timed()
		g.Batch.Messages = 3
		wait := inBackground(func() error {
			return b.ConsumeBatch(ctx, g, func(_ context.Context, ds []*Delivery) []error {
				if ds[0].Attempt == 1 {
					<-open
				}
				return nil
			})
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		if want := []Outcome{SettleRetry, SettleRetry, SettleRetry, SettleDone, SettleDone, SettleDone}; !slices.Equal(e.outcomes(), want) {
			t.Errorf("settled %v, want %v", e.outcomes(), want)
		}
		if last := o.slow[len(o.slow)-1]; !last.Abandoned || last.Messages != 3 {
			t.Errorf("told of %+v", last)
		}
		close(open)
		synctest.Wait()
		if got := b.Stats().Late; got != 3 {
			t.Errorf("%d outcomes were late, want 3", got)
		}
		cancel()
		if err := wait(); err != nil {
			t.Error(err)
		}
	})
}

// At the bound a worker waits, until one of those that are stuck returns.
func TestStuckHandlersAreBounded(t *testing.T) {
	for _, workers := range []int{1, 5} {
		synctest.Test(t, func(t *testing.T) {
			const surplus = 3
			b := open(t, newSliceEngine(), Options{})
			for i := range MaxStuckHandlers + workers + surplus {
				publish(t, b, fmt.Sprint(i))
			}
			began, open := 0, make(chan struct{})
			var mu sync.Mutex
			count := func() int { mu.Lock(); defer mu.Unlock(); return began }
			ctx, cancel := context.WithCancel(t.Context())
			g := timed()
			g.Concurrency = workers
			wait := inBackground(func() error {
				return b.Consume(ctx, g, func(context.Context, *Delivery) error {
					mu.Lock()
					began++
					mu.Unlock()
					<-open
					return nil
				})
			})
			time.Sleep(3 * time.Hour)
			synctest.Wait()
			most := MaxStuckHandlers + workers
			if got := count(); got != most || b.Stats().Handlers != most {
				t.Errorf("%d calls began, %d run, want %d", got, b.Stats().Handlers, most)
			}
			if !b.allStuck("g") || b.allStuck("other") {
				t.Error("it is not said that every worker is stuck, or it is of another group")
			}
			for n := range surplus {
				open <- struct{}{}
				time.Sleep(time.Hour)
				synctest.Wait()
				if got := count(); got != most+n+1 || b.Stats().Handlers != most {
					t.Errorf("after %d returned %d began and %d run, want %d and %d", n+1, got, b.Stats().Handlers, most+n+1, most)
				}
			}
			cancel()
			var stuck *StuckError
			if err := wait(); !errors.As(err, &stuck) || stuck.Handlers != most {
				t.Errorf("Consume returned %v, want a *StuckError of %d", err, most)
			}
			close(open)
		})
	}
}

// A handler that was given up keeps neither Consume nor Close waiting for ever, and both say that it is there.
func TestStoppingWithHandlersThatAreStuck(t *testing.T) {
	for _, c := range []struct {
		name    string
		returns time.Duration // after Close began
		took    time.Duration
		stuck   bool
	}{
		{"never returns", time.Hour, 10*time.Second + grace, true},
		{"returns while closing", 3 * time.Second, 3 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := open(t, newSliceEngine(), Options{})
				publish(t, b, "a")
				open := make(chan struct{})
				ctx, cancel := context.WithCancel(t.Context())
				wait := inBackground(func() error {
					return b.Consume(ctx, timed(), func(_ context.Context, d *Delivery) error {
						if d.Attempt == 1 {
							<-open
						}
						return nil
					})
				})
				time.Sleep(time.Hour)
				synctest.Wait()
				cancel()
				began := time.Now()
				var stuck *StuckError
				if err := wait(); !errors.As(err, &stuck) || stuck.Handlers != 1 || !bytes.Contains(stuck.Stacks, []byte("TestStopping")) {
					t.Errorf("Consume returned %v, want a *StuckError with a stack", err)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("Consume took %v to return", took)
				}
				time.AfterFunc(c.returns, func() { close(open) })
				err := b.Close()
				if took := time.Since(began); took != c.took {
					t.Errorf("Close took %v, want %v", took, c.took)
				}
				stuck = nil
				if errors.As(err, &stuck) != c.stuck || c.stuck && (stuck.Handlers != 1 || !bytes.Contains(stuck.Stacks, []byte("TestStopping"))) {
					t.Errorf("Close returned %v", err)
				}
				<-open
				synctest.Wait()
				if got := b.Stats(); got.Handlers != 0 || got.Late != 1 {
					t.Errorf("at last %d handlers run, %d were late", got.Handlers, got.Late)
				}
			})
		})
	}
}

// A stop while a handler does not return: with a HandlerTimeout Consume returns, and the attempt is not counted.
func TestStopGivesUpHandlersInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o observed
		e := newSliceEngine()
		b := open(t, e, Options{Events: o.events()})
		publish(t, b, "a")
		open := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		wait := inBackground(func() error {
			return b.Consume(ctx, timed(), func(context.Context, *Delivery) error { <-open; return nil })
		})
		synctest.Wait()
		cancel()
		began := time.Now()
		var stuck *StuckError
		if err := wait(); !errors.As(err, &stuck) {
			t.Errorf("Consume returned %v, want a *StuckError", err)
		}
		if took := time.Since(began); took != time.Minute+grace {
			t.Errorf("Consume took %v, want the time of the handler and the grace", took)
		}
		if got := e.outcomes(); !slices.Equal(got, []Outcome{SettleRelease}) || len(o.failed) > 0 {
			t.Errorf("settled %v, told %v; want it given back uncounted", got, o.failed)
		}
		close(open)
	})
}

// Without a HandlerTimeout a handler that runs for long is told of, again and again but less and less often.
func TestSlowHandlersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o observed
		e := newSliceEngine()
		b := open(t, e, Options{Events: o.events()})
		publish(t, b, "quick", "slow", "quick")
		began := make(chan time.Time, 3)
		ctx, cancel := context.WithCancel(t.Context())
		wait := inBackground(func() error {
			return b.Consume(ctx, group, func(_ context.Context, d *Delivery) error {
				began <- time.Now()
				if string(d.Value) == "quick" {
					time.Sleep(time.Minute - 1)
					return nil
				}
				time.Sleep(10 * time.Minute)
				return nil
			})
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(o.slow) != 4 {
			t.Fatalf("told of %d slow handlers, want that of the second message after 1, 2, 4 and 8 minutes: %+v", len(o.slow), o.slow)
		}
		for i, s := range o.slow {
			least := time.Minute << i
			if s.Running < least || s.Running >= least+lookEvery || s.Abandoned || s.Position != NewPosition("t", 0, 1, 1) ||
				s.Attempt != 1 || !bytes.Contains(s.Stack, []byte("TestSlowHandlersAreTold")) {
				t.Errorf("told of %v: %+v", least, s)
			}
		}
		if got := e.outcomes(); !slices.Equal(got, slices.Repeat([]Outcome{SettleDone}, 3)) {
			t.Errorf("settled %v, want all done", got)
		}
		cancel()
		if err := wait(); err != nil {
			t.Error(err)
		}
	})
}

// Handlers that return just when they are looked at: each message has one outcome that counts, and every late one is counted.
func TestWatchRacesWithHandlers(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for range 30 {
		synctest.Test(t, func(t *testing.T) { watchRace(t, rng.Uint64()) })
	}
}

func watchRace(t *testing.T, seed uint64) {
	const messages, workers, limit = 60, 4, 10 * time.Millisecond
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 1))
	pick := func(ds ...time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return ds[rng.IntN(len(ds))]
	}
	var o observed
	e := newSliceEngine()
	b := open(t, e, Options{Events: o.events()})
	for i := range messages {
		publish(t, b, fmt.Sprint(i))
	}
	g := group
	g.Concurrency, g.HandlerTimeout = workers, limit
	calls := 0
	ctx, cancel := context.WithCancel(t.Context())
	wait := inBackground(func() error {
		return b.Consume(ctx, g, func(ctx context.Context, d *Delivery) error {
			mu.Lock()
			calls++
			mu.Unlock()
			time.Sleep(pick(0, 1, limit-1, limit, limit+1, limit+grace-1, limit+grace, limit+grace+1))
			if pick(0, 1) == 0 {
				return ctx.Err()
			}
			return nil
		})
	})
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	settled, done := 0, map[*sliceItem]int{}
	for _, s := range e.settled {
		settled++
		if s.Outcome == SettleDone {
			done[s.Handle.(*sliceItem)]++
		}
	}
	if got := b.Stats(); settled+int(got.Late) != calls+len(o.abandoned()) || got.Late != int64(len(o.abandoned())) || len(done) != messages || got.Handlers != 0 {
		t.Errorf("%d calls, %d settled, %d late, %d given up, %d of %d done, %d run", calls, settled, got.Late, len(o.abandoned()), len(done), messages, got.Handlers)
	}
	for it, n := range done {
		if n != 1 {
			t.Errorf("%s was done %d times", it.record.Position, n)
		}
	}
	cancel()
	if err := wait(); err != nil {
		t.Error(err)
	}
}

func (o *observed) abandoned() (es []SlowEvent) {
	for _, e := range o.slow {
		if e.Abandoned {
			es = append(es, e)
		}
	}
	return es
}
