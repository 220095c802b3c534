package backpressure

import (
	"sync"
	"testing"
	"testing/synctest"
)

func newPool(t *testing.T, bound Weight) *Pool {
	p, err := NewPool(bound)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// fill takes one by one as long as it can.
func fill(s *Share) (n int) {
	for s.TryAcquire(Weight{Count: 1}) {
		n++
	}
	return n
}

func TestNoShareTakesAll(t *testing.T) {
	p := newPool(t, Weight{Count: 60})
	a, b := p.Share(), p.Share()
	if n := fill(a); n != 30 {
		t.Errorf("one alone has %d of 60, want half", n)
	}
	if n := fill(b); n != 15 {
		t.Errorf("the second has %d, want half of what was left", n)
	}
	for range 100 { // what is given back is for who has less
		a.Release(Weight{Count: 1})
		fill(b)
		fill(a)
	}
	heldA, _ := a.Held()
	heldB, _ := b.Held()
	if heldA.Count != 20 || heldB.Count < 20 || heldB.Count > 21 {
		t.Errorf("they end with %d and %d of 60, want about a third each", heldA.Count, heldB.Count)
	}
}

func TestSharesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Weight{Count: 4})
		hog, late := p.Share(), p.Share()
		hog.Take(Weight{Count: 4})
		var order []string
		var all sync.WaitGroup
		wait := func(name string, s *Share) {
			all.Go(func() {
				if err := s.Acquire(t.Context(), Weight{Count: 1}); err == nil {
					order = append(order, name)
				} else if name != "hog" || err != ErrOption {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		for range 3 {
			wait("hog", hog)
		}
		wait("late", late)
		hog.Release(Weight{Count: 1})
		synctest.Wait()
		if len(order) != 1 || order[0] != "late" {
			t.Errorf("%v came in first, not who has nothing", order)
		}
		hog.Close(ErrOption) // so that its waiters end
		late.Release(Weight{Count: 1})
		synctest.Wait()
		if _, waiting := p.Held(); waiting != 0 {
			t.Errorf("%d wait", waiting)
		}
	})
}

// A share that holds nothing and wants much is not starved by others that want little.
func TestHeavyNewcomerIsPassedByNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Weight{Count: 10})
		heavy, light := p.Share(), p.Share()
		light.Take(Weight{Count: 5})
		in := make(chan error, 1)
		go func() { in <- heavy.Acquire(t.Context(), Weight{Count: 10}) }()
		synctest.Wait()
		for range 5 {
			light.Release(Weight{Count: 1})
			if light.TryAcquire(Weight{Count: 1}) {
				t.Fatal("the light one passed")
			}
		}
		if err := <-in; err != nil {
			t.Error(err)
		}
	})
}
