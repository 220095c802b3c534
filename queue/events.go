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
	// Missed: messages that a group had not done were removed, as the topic's Retention asks for, or are lost. The group goes on behind
	// them. It is told before those are handed out, and may be told again after a crash.
	Missed func(MissedEvent)
	// Damaged: a partition cannot be read on, and the group gets no more of it. The others go on; if none is left, the Consume ends with
	// the cause.
	Damaged func(DamagedEvent)
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

// MissedEvent tells of messages that a group never got.
type MissedEvent struct {
	Group, Topic string
	Partition    int
	Records      int64    // how many, counted one by one; those that were done before are not
	From, To     Position // between From and, not included, To
}

// DamagedEvent tells of a partition that cannot be read.
type DamagedEvent struct {
	PartitionEvent
	Err error // what is damaged, and what to do
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
	if e.Missed == nil {
		e.Missed = func(MissedEvent) {}
	}
	if e.Damaged == nil {
		e.Damaged = func(DamagedEvent) {}
	}
	if e.Stopped == nil {
		e.Stopped = func(error) {}
	}
	return e
}
