package backpressure

import (
	"fmt"
	"sync"
	"testing"
)

// BenchmarkTryAcquire is goal P21: what TryAcquire costs beside a mutex that is locked and unlocked around one addition, measured in turn in the same run. Each also gives back
// what it took, which for the gate is another lock.
func BenchmarkTryAcquire(b *testing.B) {
	b.ReportAllocs()
	g, _ := NewGate(Weight{Count: 1 << 60, Bytes: 1 << 60})
	var mu sync.Mutex
	var held Weight
	w := Weight{1, 100}
	var mutex, gate int64
	const block = 1 << 12
	for n := 0; n < b.N; n += block {
		mutex += timed(func() {
			for range block {
				mu.Lock()
				held = held.Plus(w)
				mu.Unlock()
			}
		})
		gate += timed(func() {
			for range block {
				if !g.TryAcquire(w) {
					b.Fatal("full")
				}
			}
		})
	}
	b.ReportMetric(float64(gate)/float64(mutex), "x-mutex")
	b.ReportMetric(float64(gate)/float64((b.N+block-1)/block*block), "ns/acquire")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkGate is a round of taking and giving back.
func BenchmarkGate(b *testing.B) {
	w := Weight{1, 100}
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		g, _ := NewGate(Weight{Count: 1000})
		for b.Loop() {
			if g.TryAcquire(w) {
				g.Release(w)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		g, _ := NewGate(Weight{Count: 1000})
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if g.TryAcquire(w) {
					g.Release(w)
				}
			}
		})
	})
	b.Run("full", func(b *testing.B) {
		b.ReportAllocs()
		g, _ := NewGate(Weight{Count: 1})
		g.Take(w)
		for b.Loop() {
			if g.TryAcquire(w) {
				b.Fatal("let in")
			}
		}
	})
}

// BenchmarkController is an admission by bound, pool and rate, and a refusal.
func BenchmarkController(b *testing.B) {
	p, _ := NewPool(Weight{Count: 1000})
	w := Weight{Count: 1}
	c, err := NewController(Options{Bound: Weight{Count: 1000}, Share: p.Share(), Rate: 1e12, Burst: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("admitted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if c.TryAdmit(w) == nil {
				c.Release(w)
			}
		}
	})
	c.Take(Weight{Count: 1000})
	b.Run("refused", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if c.TryAdmit(w) == nil {
				b.Fatal("let in")
			}
		}
	})
}

// BenchmarkRates is an answer for one of many keys.
func BenchmarkRates(b *testing.B) {
	r, _ := NewRates(RatesOptions{PerSecond: 1e9, Burst: 1 << 30, Keys: 1000})
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprint("tenant-", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.Allow(keys[i%len(keys)], 1)
	}
}

func TestTryDoesNotAllocate(t *testing.T) {
	g, _ := NewGate(Weight{Count: 1})
	p := newPool(t, Weight{Count: 4})
	c := newController(t, Options{Bound: Weight{Count: 1}, Share: p.Share(), Rate: 1e12, Burst: 1 << 30})
	r, _ := NewRates(RatesOptions{PerSecond: 1e9})
	one := Weight{Count: 1}
	if n := testing.AllocsPerRun(100, func() {
		g.TryAcquire(one)
		g.TryAcquire(one) // is refused
		g.Release(one)
		c.TryAdmit(one)
		c.TryAdmit(one)
		c.Release(one)
		r.Allow("key", 1)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
