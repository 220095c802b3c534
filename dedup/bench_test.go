package dedup

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkFilter reserves and commits new keys, beside an insertion of the same keys into a map under a mutex. They take turns in the same run, and the ratio is of their
// times. The map is emptied when it has as many keys as the filter remembers, so that neither grows.
func BenchmarkFilter(b *testing.B) {
	for _, keys := range []int{4096, 65_536, 1 << 20} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) { compare(b, keys, 1) })
	}
	b.Run("65536 parallel", func(b *testing.B) { compare(b, 65_536, 4) })
}

// slice is how many keys are done before it is the other's turn.
const slice = 2048

func compare(b *testing.B, keys, workers int) {
	f := newFilter(b, FilterOptions{Keys: keys})
	l := &locked{keys: keys, m: make(map[Key]time.Duration, keys)}
	var at int
	run := func(do func(Key)) time.Duration {
		begin := time.Now()
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				for n := w; n < slice; n += workers {
					do(spread(at + n))
				}
			})
		}
		all.Wait()
		return time.Since(begin)
	}
	for range 3 * keys / slice { // both are full, and have been cleared
		run(l.insert)
		run(f.do)
		at += slice
	}
	b.ReportAllocs()
	var filter, limit time.Duration
	for b.Loop() {
		limit += run(l.insert)
		filter += run(f.do)
		at += slice
	}
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(b.N*slice) }
	b.ReportMetric(per(filter), "ns/key")
	b.ReportMetric(per(limit), "ns/key-map")
	b.ReportMetric(float64(filter)/float64(limit), "times-map")
}

// do reserves and commits a key that is new.
func (f *Filter) do(k Key) {
	r, _ := f.Reserve(k)
	if !r.Commit() {
		panic("a new key was not reserved")
	}
}

// locked is the least that remembers keys.
type locked struct {
	mu   sync.Mutex
	m    map[Key]time.Duration
	keys int
}

func (l *locked) insert(k Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.m) >= l.keys {
		clear(l.m)
	}
	l.m[k] = time.Duration(len(l.m))
}

// spread is a key that looks like the sum of a message.
func spread(n int) (k Key) {
	x := uint64(n) * 0x9e3779b97f4a7c15
	for i := range k {
		k[i] = byte(x >> (i % 8 * 8))
		x ^= x >> 29
	}
	return k
}

// BenchmarkFilterSeen asks for what is known.
func BenchmarkFilterSeen(b *testing.B) {
	f := newFilter(b, FilterOptions{})
	for n := range 65_536 {
		f.do(spread(n))
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if _, state := f.Reserve(spread(n & 0xffff)); state != Seen {
			b.Fatal(state)
		}
		n++
	}
}

func BenchmarkKeyOf(b *testing.B) {
	topic, id := []byte("orders"), []byte("customer 17")
	for _, size := range []int{100, 1000, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			value := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				KeyOf(topic, id, value)
			}
		})
	}
}

// TestFilterAllocates holds the way of a new key, of one that is seen and of one in flight to no allocation at all.
func TestFilterAllocates(t *testing.T) {
	f := newFilter(t, FilterOptions{Keys: 1000})
	var n atomic.Int64
	for range 5000 {
		f.do(spread(int(n.Add(1))))
	}
	allocs := testing.AllocsPerRun(5000, func() {
		k := spread(int(n.Add(1)))
		r, _ := f.Reserve(k)
		f.Reserve(k)
		r.Commit()
		r.Abort()
		f.Reserve(k)
	})
	if allocs > 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}
