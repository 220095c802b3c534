package breaker

import (
	"errors"
	"fmt"
	"time"
)

// State is what a Breaker does with calls.
type State uint8

// The states of a Breaker.
const (
	Closed   State = iota // lets them through
	Open                  // refuses them
	HalfOpen              // lets a few through at a time, as probes
)

// String returns the name of the constant.
func (s State) String() string {
	switch s {
	case Closed:
		return "Closed"
	case Open:
		return "Open"
	case HalfOpen:
		return "HalfOpen"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Change is a change of state.
type Change struct {
	Name     string // Options.Name
	From, To State
	// Counts are those of the window, or of the probes, that led to it.
	Counts Counts
	// OpenFor is how long it refuses calls, if To is Open.
	OpenFor time.Duration
	// Skipped is how many changes before it, since the last that was told, came while OnChange was running. From is then the state before these.
	Skipped int
}

// Counts are calls by how they ended. Ignored calls are in none of them.
type Counts struct {
	Calls  int64 // that succeeded or failed
	Failed int64
	Slow   int64 // took SlowAfter or longer, however they ended
}

// Stats is a Breaker at one moment.
type Stats struct {
	State    State
	Counts   Counts        // in the window while Closed, of the probes while HalfOpen, else zero
	InARow   int           // failures since the last success, while Closed
	Probing  int           // probes that have not ended
	OpenLeft time.Duration // until the next call may be a probe, while Open; 0 when it may
	Refused  int64         // calls, since the Breaker was made
	Opened   int64         // how often it opened since it was made
}

// ErrOpen is what an *OpenError is.
var ErrOpen = errors.New("breaker: open")

// OpenError is returned for a call that was refused. Nothing was called. errors.Is finds ErrOpen in it.
type OpenError struct {
	Name  string // Options.Name
	State State  // Open, or HalfOpen when there were as many probes as may be
	Left  time.Duration
}

func (e *OpenError) Error() string {
	name := ""
	if e.Name != "" {
		name = " of " + e.Name
	}
	if e.State == HalfOpen {
		return fmt.Sprintf("breaker%s is half-open, and its probes are on the way: try later", name)
	}
	return fmt.Sprintf("breaker%s is open for another %v: try then", name, e.Left)
}

// Unwrap returns ErrOpen.
func (e *OpenError) Unwrap() error { return ErrOpen }

// RetryAfter is how long the Breaker stays open; 0 while it is half-open. Policies of package retry wait for it.
func (e *OpenError) RetryAfter() time.Duration { return e.Left }
