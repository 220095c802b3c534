package backpressure

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func newController(t *testing.T, o Options) *Controller {
	c, err := NewController(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatIsRefusedSpendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Options{Bound: Weight{Count: 1}, Rate: 1, Burst: 2})
		one := Weight{Count: 1}
		if err := c.TryAdmit(one); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if err := c.TryAdmit(one); err != ErrFull {
				t.Fatalf("beside one that is held: %v", err)
			}
		}
		c.Release(one)
		if err := c.TryAdmit(one); err != nil {
			t.Fatalf("those that were refused spent tokens: %v", err)
		}
		c.Release(one)
		if err := c.TryAdmit(one); !errors.Is(err, ErrRateLimited) || !errors.Is(err, ErrFull) {
			t.Fatalf("without tokens: %v", err)
		}
		if s := c.Stats(); s.Held != (Weight{}) || s.Admitted != 2 || s.Rejected[QueueFull] != 10 || s.Rejected[RateLimited] != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAdmitWaitsForBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newController(t, Options{Bound: Weight{Count: 1}, Rate: 10, Burst: 1})
		began := time.Now()
		for range 5 {
			if err := c.Admit(t.Context(), Weight{Count: 1}); err != nil {
				t.Fatal(err)
			}
			c.Release(Weight{Count: 1})
		}
		if took := time.Since(began); took < 390*time.Millisecond || took > 410*time.Millisecond {
			t.Errorf("five at ten a second took %v", took)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := c.Admit(short, Weight{Count: 1}); !errors.Is(err, ErrRateLimited) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no time to wait for a token: %v", err)
		}
		time.Sleep(time.Second)
		c.Take(Weight{Count: 1})
		short, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Admit(short, Weight{Count: 1}); !errors.Is(err, ErrFull) || errors.Is(err, ErrRateLimited) {
			t.Errorf("no time to wait for room: %v", err)
		}
		if s := c.Stats(); s.Rejected[QueueFull] != 1 || s.Rejected[RateLimited] != 1 || s.Held.Count != 1 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		for _, w := range []Weight{{Count: 2}, {Count: -1}, {Bytes: -1}} {
			if err := c.Admit(t.Context(), w); !errors.Is(err, ErrWeight) {
				t.Errorf("%+v: %v", w, err)
			}
		}
	})
}

// Many ask controllers that share a pool, with rates: what is held never passes any bound, and nothing is held in the end.
func TestControllersUnderConcurrency(t *testing.T) {
	p := newPool(t, Weight{Count: 6})
	total := &meter{most: Weight{Count: 6, Bytes: 1 << 40}}
	var all sync.WaitGroup
	var cs []*Controller
	for range 3 {
		c := newController(t, Options{Bound: Weight{Count: 4}, Share: p.Share(), Rate: 1e6, Burst: 1000})
		own := &meter{most: Weight{Count: 4, Bytes: 1 << 40}}
		cs = append(cs, c)
		for range 4 {
			all.Go(func() {
				for range 500 {
					w := Weight{Count: 1 + rand.Int64N(3)}
					if c.TryAdmit(w) != nil && c.Admit(t.Context(), w) != nil {
						t.Error("not admitted")
						return
					}
					own.in(w)
					total.in(w)
					own.out(w)
					total.out(w)
					c.Release(w)
				}
			})
		}
		defer func() {
			if own.passed.Load() {
				t.Error("a controller passed its bound")
			}
		}()
	}
	all.Wait()
	if held, waiting := p.Held(); total.passed.Load() || held != (Weight{}) || waiting != 0 {
		t.Errorf("passed the pool: %v, held at the end %+v", total.passed.Load(), held)
	}
	for _, c := range cs {
		if s := c.Stats(); s.Held != (Weight{}) || s.Admitted < 2000 {
			t.Errorf("%+v", s)
		}
	}
}

func TestControllerOptions(t *testing.T) {
	for _, o := range []Options{
		{}, {Rate: -1}, {Bound: Weight{Count: -1}}, {Burst: 5, Bound: Weight{Count: 1}}, {Rate: 1, Watch: func(bool, Weight) {}},
		{Bound: Weight{Count: 1}, Marks: Marks{High: 0.5}}, {Bound: Weight{Count: 1}, Marks: Marks{High: 0.5, Low: 0.7}, Watch: func(bool, Weight) {}},
	} {
		if _, err := NewController(o); !errors.Is(err, ErrOption) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestWatermarkHasHysteresis(t *testing.T) {
	type told struct {
		high bool
		held int64
	}
	var got []told
	c := newController(t, Options{Bound: Weight{Count: 10, Bytes: 1000}, Marks: Marks{High: 0.8, Low: 0.3}, Watch: func(high bool, held Weight) {
		got = append(got, told{high, held.Count})
	}})
	one := Weight{Count: 1}
	for range 8 {
		c.Take(one)
	}
	for range 5 { // up and down at one level
		c.Release(one)
		c.Take(one)
	}
	for range 8 {
		c.Release(one)
	}
	c.Take(Weight{Bytes: 800})
	want := []told{{true, 8}, {false, 3}, {true, 0}}
	if len(got) != len(want) {
		t.Fatalf("told %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("told %v, want %v", got, want)
		}
	}
}

// Callbacks of many come in turn, high and low, and the last says how it is.
func TestWatermarkIsToldInTurn(t *testing.T) {
	g, _ := NewGate(Weight{Count: 4})
	last, calls := false, 0
	err := g.Watch(Marks{High: 0.75, Low: 0.25}, func(high bool, _ Weight) {
		if high == last {
			t.Error("told twice the same")
		}
		last = high
		calls++
	})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				g.Acquire(t.Context(), Weight{Count: 1})
				g.Release(Weight{Count: 1})
			}
		})
	}
	all.Wait()
	for range 4 {
		g.Take(Weight{Count: 1})
	}
	for range 4 {
		g.Release(Weight{Count: 1})
	}
	if last || calls < 2 {
		t.Errorf("after %d calls it is high: %v", calls, last)
	}
}

// A bound that grows lets in who waits, in turn; one that shrinks has what is held stay; a rate that changes keeps the tokens that are there.
func TestControllerIsChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := NewController(Options{Bound: Weight{Count: 1}, Rate: 10, Burst: 10})
		if err != nil {
			t.Fatal(err)
		}
		let := make(chan int, 3)
		c.Take(Weight{Count: 1})
		for i := range 3 {
			go func() {
				if err := c.Admit(context.Background(), Weight{Count: 1}); err != nil {
					t.Error(err)
				}
				let <- i
			}()
			synctest.Wait()
		}
		if err := c.SetBound(Weight{Count: 3}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := len(let); n != 2 {
			t.Errorf("%d were let in, want 2", n)
		}
		if first, second := <-let, <-let; first+second != 1 {
			t.Errorf("%d and %d were let in, want the first two", first, second)
		}
		if err := errors.Join(c.SetBound(Weight{Count: 1}), c.SetRate(100, 20)); err != nil {
			t.Error(err)
		}
		if held, waiting := c.Held(); held.Count != 3 || waiting != 1 {
			t.Errorf("%d are held, %d wait", held.Count, waiting)
		}
		c.Release(Weight{Count: 3})
		<-let
		c.Release(Weight{Count: 1})
		spend := func(want int) {
			t.Helper()
			n := 0
			for ; c.TryAdmit(Weight{Count: 1}) == nil; n++ {
				c.Release(Weight{Count: 1})
			}
			if n != want {
				t.Errorf("%d tokens, want %d", n, want)
			}
		}
		spend(7) // of 10, since three have passed
		time.Sleep(100 * time.Millisecond)
		if err := c.SetRate(100, 5); err != nil {
			t.Error(err)
		}
		spend(5)
		if err := c.SetRate(0, 0); err != nil {
			t.Error(err)
		}
		if err := c.SetBound(Weight{Count: 1000}); err != nil {
			t.Error(err)
		}
		for range 1000 {
			if err := c.TryAdmit(Weight{Count: 1}); err != nil {
				t.Fatal(err)
			}
		}
		c.Release(Weight{Count: 1000})
		if err := c.SetRate(1, 3); err != nil {
			t.Error(err)
		}
		spend(3)
		for _, err := range []error{c.SetRate(-1, 0), c.SetRate(0, 1), c.SetBound(Weight{}), c.SetBound(Weight{Count: -1})} {
			if !errors.Is(err, ErrOption) {
				t.Errorf("got %v, want ErrOption", err)
			}
		}
		rated, err := NewController(Options{Rate: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := rated.SetBound(Weight{Count: 1}); !errors.Is(err, ErrOption) {
			t.Errorf("a bound where there was none: %v", err)
		}
	})
}
