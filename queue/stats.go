package queue

// Stats is a snapshot, taken without stopping anything: its numbers need not be of one moment.
// Counters begin with 0 when the broker is opened.
type Stats struct {
	Topics []TopicStats // sorted by name
	Groups []GroupStats // sorted by name

	Handlers int   // running now
	Panics   int64 // of handlers, Goexit included, recovered since open
	Late     int64 // outcomes that came too late to count, since open
}

// TopicStats counts one topic.
type TopicStats struct {
	Name           string
	Partitions     int
	Records        int64 // stored now, counted one by one
	Published      int64 // records since open
	PublishedBytes int64 // of their keys, values and headers
}

// GroupStats counts one group over all its members. Ready, InFlight and Waiting together are its lag, in which what was removed does not
// count.
type GroupStats struct {
	Name      string
	Members   int
	Ready     int64  // neither done, in flight nor waiting: counted one by one, never by offsets
	InFlight  int64  // given to members and not settled
	Waiting   int64  // for their next attempt
	Delivered int64  // hand-overs since open
	Done      int64  // since open
	Failed    int64  // attempts, since open
	Missed    int64  // removed before they were done, or lost, since open
	Idle      string // why nothing runs though something is ready; "" if that is not so
}

// Stats returns what the engine counts, if it counts anything, and what the broker counts itself.
func (b *Broker) Stats() Stats {
	var s Stats
	if e, ok := b.engine.(EngineStats); ok {
		s = e.Stats()
	}
	s.Handlers = b.handlers()
	s.Panics = b.panics.Load()
	s.Late = b.late.Load()
	return s
}
