package backpressure

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Rates is a rate for each of many keys, tenants for instance, in bounded memory, about 300 bytes a key. It is safe for concurrent use.
//
// It keeps the keys that were used last. One that is forgotten begins with a full burst when it comes again; nothing is lost by that if its bucket was full anyway, which is so as
// soon as burst/perSecond seconds have passed. While more keys than are kept come within that time, forgotten buckets make a key faster than its rate: Forgotten counts them.
type Rates struct {
	perSecond float64
	burst     int

	mu        sync.Mutex
	keys      *simplelru.LRU[string, *Rate] // guarded by mu
	forgotten int64                         // guarded by mu
}

// RatesOptions says what each key may do.
type RatesOptions struct {
	PerSecond float64 // of each key; above zero
	Burst     int     // of each key; 0: as NewRate
	Keys      int     // that are kept; 0: 10,000
}

const defaultKeys = 10_000

// NewRates returns rates of keys that nobody has used yet. ErrOption, as NewRate, and for Keys below zero.
func NewRates(o RatesOptions) (*Rates, error) {
	r, err := NewRate(o.PerSecond, o.Burst)
	if err != nil {
		return nil, err
	}
	if o.Keys < 0 {
		return nil, fmt.Errorf("%w: %d keys: not negative", ErrOption, o.Keys)
	}
	if o.Keys == 0 {
		o.Keys = defaultKeys
	}
	rs := &Rates{perSecond: o.PerSecond, burst: r.Burst()}
	rs.keys, err = simplelru.NewLRU(o.Keys, func(_ string, r *Rate) {
		if !r.full() {
			rs.forgotten++
		}
	})
	return rs, err
}

// Allow is Rate.Allow of a key.
func (r *Rates) Allow(key string, n int) bool { return r.of(key).Allow(n) }

// Wait is Rate.Wait of a key.
func (r *Rates) Wait(ctx context.Context, key string, n int) error { return r.of(key).Wait(ctx, n) }

func (r *Rates) of(key string) *Rate {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one, ok := r.keys.Get(key); ok {
		return one
	}
	one, _ := NewRate(r.perSecond, r.burst) // judged before
	r.keys.Add(key, one)
	return one
}

// Len returns how many keys are kept, and how many were forgotten before their buckets were full again.
func (r *Rates) Len() (keys int, forgotten int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys.Len(), r.forgotten
}
