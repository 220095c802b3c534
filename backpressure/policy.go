package backpressure

import (
	"errors"
	"fmt"
)

// Policy says what becomes of what finds no room. It is for the owner of a queue: [Gate] and [Controller] can wait and refuse, and leave it to their caller which; what is
// dropped only the owner can drop.
type Policy uint8

// The policies.
const (
	Block      Policy = iota // wait until there is room, as long as the caller's context lasts
	Reject                   // refuse at once, with ErrFull
	DropOldest               // drop the oldest of what is held, for what is new
	DropNew                  // drop what is new, and say so
)

// String returns the name of the constant.
func (p Policy) String() string {
	names := [...]string{"Block", "Reject", "DropOldest", "DropNew"}
	if int(p) < len(names) {
		return names[p]
	}
	return fmt.Sprintf("Policy(%d)", uint8(p))
}

// The errors that calls wrap; test for them with errors.Is.
var (
	// ErrFull: there was no room, or no time to wait for it. Nothing is held: try again later.
	ErrFull = errors.New("backpressure: full")
	// ErrRateLimited: it came too fast, or there was no time to wait. Every error that is ErrRateLimited is ErrFull too. Nothing is held, and no token is spent: try again later.
	ErrRateLimited = errors.New("backpressure: more than the rate allows")
	// ErrWeight: a weight that can never pass, since it is negative or more than the bound. Split it, or raise the bound.
	ErrWeight = errors.New("backpressure: a weight that can never pass")
	// ErrOption: a bound, rate or mark that cannot be; the text says which, and what would be right.
	ErrOption = errors.New("backpressure: option")
)

// limited is ErrRateLimited, and ErrFull with it. It takes no memory.
type limited struct{}

func (limited) Error() string   { return ErrRateLimited.Error() }
func (limited) Unwrap() []error { return []error{ErrRateLimited, ErrFull} }

// ended is the error of a wait that ended with its context: cause is the context's error, and found what it waited for.
func ended(found, cause error) error { return fmt.Errorf("%w: %w", found, cause) }
