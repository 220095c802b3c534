package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/retry"
)

// What the zero fields of Options mean.
const (
	DefaultFailures     = 5
	DefaultMinCalls     = 20
	DefaultWindow       = 10 * time.Second
	DefaultOpenFor      = 5 * time.Second
	DefaultMaxOpenFor   = time.Minute
	DefaultProbes       = 1
	DefaultProbeTimeout = time.Minute
)

// maxCount bounds the numbers of calls in Options.
const maxCount = 1 << 30

// Options say when a Breaker opens and how it closes again. The zero Options open it after 5 failures in a row.
type Options struct {
	// Name of what is called, for errors and changes. It means nothing to the Breaker.
	Name string
	// Failures in a row open it. 0: 5; negative: however many.
	Failures int
	// FailureRatio of the calls in the window opens it, from above 0 to 1. 0: whatever their part.
	FailureRatio float64
	// SlowAfter makes a call slow that takes so long or longer; in a probe that is a failure. 0: none is slow.
	SlowAfter time.Duration
	// SlowRatio of the calls in the window opens it, from above 0 to 1. It goes with SlowAfter.
	SlowRatio float64
	// MinCalls in the window before a ratio counts. 0: 20.
	MinCalls int
	// Window is how far back the ratios look, in steps of a tenth. 0: 10 seconds; at least a microsecond.
	Window time.Duration
	// OpenFor is how long it stays open; when a probe fails, twice as long as before. 0: 5 seconds.
	OpenFor time.Duration
	// MaxOpenFor bounds the doubling. 0: a minute, or OpenFor if that is more.
	MaxOpenFor time.Duration
	// Probes is how many calls at a time go through while it is half-open. 0: 1.
	Probes int
	// Successes of probes in a row close it. 0: as many as Probes.
	Successes int
	// ProbeTimeout is when a probe that has not ended counts as failed, so that a call whose end is never told does not keep the Breaker half-open. It
	// ends nothing. 0: a minute.
	ProbeTimeout time.Duration
	// Judge says what an error means. nil: the function Judge, which one of your own may call for what it does not know. It may be called by many goroutines, not
	// for nil and not for panics.
	Judge func(error) Outcome
	// OnChange is called after each change of state, without a lock held, one call at a time and in order, in a goroutine that called the Breaker. It should return soon:
	// the call that it is part of waits for it. nil: nothing is called.
	OnChange func(Change)
}

// Outcome is how a call ended, as far as the Breaker is concerned.
type Outcome uint8

// The outcomes of calls.
const (
	Succeeded Outcome = iota // the other side answered
	Failed                   // it did not, or not well
	Ignored                  // the call tells nothing about the other side
)

// String returns the name of the constant.
func (o Outcome) String() string {
	switch o {
	case Succeeded:
		return "Succeeded"
	case Failed:
		return "Failed"
	case Ignored:
		return "Ignored"
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// Judge is how errors are taken if Options do not say: nil is Succeeded, and so is what retry.Classify calls permanent, since it took the other side to say
// so; context.Canceled is Ignored, since it was the caller who left; everything else is Failed, context.DeadlineExceeded too.
func Judge(err error) Outcome {
	if err == nil {
		return Succeeded
	}
	if errors.Is(err, context.Canceled) {
		return Ignored
	}
	if class, _ := retry.Classify(err); class == retry.ClassPermanent {
		return Succeeded
	}
	return Failed
}

// WithDefaults returns o with its zero fields filled in.
func (o Options) WithDefaults() Options {
	setDefault(&o.Failures, DefaultFailures)
	setDefault(&o.MinCalls, DefaultMinCalls)
	setDefault(&o.Window, DefaultWindow)
	setDefault(&o.OpenFor, DefaultOpenFor)
	setDefault(&o.MaxOpenFor, max(DefaultMaxOpenFor, o.OpenFor))
	setDefault(&o.Probes, DefaultProbes)
	setDefault(&o.Successes, o.Probes)
	setDefault(&o.ProbeTimeout, DefaultProbeTimeout)
	if o.Judge == nil {
		o.Judge = Judge
	}
	return o
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Validate returns nil, or a *retry.FieldError for each field that breaks a rule, joined.
func (o Options) Validate() error {
	var f faults
	f.check(o.Failures <= maxCount, "Failures", o.Failures, "must be at most 1<<30")
	f.check(isRatio(o.FailureRatio), "FailureRatio", o.FailureRatio, "must be 0 to 1")
	f.check(isRatio(o.SlowRatio), "SlowRatio", o.SlowRatio, "must be 0 to 1")
	f.check((o.SlowAfter > 0) == (o.SlowRatio > 0), "SlowAfter", o.SlowAfter, "must be positive with a SlowRatio, and 0 without")
	f.check(o.MinCalls >= 0 && o.MinCalls <= maxCount, "MinCalls", o.MinCalls, "must be 0 (for 20) to 1<<30")
	f.check(o.Window == 0 || o.Window >= time.Microsecond, "Window", o.Window, "must be 0 (for 10s), or at least 1µs")
	f.check(o.OpenFor >= 0, "OpenFor", o.OpenFor, "must not be negative; 0 is 5s")
	f.check(o.MaxOpenFor == 0 || o.MaxOpenFor >= o.OpenFor && o.MaxOpenFor > 0, "MaxOpenFor", o.MaxOpenFor, "must be 0, or at least OpenFor")
	f.check(o.Probes >= 0 && o.Probes <= maxCount, "Probes", o.Probes, "must be 0 (for 1) to 1<<30")
	f.check(o.Successes >= 0 && o.Successes <= maxCount, "Successes", o.Successes, "must be 0 (for Probes) to 1<<30")
	f.check(o.ProbeTimeout >= 0, "ProbeTimeout", o.ProbeTimeout, "must not be negative; 0 is a minute")
	return errors.Join(f...)
}

func isRatio(r float64) bool { return r >= 0 && r <= 1 }

type faults []error

func (f *faults) check(ok bool, field string, have any, rule string) {
	if !ok {
		*f = append(*f, &retry.FieldError{Of: "breaker.Options", Field: field, Have: fmt.Sprint(have), Rule: rule})
	}
}
