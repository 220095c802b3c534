package dedup

import (
	"time"

	"github.com/bits-and-blooms/bloom/v3"
)

// exactGenerations hold their keys; those behind them only their Bloom filters. With two, what was committed last is always kept for a whole Window and
// a whole number of Keys, however full the newest one is.
const exactGenerations = 2

// places says where the bits of one key are.
type places struct{ from, step uint32 }

// bit returns where the i-th bit is among size ones, without a division. size is below 1<<32.
func (p places) bit(i, size uint) uint {
	return uint(uint64(p.from+uint32(i)*p.step) * uint64(size) >> 32)
}

// generation is the keys that were committed while it was the newest.
//
// That golang-lru is not used here, although its evictions are alike: it allocates an element per key, keeps what was asked for last instead
// of what was committed last, and forgets one key at a time where a generation goes as a whole, its Bloom filter with it, which cannot forget one.
type generation struct {
	since time.Duration // from when on it is the newest
	last  time.Duration // when the newest of its keys was committed
	keys  int
	bloom *bloom.BloomFilter
	exact map[Key]time.Duration // when each was committed; nil behind the exact ones
}

func newGeneration(o FilterOptions, exact bool) generation {
	bits, hashes := o.bloomSize()
	g := generation{bloom: bloom.New(bits, hashes)}
	if exact {
		g.exact = make(map[Key]time.Duration, o.Keys)
	}
	return g
}

// mayHave is false if the key at p is certainly not in g.
func (g *generation) mayHave(p places) bool {
	bits, size := g.bloom.BitSet(), g.bloom.Cap()
	for i := range g.bloom.K() {
		if !bits.Test(p.bit(i, size)) {
			return false
		}
	}
	return true
}

func (g *generation) add(k Key, p places, now time.Duration) {
	bits, size := g.bloom.BitSet(), g.bloom.Cap()
	for i := range g.bloom.K() {
		bits.Set(p.bit(i, size))
	}
	g.exact[k] = now
	g.keys++
	g.last = now
}

// fill is the part of the Bloom filter's bits that are set.
func (g *generation) fill() float64 {
	return float64(g.bloom.BitSet().Count()) / float64(g.bloom.Cap())
}

// turn changes generations whose time is over. After a long pause all are changed, once.
func (f *Filter) turn(now time.Duration) {
	window := f.options.Window
	for range f.gens {
		since := f.gens[0].since
		if now-since < window {
			return
		}
		f.rotate(since+window, now)
		f.counts.RotatedByAge++
	}
	f.gens[0].since = max(f.gens[0].since, now-now%window)
}

// rotate makes an empty generation the newest, as of since, out of the memory of those that are no longer needed.
func (f *Filter) rotate(since, now time.Duration) {
	oldest := len(f.gens) - 1
	leaving := &f.gens[exactGenerations-1]
	if leaving.keys > 0 && now-leaving.last < f.options.Window {
		f.lost, f.anyLost = leaving.last, true
		f.counts.Early++
	}
	fresh := generation{since: since, bloom: f.gens[oldest].bloom, exact: leaving.exact}
	fresh.bloom.ClearAll()
	clear(fresh.exact)
	leaving.exact = nil
	copy(f.gens[1:], f.gens[:oldest])
	f.gens[0] = fresh
}
