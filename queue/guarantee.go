package queue

import "fmt"

// Guarantee says how often a group works on a message when things go wrong.
type Guarantee uint8

// The guarantees of a group. What they promise is about what is stored in the queue: effects outside, such as a call of another service, are at least
// once with all of them but AtMostOnce, unless they join in a transaction of the application's own database, as package dedup does.
const (
	// AtLeastOnce: a message is done when its handler returned nil. After a crash those come again of which that was not durable yet.
	AtLeastOnce Guarantee = iota
	// AtMostOnce: a message is done, durably, before its handler runs. It may be lost, by a failure or a crash, and is never repeated.
	AtMostOnce
	// ExactlyOnce: what a handler publishes through its Delivery, and that the message is done, are one commit, durable before the worker goes on. A
	// handler may run again after a crash, and what it published before is not there then.
	ExactlyOnce
)

// String returns the name of the constant.
func (g Guarantee) String() string {
	switch g {
	case AtLeastOnce:
		return "AtLeastOnce"
	case AtMostOnce:
		return "AtMostOnce"
	case ExactlyOnce:
		return "ExactlyOnce"
	}
	return fmt.Sprintf("Guarantee(%d)", uint8(g))
}

// features lists what an engine must be able to for g.
func (g Guarantee) features() []Feature {
	switch g {
	case AtMostOnce:
		return []Feature{CanClaim}
	case ExactlyOnce:
		return []Feature{CanCommit}
	}
	return nil
}
