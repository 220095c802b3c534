package backpressure

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// room is what a gate and a share of a pool promise alike.
type room interface {
	Acquire(ctx context.Context, w Weight) error
	TryAcquire(w Weight) bool
	Take(w Weight)
	Release(w Weight)
	Close(reason error)
	Held() (Weight, int)
}

var (
	_ room = (*Gate)(nil)
	_ room = (*Share)(nil)
)

// rooms are one of each kind, of which a share alone may take all that is asked of it here at once.
func rooms(t *testing.T, bound Weight) map[string]room {
	g, err := NewGate(bound)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPool(bound)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]room{"gate": g, "share": p.Share()}
}

// meter watches from outside what is held.
type meter struct {
	most         Weight
	count, bytes atomic.Int64
	passed       atomic.Bool // the bound, at any moment
}

func (m *meter) in(w Weight) {
	if count, bytes := m.count.Add(w.Count), m.bytes.Add(w.Bytes); count > m.most.Count || bytes > m.most.Bytes {
		m.passed.Store(true)
	}
}

func (m *meter) out(w Weight) { m.count.Add(-w.Count); m.bytes.Add(-w.Bytes) }

// step is what a goroutine of a run does next.
type step struct {
	Weight Weight
	Kind   int // 0: TryAcquire, 1: Acquire, 2: Acquire with a context that is cancelled meanwhile
}

// crowd has goroutines ask for room in rooms of one bound, all at once, and looks at what is held.
func crowd(t *rapid.T, bound Weight, rooms []room) {
	m := &meter{most: bound}
	plans := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			Weight{rapid.Int64Range(0, 1+bound.Count/2).Draw(t, "count"), rapid.Int64Range(0, bound.Bytes).Draw(t, "bytes")}, rapid.IntRange(0, 2).Draw(t, "kind"),
		}
	}), 1, 6), 2, 8).Draw(t, "plans")
	var all sync.WaitGroup
	for i, plan := range plans {
		all.Go(func() {
			r := rooms[i%len(rooms)]
			for _, s := range plan {
				if !s.take(r) {
					continue
				}
				m.in(s.Weight)
				for range 10 { // so that others come in meanwhile
					runtime.Gosched()
				}
				m.out(s.Weight)
				r.Release(s.Weight)
			}
		})
	}
	all.Wait()
	if m.passed.Load() {
		t.Fatalf("more than %+v was held", bound)
	}
	for _, r := range rooms {
		if held, waiting := r.Held(); held != (Weight{}) || waiting != 0 {
			t.Fatalf("%+v is held and %d wait when all is over", held, waiting)
		}
	}
}

func (s step) take(r room) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch s.Kind {
	case 0:
		return r.TryAcquire(s.Weight)
	case 2:
		go cancel()
	}
	return r.Acquire(ctx, s.Weight) == nil
}

func drawBound(t *rapid.T) Weight {
	return Weight{rapid.Int64Range(1, 8).Draw(t, "bound"), rapid.Int64Range(1, 100).Draw(t, "bound in bytes")}
}

func TestGateIsNeverOverItsBound(t *testing.T) {
	checks(t, 500, 10_000, 10_000)
	rapid.Check(t, func(t *rapid.T) {
		bound := drawBound(t)
		g, err := NewGate(bound)
		if err != nil {
			t.Fatal(err)
		}
		crowd(t, bound, []room{g})
	})
}

func TestPoolIsNeverOverItsBound(t *testing.T) {
	checks(t, 300, 2_000, 10_000)
	rapid.Check(t, func(t *rapid.T) {
		bound := drawBound(t)
		p, err := NewPool(bound)
		if err != nil {
			t.Fatal(err)
		}
		crowd(t, bound, []room{p.Share(), p.Share(), p.Share()})
	})
}

func TestFirstComeFirstServed(t *testing.T) {
	for name, r := range rooms(t, Weight{Count: 10}) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r.Take(Weight{Count: 10})
				var order []int
				var all sync.WaitGroup
				for i, n := range []int64{5, 1, 3} { // the last two would fit long before the first
					all.Go(func() {
						if err := r.Acquire(t.Context(), Weight{Count: n}); err != nil {
							t.Error(err)
						}
						order = append(order, i)
					})
					synctest.Wait()
				}
				if r.TryAcquire(Weight{}) {
					t.Error("who does not wait passed those that do")
				}
				for range 10 + 9 {
					r.Release(Weight{Count: 1})
					synctest.Wait()
				}
				all.Wait()
				if !slices.Equal(order, []int{0, 1, 2}) {
					t.Errorf("came in as %v", order)
				}
			})
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	for name, r := range rooms(t, Weight{Count: 1}) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r.Take(Weight{Count: 1})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				behind := make(chan error, 1)
				go func() { behind <- r.Acquire(t.Context(), Weight{Count: 1}) }()
				synctest.Wait()
				err := r.Acquire(ctx, Weight{Count: 1})
				if !errors.Is(err, ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want ErrFull and the context's", err)
				}
				if err := r.Acquire(ctx, Weight{}); !errors.Is(err, ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("with a context that ended before: got %v", err)
				}
				r.Release(Weight{Count: 1})
				if err := <-behind; err != nil {
					t.Error(err)
				}
				if held, waiting := r.Held(); held.Count != 1 || waiting != 0 {
					t.Errorf("%+v held, %d wait", held, waiting)
				}
			})
		})
	}
}

func TestWhatNeverPassesIsRefusedAtOnce(t *testing.T) {
	for name, r := range rooms(t, Weight{Count: 3, Bytes: 100}) {
		for _, w := range []Weight{{Count: 4}, {Bytes: 101}, {Count: -1}, {Bytes: -1}, {Count: 1 << 62, Bytes: 1 << 62}} {
			if err := r.Acquire(t.Context(), w); !errors.Is(err, ErrWeight) {
				t.Errorf("%s: %+v: got %v, want ErrWeight", name, w, err)
			}
			if r.TryAcquire(w) {
				t.Errorf("%s: %+v passed", name, w)
			}
		}
	}
	for _, bound := range []Weight{{}, {Count: -1, Bytes: 5}, {Count: 5, Bytes: -1}} {
		if _, err := NewGate(bound); !errors.Is(err, ErrOption) {
			t.Errorf("a gate of %+v: %v", bound, err)
		}
		if _, err := NewPool(bound); !errors.Is(err, ErrOption) {
			t.Errorf("a pool of %+v: %v", bound, err)
		}
	}
}

func TestClosedTurnsAway(t *testing.T) {
	why := errors.New("over")
	for name, r := range rooms(t, Weight{Count: 1}) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r.Take(Weight{Count: 1})
				waited := make(chan error, 1)
				go func() { waited <- r.Acquire(t.Context(), Weight{Count: 1}) }()
				synctest.Wait()
				r.Close(why)
				r.Close(errors.New("another"))
				if err := <-waited; err != why {
					t.Errorf("who waited got %v", err)
				}
				r.Release(Weight{Count: 1})
				if err := r.Acquire(t.Context(), Weight{Count: 1}); err != why || r.TryAcquire(Weight{Count: 1}) {
					t.Errorf("who came later got %v", err)
				}
			})
		})
	}
}

func TestReleaseOfMoreThanIsHeldPanics(t *testing.T) {
	for name, r := range rooms(t, Weight{Count: 5}) {
		r.Take(Weight{Count: 7}) // beyond the bound
		if r.TryAcquire(Weight{}) {
			t.Errorf("%s: let in beyond the bound", name)
		}
		for _, w := range []Weight{{Count: 8}, {Count: -1}, {Bytes: 1}} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic for %+v", name, w)
					}
				}()
				r.Release(w)
			}()
		}
		r.Release(Weight{Count: 7})
	}
}

func TestSetBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := NewGate(Weight{Count: 2})
		g.Take(Weight{Count: 2})
		outcome := make(chan error, 2)
		for _, n := range []int64{2, 1} {
			go func() { outcome <- g.Acquire(t.Context(), Weight{Count: n}) }()
			synctest.Wait()
		}
		if err := g.SetBound(Weight{Count: 1}); err != nil {
			t.Fatal(err)
		}
		if err := <-outcome; !errors.Is(err, ErrWeight) {
			t.Errorf("who wants more than the new bound got %v", err)
		}
		if err := g.SetBound(Weight{Count: 3}); err != nil {
			t.Fatal(err)
		}
		if err := <-outcome; err != nil {
			t.Error(err)
		}
		if err := g.SetBound(Weight{}); !errors.Is(err, ErrOption) {
			t.Errorf("no bound: %v", err)
		}
	})
}
