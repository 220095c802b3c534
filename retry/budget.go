package retry

import (
	"sync"
	"time"
)

// What the zero fields of BudgetOptions mean.
const (
	DefaultRatio     = 0.1
	DefaultPerSecond = 1
	DefaultBurst     = 10
)

// maxBudget bounds the fields of BudgetOptions, so that sums stay exact enough.
const maxBudget = 1 << 20

// BudgetOptions say how many retries a Budget allows: over any time, at most Burst, Ratio for each call, and PerSecond for each second.
type BudgetOptions struct {
	Ratio     float64 // retries a call; 0: 0.1; negative: none for a call
	PerSecond float64 // retries a second, so that rare calls may be repeated too; 0: 1; negative: none for the time
	Burst     int     // the most that is saved up, and what there is at first; 0: 10
}

// Validate returns nil, or a *FieldError for each field that breaks a rule, joined.
func (o BudgetOptions) Validate() error {
	f := faults{of: "retry.BudgetOptions"}
	f.check(o.Ratio <= maxBudget, "Ratio", o.Ratio, "must be a number up to 1,048,576")
	f.check(o.PerSecond <= maxBudget, "PerSecond", o.PerSecond, "must be a number up to 1,048,576")
	f.check(o.Burst >= 0 && o.Burst <= maxBudget, "Burst", o.Burst, "must be 0 (for 10) to 1,048,576")
	return f.err()
}

// WithDefaults returns o with its zero fields filled in.
func (o BudgetOptions) WithDefaults() BudgetOptions {
	if o.Ratio == 0 {
		o.Ratio = DefaultRatio
	}
	if o.PerSecond == 0 {
		o.PerSecond = DefaultPerSecond
	}
	if o.Burst == 0 {
		o.Burst = DefaultBurst
	}
	return o
}

// Budget bounds retries to a part of the calls. When everything fails, each caller for itself would multiply the load by its attempts; the budget of all of them
// together adds a tenth. It is the per-client budget of "Handling Overload" (Site Reliability Engineering, O'Reilly 2016, chapter 21), as the
// token bucket of Finagle's RetryBudget: a call deposits a part of a token, a retry withdraws a whole one, and time adds a few.
//
// Safe for concurrent use; it has no goroutine and needs no Close. The zero Budget is full, with the default options. A Budget must not be copied after its first use.
type Budget struct {
	mu     sync.Mutex
	o      BudgetOptions // with defaults after the first use
	tokens float64       // Invariant: 0 to o.Burst
	at     time.Time     // when time last added to tokens; zero before the first use
	stats  BudgetStats
}

// BudgetStats is what a Budget has done since it was made.
type BudgetStats struct {
	Tokens  float64 // retries that would be allowed now
	Calls   int64   // deposits
	Retries int64   // withdrawals, but for those that were given back
	Refused int64   // withdrawals that found no token
}

// NewBudget returns a full Budget, or what Validate says of o.
func NewBudget(o BudgetOptions) (*Budget, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	b := &Budget{o: o}
	b.pass()
	return b, nil
}

// Deposit says that a call begins, with its first attempt.
func (b *Budget) Deposit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pass()
	b.stats.Calls++
	b.add(max(b.o.Ratio, 0))
}

// Withdraw reports whether one retry may be made now, and counts it.
func (b *Budget) Withdraw() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pass()
	if b.tokens < 1 {
		b.stats.Refused++
		return false
	}
	b.tokens--
	b.stats.Retries++
	return true
}

// Stats returns the figures of this moment.
func (b *Budget) Stats() BudgetStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pass()
	s := b.stats
	s.Tokens = b.tokens
	return s
}

// refund gives back a withdrawal whose retry was not made.
func (b *Budget) refund() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stats.Retries--
	b.add(1)
}

// pass adds what the time since the last one brings, and fills the Budget at first. b.mu must be held, or b not be known to others.
func (b *Budget) pass() {
	now := time.Now()
	if b.at.IsZero() {
		b.o = b.o.WithDefaults()
		b.tokens, b.at = float64(b.o.Burst), now
	}
	b.add(now.Sub(b.at).Seconds() * max(b.o.PerSecond, 0))
	b.at = now
}

func (b *Budget) add(tokens float64) { b.tokens = min(b.tokens+tokens, float64(b.o.Burst)) }
