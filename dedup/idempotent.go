package dedup

import (
	"context"
	"sync"
	"sync/atomic"
)

// InFlightPolicy says what [Idempotent.Do] does about a key that another call of the same Idempotent works on.
type InFlightPolicy uint8

const (
	// Wait for the outcome of the other: nil if it succeeded, else try. The context bounds the wait.
	Wait InFlightPolicy = iota
	// Refuse with ErrInFlight at once, for workers that have something else to do.
	Refuse
)

// IdempotentOptions are the options of [NewIdempotent].
type IdempotentOptions struct {
	// InFlight: Wait or Refuse. A store that answers ErrInFlight itself, since another process has the key, is not waited for.
	InFlight InFlightPolicy
}

// Idempotent runs a function once per key, over a [Store]. It is safe for concurrent use.
//
// Calls with the same key are put in line before the store is asked, so that those who wait hold no connection and no transaction. It keeps what is running, nothing
// else: memory grows with the calls that are made at a time.
type Idempotent[Tx any] struct {
	store  Store[Tx]
	refuse bool

	mu      sync.Mutex
	flights map[string]*flight // guarded by mu

	done, skipped, failed, refused atomic.Uint64
}

// flight is one call that runs. succeeded is read only after ended is closed.
type flight struct {
	ended     chan struct{}
	succeeded bool
}

// NewIdempotent returns an Idempotent over s. The error is an [*OptionsError].
func NewIdempotent[Tx any](s Store[Tx], o IdempotentOptions) (*Idempotent[Tx], error) {
	switch {
	case s == nil:
		return nil, &OptionsError{"the store", "nil", "it must be one"}
	case o.InFlight > Refuse:
		return nil, &OptionsError{"IdempotentOptions.InFlight", "unknown", "it must be Wait or Refuse"}
	}
	return &Idempotent[Tx]{store: s, refuse: o.InFlight == Refuse, flights: map[string]*flight{}}, nil
}

// Do runs fn in a transaction of the store and marks key in the same one. It returns nil if that succeeded, now or before; if it was before, fn does not run. If
// fn fails, nothing is kept, and Do returns its error: do it again. An error that is not fn's and not [ErrIndeterminate] means that nothing was done.
//
// The key says what is to be done once: the identity of the message, and of the work if several do different things with it in one store. It is
// [CheckKey]'s. fn must use tx for all it does, must not end it, and must not call Do with its own key, which it would wait for.
func (i *Idempotent[Tx]) Do(ctx context.Context, key string, fn func(ctx context.Context, tx Tx) error) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	mine, err := i.take(ctx, key)
	if mine == nil {
		return err
	}
	defer i.land(key, mine) // also when fn panics or ends its goroutine
	first, err := i.store.Once(ctx, key, fn)
	if err != nil {
		return err
	}
	mine.succeeded = true
	if first {
		i.done.Add(1)
	} else {
		i.skipped.Add(1)
	}
	return nil
}

// take returns the caller's flight, or nil if there is nothing to do: another one succeeded, or err says why not.
func (i *Idempotent[Tx]) take(ctx context.Context, key string) (*flight, error) {
	for {
		i.mu.Lock()
		other := i.flights[key]
		if other == nil {
			mine := &flight{ended: make(chan struct{})}
			i.flights[key] = mine
			i.mu.Unlock()
			return mine, nil
		}
		i.mu.Unlock()
		if i.refuse {
			i.refused.Add(1)
			return nil, ErrInFlight
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-other.ended:
		}
		if other.succeeded {
			i.skipped.Add(1)
			return nil, nil
		}
	}
}

func (i *Idempotent[Tx]) land(key string, mine *flight) {
	if !mine.succeeded {
		i.failed.Add(1)
	}
	i.mu.Lock()
	delete(i.flights, key)
	i.mu.Unlock()
	close(mine.ended)
}

// IdempotentStats is what an [Idempotent] has done since it was made.
type IdempotentStats struct {
	Done     uint64 // fn ran and was marked
	Skipped  uint64 // done before, fn did not run
	Failed   uint64 // fn, or the store, returned an error or did not return
	Refused  uint64 // ErrInFlight of Refuse
	InFlight int    // running now
}

// Stats returns the figures of one moment.
func (i *Idempotent[Tx]) Stats() IdempotentStats {
	i.mu.Lock()
	running := len(i.flights)
	i.mu.Unlock()
	return IdempotentStats{Done: i.done.Load(), Skipped: i.skipped.Load(), Failed: i.failed.Load(), Refused: i.refused.Load(), InFlight: running}
}
