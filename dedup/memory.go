package dedup

import (
	"context"
	"errors"
	"time"
)

// NoTx is what [Memory] gives to functions: it has no transaction that they could use.
type NoTx struct{}

// MemoryOptions are the options of [NewMemory].
type MemoryOptions struct {
	// Keys is how many marks are kept, at least: the last ones. 0 is 65,536; at most 16,777,216.
	Keys int
	// TTL is how long a mark is kept. 0 is 24 hours; at least 1 ms, at most 10 years.
	TTL time.Duration
	// InFlight is how many calls may run at a time. 0 is 65,536; at most 16,777,216. More get ErrFull.
	InFlight int
}

// Memory is a [Store] of marks in memory: for tests, and for work whose effects are gone with the process too. What a function does is not undone when it fails. It
// keeps its marks in a [Filter], with the limits of one: a mark may be forgotten before its time when more than Keys were made after it.
type Memory struct {
	filter *Filter
}

var _ Store[NoTx] = (*Memory)(nil)

// NewMemory makes a store. The error is an [*OptionsError], or several; nothing was allocated then.
func NewMemory(o MemoryOptions) (*Memory, error) {
	if o.TTL == 0 {
		o.TTL = 24 * time.Hour
	}
	f, err := NewFilter(FilterOptions{Keys: o.Keys, Window: o.TTL, InFlight: o.InFlight})
	if err != nil {
		return nil, errors.Join(errors.New("dedup: MemoryOptions, whose TTL is the Window of a filter"), err)
	}
	return &Memory{filter: f}, nil
}

// Once does what [Store] says. A key in flight gets [ErrInFlight] at once.
func (m *Memory) Once(ctx context.Context, key string, fn func(ctx context.Context, tx NoTx) error) (first bool, err error) {
	if err := CheckKey(key); err != nil {
		return false, err
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	r, state := m.filter.Reserve(KeyOf([]byte(key)))
	switch state {
	case Seen:
		return false, nil
	case InFlight:
		return false, ErrInFlight
	case Full:
		return false, ErrFull
	}
	defer r.Abort()
	if err := fn(ctx, NoTx{}); err != nil {
		return false, err
	}
	return r.Commit(), nil
}

// Stats returns the figures of the filter that holds the marks.
func (m *Memory) Stats() FilterStats { return m.filter.Stats() }
