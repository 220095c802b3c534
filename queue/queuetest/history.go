package queuetest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/leatmq/leat/queue"
)

// history is what clients saw of a topic in a run: what became of each publish, what stood at which position, and in what order a
// reader without a group saw it. Every value is published once.
type history struct {
	mu        sync.Mutex
	outcomes  map[string]outcome        // by value
	at        map[string]queue.Position // of acknowledged values
	values    map[queue.Position]string // whoever saw it
	read      []queue.Position          // by the reader that follows
	last      map[int]queue.Position    // of read, by partition
	conflicts []string
}

// outcome is what became of a publish.
type outcome uint8

const (
	unknown  outcome = iota // never published
	acked                   // it is there
	rejected                // it is not there, and never will be
	maybe                   // it is there at most once
)

func newHistory() *history {
	return &history{
		outcomes: map[string]outcome{}, at: map[string]queue.Position{}, values: map[queue.Position]string{}, last: map[int]queue.Position{},
	}
}

// published notes the end of a publish.
func (h *history) published(value string, o outcome, at queue.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.outcomes[value] = o
	if o == acked {
		h.at[value] = at
		h.see(at, value, "a receipt")
	}
}

// saw notes that who found value at a position.
func (h *history) saw(at queue.Position, value []byte, who string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.see(at, string(value), who)
}

func (h *history) see(at queue.Position, value, who string) {
	if before, ok := h.values[at]; ok && before != value {
		h.conflicts = append(h.conflicts, fmt.Sprintf("%s holds %q for %s, and held %q", at, value, who, before))
	}
	h.values[at] = value
}

// followed notes what the reader that follows got next.
func (h *history) followed(r *queue.Record) {
	h.saw(r.Position, r.Value, "the reader")
	h.mu.Lock()
	defer h.mu.Unlock()
	n := r.Position.Partition()
	if h.last[n].Covers(r.Position) {
		h.conflicts = append(h.conflicts, fmt.Sprintf("the reader went back from %s to %s", h.last[n], r.Position))
	}
	h.last[n] = r.Position
	h.read = append(h.read, r.Position)
}

// behind is where the reader goes on.
func (h *history) behind() queue.Start {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ps []queue.Position
	for _, p := range h.last {
		ps = append(ps, p)
	}
	return queue.After(ps...)
}

// count returns how many publishes had that outcome.
func (h *history) count(o outcome) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.outcomes {
		if x == o {
			n++
		}
	}
	return n
}

// check holds the history against what the topic has at the end, in order within each partition. It returns what is wrong. The numbers
// are those of the list of history checkers.
func (h *history) check(stored []*queue.Record) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var wrong []string
	report := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	seen := map[string]queue.Position{}
	last := map[string]int{} // of a producer in a partition
	for _, r := range stored {
		value := string(r.Value)
		h.see(r.Position, value, "the end")
		switch h.outcomes[value] {
		case unknown:
			report("8: %s holds %q, which nobody published", r.Position, value)
		case rejected:
			report("2: %s holds %q, whose publish was refused", r.Position, value)
		}
		if before, twice := seen[value]; twice {
			report("3: %q, published once, is at %s and at %s", value, before, r.Position)
		}
		seen[value] = r.Position
		producer, n := origin(value)
		from := fmt.Sprintf("%s in partition %d", producer, r.Position.Partition())
		if before, ok := last[from]; ok && n <= before {
			report("7: %s: message %d comes after %d", from, n, before)
		}
		last[from] = n
	}
	for value, at := range h.at {
		if seen[value] != at {
			report("1: %q was acknowledged at %s, and is at %q", value, at, seen[value])
		}
	}
	for _, c := range h.conflicts {
		report("4, 6: %s", c)
	}
	wrong = append(wrong, h.checkReader(seen)...)
	return wrong
}

// checkReader wants the reader to have seen everything, once.
func (h *history) checkReader(stored map[string]queue.Position) []string {
	var wrong []string
	times := map[queue.Position]int{}
	for _, p := range h.read {
		times[p]++
	}
	for value, p := range stored {
		if times[p] != 1 {
			wrong = append(wrong, fmt.Sprintf("5: the reader saw %q at %s %d times", value, p, times[p]))
		}
		delete(times, p)
	}
	for p := range times {
		wrong = append(wrong, fmt.Sprintf("8: the reader saw %q at %s, where nothing is", h.values[p], p))
	}
	return wrong
}

// value makes the n-th of a producer, and origin reads it.
func value(producer, n int) []byte { return fmt.Appendf(nil, "p%d-%d", producer, n) }

func origin(value string) (producer string, n int) {
	producer, number, _ := strings.Cut(value, "-")
	if _, err := fmt.Sscan(number, &n); err != nil {
		return value, 0
	}
	return producer, n
}
