package queue

import "time"

// Events are told what happens, each function in the goroutine that it happens in. No lock is held, so they may call
// the broker (but not wait for what that goroutine does); they must not block, and a panic in one is not recovered.
// Functions may be nil and may be called at the same time.
type Events struct {
	// Assigned and Revoked: a running Consume got or lost a partition.
	Assigned, Revoked func(PartitionEvent)
	// Failed: an attempt failed and the message comes again. What our own stop cancelled is not told. It runs in the
	// worker, before the message is given back.
	Failed func(FailedEvent)
	// Stopped: the store stopped writing; err is ErrStopped with its cause. It is told once, and may call Close.
	Stopped func(err error)
}

// PartitionEvent names a partition of a member.
type PartitionEvent struct {
	Group, Topic string
	Partition    int
}

// FailedEvent tells of a failed attempt.
type FailedEvent struct {
	Group    string
	Position Position
	Attempt  int           // 1 for the first
	Err      error         // what the handler returned; *PanicError if it panicked
	After    time.Duration // until the next attempt
}

// filled returns e with functions that do nothing in place of nil.
func (e Events) filled() Events {
	if e.Assigned == nil {
		e.Assigned = func(PartitionEvent) {}
	}
	if e.Revoked == nil {
		e.Revoked = func(PartitionEvent) {}
	}
	if e.Failed == nil {
		e.Failed = func(FailedEvent) {}
	}
	if e.Stopped == nil {
		e.Stopped = func(error) {}
	}
	return e
}
