package dedup

import (
	"math"
	"time"
)

// FilterStats is what a [Filter] holds and has done. Counters start with the filter.
type FilterStats struct {
	Keys     int // that are held exactly; those that are older than Window but not cleared yet included
	InFlight int // reserved now
	// Reach is how far back every committed key is still known: Window, or less if more than Keys were committed meanwhile.
	Reach       time.Duration
	Generations []GenerationStats // newest first

	New, Perhaps, Refused, Seen, Full uint64 // answers of Reserve; Refused is InFlight
	Commits, Aborts                   uint64 // reservations that ended
	RotatedByAge, RotatedByCount      uint64 // changes of generation
	Early                             uint64 // changes that forgot keys before their Window was over: raise Keys if that is not wanted

	// Questions are those to the Bloom filters of the exact generations about keys that were not there, FalsePositives those that were not answered 'certainly new'.
	// Their quotient is the measured rate. None of them was answered Seen.
	Questions, FalsePositives uint64
}

// GenerationStats is one generation of a [Filter].
type GenerationStats struct {
	Keys           int           // committed while it was the newest
	Age            time.Duration // since it began
	Exact          bool          // it holds its keys; false: only its Bloom filter is left
	Fill           float64       // part of the Bloom filter's bits that are set; about one half with all Keys
	FalsePositives float64       // what part of keys it would take for its own, by its fill
}

// Stats returns figures of one moment. It counts the bits of every Bloom filter, which takes some microseconds for every 100,000 Keys of each generation, while others wait.
func (f *Filter) Stats() FilterStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock()
	f.turn(now)
	s := f.counts
	s.InFlight = f.inFlight.count
	s.Reach = f.options.Window
	if f.anyLost {
		s.Reach = min(s.Reach, now-f.lost)
	}
	s.Generations = make([]GenerationStats, len(f.gens))
	for i := range f.gens {
		g := &f.gens[i]
		fill := g.fill()
		s.Generations[i] = GenerationStats{
			Keys: g.keys, Age: now - g.since, Exact: g.exact != nil, Fill: fill, FalsePositives: math.Pow(fill, float64(g.bloom.K())),
		}
		if g.exact != nil {
			s.Keys += g.keys
		}
	}
	return s
}
