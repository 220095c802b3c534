package queue

import "time"

// Events are told what happens, each function in the goroutine that it happens in. No lock is held, so they may call
// the broker (but not wait for what that goroutine does); they must not block, and a panic in one is not recovered.
// Functions may be nil and may be called at the same time.
type Events struct {
	// Assigned and Revoked: a running Consume got or lost a partition.
	Assigned, Revoked func(PartitionEvent)
	// Failed: an attempt failed and the message comes again. What our own stop cancelled is not told. It runs in the
	// worker, before the message is given back, or in who calls Lease.Nack, after that.
	Failed func(FailedEvent)
	// Slow: a handler has run for a minute, or thirty seconds more, and again each time that has doubled; or it has not returned though the
	// time of its Group.HandlerTimeout was over, and its messages were given to others. In which goroutine is not said.
	Slow func(SlowEvent)
	// DeadLettered: a message is not tried again, and was moved to a topic for dead letters. Discarded: the same, and it was dropped, as Failure.Exhausted
	// says. They run behind the step that they tell of, where Failed runs.
	DeadLettered func(DeadLetteredEvent)
	Discarded    func(DiscardedEvent)
	// LeaseExpired: a Lease was neither settled nor extended in time. The attempt has failed, and the message comes again at once.
	LeaseExpired func(LeaseExpiredEvent)
	// Expired: a message was past its Expires when a group was to get it, or when it became due, and is done without having been handed out. It runs in who would have
	// got it, or in the engine.
	Expired func(ExpiredEvent)
	// Missed: messages that a group had not done were removed, as the topic's Retention asks for, or are lost. The group goes on behind
	// them. It is told before those are handed out, and may be told again after a crash.
	Missed func(MissedEvent)
	// Damaged: a partition cannot be read on. The group still gets what was read of it before, and no more until the damage is mended or given up. The others go on; if none is left, and nothing of
	// what was read, the Consume ends with the cause.
	Damaged func(DamagedEvent)
	// Backlog: what the groups of a topic with a Limit are behind reached four fifths of it, in messages or in bytes, or has fallen to two fifths again in both. It is told in turn, high and low, in
	// a goroutine of the engine; what was over before it could be told is not.
	Backlog func(BacklogEvent)
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

// SlowEvent tells of a handler that takes long.
type SlowEvent struct {
	Group    string
	Position Position      // of the first message that it works on
	Attempt  int           // of that
	Messages int           // that it works on
	Running  time.Duration // for how long, at least
	Stack    []byte        // of its goroutine; nil if there were too many to look for it

	// Abandoned: it is waited for no longer. Its attempt has failed, the messages come again, to this worker's replacement or others, and
	// while it still runs two may work on a message, or a key, at a time.
	Abandoned bool
}

// DeadLetteredEvent tells of a message that was moved to the dead letters.
type DeadLetteredEvent struct {
	Group    string
	Position Position // where it failed
	Topic    string   // of its letter
	Attempts int
	Err      error // of the last
}

// DiscardedEvent tells of a message that was dropped.
type DiscardedEvent struct {
	Group    string
	Position Position
	Attempts int
	Err      error // of the last
}

// LeaseExpiredEvent tells of a Lease that was not settled in time.
type LeaseExpiredEvent struct {
	Group    string
	Position Position
	Attempt  int // the one that failed by it
}

// ExpiredEvent tells of a message that nobody gets any more.
type ExpiredEvent struct {
	Topic    string
	Group    string    // that would have got it; "": it was delayed, and never was in its topic
	Position Position  // then the zero Position
	Expires  time.Time // of the message
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

// BacklogEvent tells that the backlog of a topic became large, or small again.
type BacklogEvent struct {
	Topic           string
	High            bool
	Messages, Bytes int64 // when that was so
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
	if e.Slow == nil {
		e.Slow = func(SlowEvent) {}
	}
	if e.DeadLettered == nil {
		e.DeadLettered = func(DeadLetteredEvent) {}
	}
	if e.Discarded == nil {
		e.Discarded = func(DiscardedEvent) {}
	}
	if e.LeaseExpired == nil {
		e.LeaseExpired = func(LeaseExpiredEvent) {}
	}
	if e.Expired == nil {
		e.Expired = func(ExpiredEvent) {}
	}
	if e.Missed == nil {
		e.Missed = func(MissedEvent) {}
	}
	if e.Damaged == nil {
		e.Damaged = func(DamagedEvent) {}
	}
	if e.Backlog == nil {
		e.Backlog = func(BacklogEvent) {}
	}
	if e.Stopped == nil {
		e.Stopped = func(error) {}
	}
	return e
}
