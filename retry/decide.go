package retry

import (
	"fmt"
	"time"
)

// Attempt is a failed attempt, as far as a policy needs to know it.
type Attempt struct {
	Number   int           // from 1
	Err      error         // why it failed; nil: for no known reason, and may be tried again
	Elapsed  time.Duration // from the start of the first attempt to the end of this one; for MaxElapsed
	Previous time.Duration // the delay before it; for DecorrelatedJitter, see Policy.Delay. 0: not known
	Seed     uint64        // what the jitter is drawn from; see Policy.Delay
}

// Decision is what a policy says to an attempt.
type Decision struct {
	Retry  bool
	After  time.Duration // until the next attempt, from now; 0 if there is none
	Reason Reason        // why there is none; 0 if there is one
}

// Reason says why there is no other attempt.
type Reason uint8

// The reasons to give up. The last three are not a policy's: Runner.Do has them.
const (
	PermanentFailure Reason = iota + 1 // the error says that another attempt would not help
	OutOfAttempts                      // Policy.MaxAttempts
	OutOfTime                          // Policy.MaxElapsed would be passed
	OutOfBudget                        // the Budget had nothing left
	PastDeadline                       // the deadline of the context would be passed
	Cancelled                          // the context ended
)

// String says it in words.
func (r Reason) String() string {
	switch r {
	case 0:
		return "no reason"
	case PermanentFailure:
		return "permanent failure"
	case OutOfAttempts:
		return "out of attempts"
	case OutOfTime:
		return "out of time"
	case OutOfBudget:
		return "out of budget"
	case PastDeadline:
		return "past the deadline"
	case Cancelled:
		return "cancelled"
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Decide says whether the failed attempt is followed by another, and when. It is pure: asked twice, it answers alike. An error that asks for a delay
// (After) gets that one, at most MaxAfter, without jitter, instead of the policy's.
func (p Policy) Decide(a Attempt) Decision {
	p.fill()
	class, after := p.classify(a.Err)
	number := max(a.Number, 1)
	switch {
	case class == ClassPermanent:
		return Decision{Reason: PermanentFailure}
	case p.MaxAttempts > 0 && number >= p.MaxAttempts:
		return Decision{Reason: OutOfAttempts}
	case after > 0:
		after = min(after, p.MaxAfter)
	default:
		after = p.delay(number, a.Previous, a.Seed)
	}
	if p.MaxElapsed > 0 && max(a.Elapsed, 0) > p.MaxElapsed-after {
		return Decision{Reason: OutOfTime}
	}
	return Decision{Retry: true, After: after}
}

func (p *Policy) classify(err error) (Class, time.Duration) {
	switch {
	case err == nil:
		return ClassTransient, 0
	case p.Classify != nil:
		return p.Classify(err)
	}
	return Classify(err)
}
