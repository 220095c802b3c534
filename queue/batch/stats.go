package batch

import "time"

// Stats counts what a Processor has done since it was made, and what it holds.
type Stats struct {
	Added     int64 // items
	Done      int64 // items that succeeded
	Failed    int64 // items that failed for good
	Cancelled int64 // items whose Do gave them up while they waited
	Retried   int64 // attempts that were followed by another

	Batches                          int64 // calls of the Func that began
	BySize, ByBytes, ByTime, ByHurry int64 // those of them that went since they were full, had waited, or were flushed or closed
	Items                            int64 // that were given to the Func; by Batches, the mean size of a batch

	Held    int           // items that are not settled
	Running int           // calls of the Func
	Waited  time.Duration // sum over items, from when they were added to their first attempt
	Busy    time.Duration // sum over the calls that returned
	Longest time.Duration // of those
}

// Stats returns the figures as they are now.
func (p *Processor[T]) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Held = p.held
	return s
}

func (s *Stats) began(why trigger, items int) {
	s.Batches++
	s.Running++
	s.Items += int64(items)
	switch why {
	case bySize:
		s.BySize++
	case byBytes:
		s.ByBytes++
	case byTime:
		s.ByTime++
	case byFlush:
		s.ByHurry++
	}
}

func (s *Stats) ended(took time.Duration) {
	s.Running--
	s.Busy += took
	s.Longest = max(s.Longest, took)
}
