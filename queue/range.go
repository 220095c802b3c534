package queue

import "strconv"

// Range says what Read reads: a topic, without a group and without leaving a trace.
type Range struct {
	Topic      string
	Partitions []int // nil: all
	From       Start
	Follow     bool // go on with what is stored later, until ctx ends; false: end at what was there when Read began
	// Borrowed is for loops that keep nothing: a record and its bytes are good until the next one is asked for, and may be written over then. Without
	// it they belong to the caller, in memory that nobody reuses, which takes about twice the time. Engines may do without it.
	Borrowed bool
}

func (r Range) validate() error {
	f := faults{subject: "range of topic " + strconv.Quote(r.Topic)}
	f.name("Topic", r.Topic)
	seen := make(map[int]bool, len(r.Partitions))
	for _, p := range r.Partitions {
		f.check(p >= 0, "Partitions", p, "counted from 0")
		f.check(!seen[p], "Partitions", p, "named once")
		seen[p] = true
	}
	r.From.validate(&f, "From", map[string]bool{r.Topic: true})
	return f.err()
}
