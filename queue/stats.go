package queue

import "time"

// Stats is a snapshot, taken without stopping anything: its numbers need not be of one moment.
// Counters begin with 0 when the broker is opened. What was delayed, cancelled or rescheduled before the call is in NextDue and TopicStats.Delayed, and a delayed message
// that a handler has been given is in Published and no longer in Delayed, unless its index is in trouble or full: then they follow.
type Stats struct {
	Topics []TopicStats // sorted by name
	Groups []GroupStats // sorted by name

	NextDue time.Time // when the next delayed message is due; zero: there is none
	// Orphans counts the delayed messages, since open, that went nowhere when they became due, since their topic had been deleted.
	Orphans    int64
	DelayError string // what keeps delayed messages from their topics at present; it is tried again all the time; "": nothing

	Handlers int   // running now, those included that were given up when their HandlerTimeout was over
	Panics   int64 // of handlers, Goexit included, recovered since open
	Late     int64 // outcomes that came too late to count, since open
	// Undecoded counts the hand-overs, since open, of messages that are no values of their topic's type, and that therefore reached no handler: *DecodeError.
	Undecoded int64
}

// TopicStats counts one topic.
type TopicStats struct {
	Name           string
	Partitions     int
	Records        int64 // stored now, counted one by one
	Published      int64 // records since open
	PublishedBytes int64 // of their keys, values and headers
	Delayed        int64 // messages that are not due yet. They are not among the others, nor in the backlog of any group
	Expired        int64 // delayed messages, since open, that had expired when they became due
	ExpiredRemoved int64 // messages, since open, that were removed since they were past their Expires, whether groups had passed them or not
	Duplicates     int64 // publishes that stored nothing, since the message's ID was there, since open
	IDs            int64 // that are remembered, in memory, for that; those that have not been asked for since the open do not count

	// Of a topic with a Limit, or in a broker that has one, if it was used since the open.
	Backlog       int64 // messages that the slowest group that counts has not done, and those that are about to be stored
	BacklogBytes  int64 // of these
	Blocked       int   // publishers that wait for room now
	QueueFull     int64 // publishes, since open, that were refused for want of room, those whose wait ended included
	RateLimited   int64 // the same, since they came too fast
	DroppedNew    int64 // messages, since open, that were not stored, as Limit.WhenFull says
	DroppedOldest int64 // the same, that a group never gets for that; of several groups it is the sum
}

// GroupStats counts one group over all its members. Ready, InFlight and Waiting together are its lag, in which what was removed does not
// count.
type GroupStats struct {
	Name      string
	Members   int
	Ready     int64  // neither done, in flight nor waiting: counted one by one, never by offsets
	InFlight  int64  // given to members and not settled
	Waiting   int64  // for their next attempt
	Parked    int64  // of Ready, InFlight and Waiting, so many are parked, or were: what waits long, and what is behind it of its key
	Delivered int64  // hand-overs since open
	Done      int64  // since open
	Failed    int64  // attempts, since open
	Expired   int64  // done without having been handed out, or removed, since their time was over, since open
	Missed    int64  // removed before they were done, or lost, since open
	Idle      string // why nothing runs though something is ready; "" if that is not so
}

// Stats returns what the engine counts, if it counts anything, and what the broker counts itself.
func (b *Broker) Stats() Stats {
	var s Stats
	if e, ok := b.engine.(EngineStats); ok {
		s = e.Stats()
	}
	for i := range s.Groups {
		if g := &s.Groups[i]; g.Ready > 0 && g.Idle == "" && b.allStuck(g.Name) {
			g.Idle = stuckReason
		}
	}
	s.Handlers = b.handlers()
	s.Panics = b.panics.Load()
	s.Late = b.late.Load()
	s.Undecoded = b.undecoded.Load()
	return s
}
