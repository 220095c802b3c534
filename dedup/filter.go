package dedup

import (
	"hash/maphash"
	"sync"
	"time"
)

// Filter remembers in memory which keys are done and which are in flight. It is safe for concurrent use: of all who reserve a key, one gets it.
//
// # What it remembers
//
// A committed key is [Seen] for as long as it was committed less than Window ago and is among the last Keys that were committed. When it is older than
// Window it is new again, to the nanosecond. When Keys were committed after it, it may be forgotten before its time; when twice as many were, it
// is. [FilterStats] says how far back the memory reaches.
//
// With History, what left the exact window is still known to a Bloom filter, and is [Perhaps]: seen before, or taken for a key that was.
//
// # What it costs
//
// At most [FilterOptions.Bytes], nearly all of it taken by [NewFilter]. It starts no goroutine: generations are changed by whoever comes when it is time. To
// change one clears what it held, which takes some milliseconds per 100,000 Keys, during which the others wait.
//
// # Restarts
//
// A filter starts empty. Whoever can read what was done in the last Window reserves and commits those keys first; whoever cannot uses an
// [Idempotent] over a store that lasts.
type Filter struct {
	options FilterOptions
	seed    maphash.Seed         // so that nobody can choose keys that collide
	clock   func() time.Duration // since the filter was made, so that no setting of the clock changes anything; called with mu held, so that it never goes back

	mu       sync.Mutex
	tickets  uint64 // the last one given; guarded by mu, as all below
	inFlight flights
	gens     []generation  // newest first; the first two are exact
	lost     time.Duration // when the newest key was committed that was forgotten before its time
	anyLost  bool
	counts   FilterStats // the counters of it
}

// NewFilter makes a filter. The error is an [*OptionsError], or several; nothing was allocated then.
func NewFilter(o FilterOptions) (*Filter, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	made := time.Now()
	f := &Filter{options: o, seed: maphash.MakeSeed(), clock: func() time.Duration { return time.Since(made) }}
	f.gens = make([]generation, exactGenerations+o.History)
	for i := range f.gens {
		f.gens[i] = newGeneration(o, i < exactGenerations)
	}
	return f, nil
}

// State is the answer of [Filter.Reserve].
type State uint8

const (
	// New: the key was not seen, as far back as the filter remembers. It is reserved for the caller.
	New State = iota + 1
	// Perhaps: the key is reserved for the caller as if it were New. It was committed longer ago than the exact window, or it is a false positive of the
	// Bloom filters behind that: ask who knows for certain, or go on. It is only given with FilterOptions.History.
	Perhaps
	// InFlight: somebody else has reserved the key. Whether it gets done is open: come again later.
	InFlight
	// Seen: this very key was committed within the window. There is nothing to do.
	Seen
	// Full: the key may be new, but FilterOptions.InFlight keys are reserved. Come again later.
	Full
)

// Reserved reports whether the caller has the key now, and owes a Commit or an Abort.
func (s State) Reserved() bool { return s == New || s == Perhaps }

// String returns the state's name.
func (s State) String() string {
	switch s {
	case New:
		return "New"
	case Perhaps:
		return "Perhaps"
	case InFlight:
		return "InFlight"
	case Seen:
		return "Seen"
	case Full:
		return "Full"
	}
	return "no state"
}

// Reserve looks for k and, if it is neither done nor in flight, takes it for the caller, in one step. If the state is [State.Reserved], the caller ends the
// reservation with Commit or Abort, however its work ends:
//
//	r, state := filter.Reserve(key)
//	if !state.Reserved() {
//		return state
//	}
//	defer r.Abort() // does nothing after Commit
//
// There is no time limit: a key stays in flight for as long as nobody ends its reservation.
func (f *Filter) Reserve(k Key) (Reservation, State) {
	places := f.places(k)
	f.mu.Lock()
	defer f.mu.Unlock()
	state := f.look(k, places)
	switch state {
	case Seen:
		f.counts.Seen++
	case InFlight:
		f.counts.Refused++
	case Full:
		f.counts.Full++
	case Perhaps:
		f.counts.Perhaps++
	case New:
		f.counts.New++
	}
	if !state.Reserved() {
		return Reservation{}, state
	}
	f.tickets++
	f.inFlight.take(&k, places.from, f.tickets)
	return Reservation{f, k, places, f.tickets}, state
}

func (f *Filter) look(k Key, p places) State {
	if f.inFlight.has(&k, p.from) {
		return InFlight
	}
	state := New
	if f.known(p) {
		now := f.clock()
		f.turn(now)
		state = f.find(k, p, now)
	}
	if state.Reserved() && f.inFlight.count >= f.options.InFlight {
		return Full
	}
	return state
}

// known is false if k, whose bits are at p, is new to all generations, whatever time it is: most keys are, and what says so costs less than a look at the clock.
func (f *Filter) known(p places) bool {
	exact := 0
	for i := range f.gens {
		g := &f.gens[i]
		switch {
		case g.keys == 0:
		case g.mayHave(p):
			return true
		case g.exact != nil:
			exact++
		}
	}
	f.counts.Questions += uint64(exact)
	return false
}

// find looks for k in the generations, in each only if its Bloom filter does not know k to be new.
func (f *Filter) find(k Key, places places, now time.Duration) State {
	state := New
	for i := range f.gens {
		g := &f.gens[i]
		if g.keys == 0 {
			continue
		}
		hit := g.mayHave(places)
		if g.exact == nil {
			if hit {
				return Perhaps
			}
			continue
		}
		at, ok := time.Duration(0), false
		if hit {
			at, ok = g.exact[k]
		}
		switch {
		case ok && now-at < f.options.Window:
			return Seen
		case ok && f.options.History > 0:
			return Perhaps // not only perhaps: but it is older than the window
		case !ok:
			f.counts.Questions++
			if hit {
				f.counts.FalsePositives++
			}
		}
	}
	return state
}

// places returns what says where k is in every Bloom filter.
func (f *Filter) places(k Key) places {
	hash := maphash.Bytes(f.seed, k[:])
	return places{uint32(hash), uint32(hash>>32) | 1}
}
