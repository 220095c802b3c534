package storage

import (
	"fmt"
	"time"
)

// Event is something that the operator of a store may want to know as it happens. Stores call the function of their options with it, in the goroutine
// that it happens in: it must not block, and may call the store but for Close.
type Event struct {
	Kind      EventKind
	At        time.Time
	Topic     string      // of the kinds that are about one
	Partition PartitionID // the same
	Err       error       // the cause, where there is one; a *DamageError of EventDamage
	Text      string      // for people: what and how much
}

// EventKind says what happened.
type EventKind uint8

// The kinds of events.
const (
	EventStopped   EventKind = iota + 1 // a write or sync failed: nothing more is written until the store is opened again
	EventFull                           // no space on the disk: records are refused, cursors and cleanup go on
	EventRoom                           // there is space again
	EventStalled                        // a write or sync has not returned for long
	EventMoving                         // it has
	EventDamage                         // bytes that were once durable are not what was written
	EventClock                          // the wall clock was set back or ahead
	EventWorkError                      // background work failed and will be tried again: see Stats.Work
	EventFollower                       // the follower stopped, or went on: see Err
)

var eventNames = [...]string{
	EventStopped: "stopped", EventFull: "full", EventRoom: "room again", EventStalled: "stalled", EventMoving: "moving again", EventDamage: "damage",
	EventClock: "clock", EventWorkError: "background work failed", EventFollower: "follower",
}

// String is for people.
func (k EventKind) String() string {
	if int(k) < len(eventNames) && eventNames[k] != "" {
		return eventNames[k]
	}
	return fmt.Sprintf("event %d", uint8(k))
}

// String is for people and logs.
func (e Event) String() string {
	s := e.Kind.String()
	if e.Topic != "" {
		s += fmt.Sprintf(", topic %q, partition %d", e.Topic, e.Partition)
	}
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Work is how far a kind of background work has come: what an operator looks at before asking why the disk is busy.
type Work struct {
	Running   bool
	Done      int64     // bytes since the store was opened
	Backlog   int64     // bytes that are waiting for it, as far as is known
	Runs      int64     // units finished: segments rewritten, files removed, passes of a scrub
	LastError error     // of the newest failure, nil if it has been made good since
	FailedAt  time.Time // when that was
}
