package retry

import (
	"fmt"
	"math"
	"time"
)

// What the zero fields of a Policy mean.
const (
	DefaultFirst       = 100 * time.Millisecond
	DefaultMax         = time.Minute
	DefaultFactor      = 2
	DefaultMaxAttempts = 8
	DefaultMaxAfter    = time.Hour
)

// decorrelatedFactor is what Factor means by 0 with DecorrelatedJitter.
const decorrelatedFactor = 3

// Policy says whether and when a failed attempt is followed by another. It is a value without state: copy it, share it, ask it from any
// goroutine. The zero Policy waits 100 ms doubling to a minute, with full jitter, and gives up after 8 attempts.
type Policy struct {
	// First is what the first delay grows from. 0: 100 ms, or Max if that is less.
	First time.Duration
	// Max is what no delay passes, jitter included. 0: a minute, or First if that is more.
	Max time.Duration
	// Factor is by how much the delay grows from one attempt to the next, 1 or more. 0: 2, and 3 with DecorrelatedJitter.
	Factor float64
	// List has the delays instead: one for each failed attempt, the last one for all that follow. First, Max and Factor must be zero then. It
	// must not be changed while the policy is used.
	List []time.Duration
	// Jitter spreads the delays. The zero value is FullJitter.
	Jitter Jitter
	// MaxAttempts bounds the attempts, the first one included. 0: 8; negative: no bound.
	MaxAttempts int
	// MaxElapsed bounds the time from the start of the first attempt to the start of the last one. 0: no bound.
	MaxElapsed time.Duration
	// MaxAfter bounds what an error may ask for (After). 0: an hour.
	MaxAfter time.Duration
	// Classify tells errors apart. nil: the function Classify, which one of your own may call for what it does not know. It must be pure, may
	// be called by many goroutines, and is called for errors only, never for nil.
	Classify func(error) (Class, time.Duration)
}

// Exponential returns a policy whose delays double from first to max, with full jitter, up to 8 attempts.
func Exponential(first, max time.Duration) Policy { return Policy{First: first, Max: max} }

// Constant returns a policy that always waits d, without jitter, up to 8 attempts.
func Constant(d time.Duration) Policy { return Listed(d) }

// Listed returns a policy that waits as listed, then always as the last says, without jitter, up to 8 attempts. No delays at all is no
// policy: Validate refuses it.
func Listed(delays ...time.Duration) Policy {
	if delays == nil {
		delays = []time.Duration{}
	}
	return Policy{List: delays, Jitter: NoJitter}
}

// WithDefaults returns p with its zero fields filled in: what it does in effect. A policy that Validate refuses is mended as if the fields at fault were
// zero, so that no delay is negative or endless.
func (p Policy) WithDefaults() Policy {
	p.fill()
	return p
}

func (p *Policy) fill() {
	if p.List == nil {
		p.fillGrowth()
	}
	if p.MaxAttempts == 0 {
		p.MaxAttempts = DefaultMaxAttempts
	}
	if p.MaxAfter <= 0 {
		p.MaxAfter = DefaultMaxAfter
	}
}

// fillGrowth makes 0 < First <= Max and 1 <= Factor.
func (p *Policy) fillGrowth() {
	if p.Max <= 0 {
		p.Max = max(DefaultMax, p.First)
	}
	if p.First <= 0 {
		p.First = DefaultFirst
	}
	p.First = min(p.First, p.Max)
	if !(p.Factor >= 1) { // NaN too
		p.Factor = DefaultFactor
		if p.Jitter == DecorrelatedJitter {
			p.Factor = decorrelatedFactor
		}
	}
}

// Validate returns nil, or a *FieldError for each field that breaks a rule, joined.
func (p Policy) Validate() error {
	f := faults{of: "retry.Policy"}
	if p.List != nil {
		p.checkList(&f)
	} else {
		p.checkGrowth(&f)
	}
	f.check(p.Jitter.known(), "Jitter", p.Jitter, "must be one of the constants")
	f.check(p.MaxElapsed >= 0, "MaxElapsed", p.MaxElapsed, "must not be negative; 0 is no bound")
	f.check(p.MaxAfter >= 0, "MaxAfter", p.MaxAfter, "must not be negative; 0 is an hour")
	return f.err()
}

func (p Policy) checkGrowth(f *faults) {
	f.check(p.First >= 0, "First", p.First, "must not be negative; to try again at once, list a delay of 0")
	f.check(p.Max >= 0, "Max", p.Max, "must not be negative")
	f.check(p.Max <= 0 || p.First <= p.Max, "First", p.First, fmt.Sprintf("must not pass Max, which is %v", p.Max))
	f.check(p.Factor == 0 || p.Factor >= 1 && !math.IsInf(p.Factor, 1), "Factor", p.Factor, "must be 1 or more, and finite; 0 is the default")
}

func (p Policy) checkList(f *faults) {
	f.check(len(p.List) > 0, "List", p.List, "must have a delay")
	for i, d := range p.List {
		f.check(d >= 0, fmt.Sprintf("List[%d]", i), d, "must not be negative")
	}
	f.check(p.First == 0, "First", p.First, "must be 0 with a List")
	f.check(p.Max == 0, "Max", p.Max, "must be 0 with a List")
	f.check(p.Factor == 0, "Factor", p.Factor, "must be 0 with a List")
	f.check(p.Jitter != DecorrelatedJitter, "Jitter", p.Jitter, "has nothing to grow from in a List")
}
