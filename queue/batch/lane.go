package batch

import (
	"container/heap"
	"slices"
	"time"
)

// item is one T on its way.
type item[T any] struct {
	v        T
	size     int
	lane     *lane[T]
	flight   *flight
	number   int64 // in the order of arrival
	arrived  time.Time
	attempts int           // that began
	began    time.Time     // the first of them
	previous time.Duration // the delay before the last of them
	seed     uint64        // of the jitter; 0: not drawn yet
	running  bool
	err      error         // of the last attempt; when it is settled, the result
	done     chan struct{} // closed when it is settled; nil: it came by Add
	left     bool          // whoever waited for it does not any more
}

// place is where a lane stands.
type place uint8

const (
	nowhere place = iota // it is empty
	working              // a batch has items of it
	ready                // in Processor.ready
	parked               // in Processor.parked
)

// lane is items that are worked on one after the other: those of one key, or one item that is tried again where there are no keys. The lane
// of items without keys, Processor.free, only keeps them in the order in which they came.
type lane[T any] struct {
	key   string
	named bool // it is in Processor.lanes
	items []*item[T]
	bytes int
	place place
	index int       // in the heap of its place
	due   time.Time // of a parked one
}

// put adds what came to the end.
func (l *lane[T]) put(it *item[T]) {
	it.lane = l
	l.items = append(l.items, it)
	l.bytes += it.size
}

// putBack adds what was taken and comes again to the front.
func (l *lane[T]) putBack(items []*item[T]) {
	for _, it := range items {
		l.bytes += it.size
	}
	l.items = slices.Concat(items, l.items)
}

// takeFirst removes the first n.
func (l *lane[T]) takeFirst(n int) {
	for _, it := range l.items[:n] {
		l.bytes -= it.size
	}
	clear(l.items[:n])
	if l.items = l.items[n:]; len(l.items) == 0 {
		l.items = nil // else the array grows without an end
	}
}

// lanes is a heap, by arrival of the first items, or by due times.
type lanes[T any] struct {
	of    []*lane[T]
	byDue bool
}

func (h *lanes[T]) Len() int { return len(h.of) }

func (h *lanes[T]) Less(i, j int) bool {
	a, b := h.of[i], h.of[j]
	if h.byDue {
		return a.due.Before(b.due)
	}
	return a.items[0].number < b.items[0].number
}

func (h *lanes[T]) Swap(i, j int) {
	h.of[i], h.of[j] = h.of[j], h.of[i]
	h.of[i].index, h.of[j].index = i, j
}

// Push is for package heap.
func (h *lanes[T]) Push(x any) {
	l := x.(*lane[T])
	l.index = len(h.of)
	h.of = append(h.of, l)
}

// Pop is for package heap.
func (h *lanes[T]) Pop() any {
	last := len(h.of) - 1
	l := h.of[last]
	h.of[last] = nil
	h.of = h.of[:last]
	return l
}

// move takes l from where it stands to another place. mu is held.
func (p *Processor[T]) move(l *lane[T], to place) {
	switch l.place {
	case ready:
		heap.Remove(&p.ready, l.index)
		p.readyItems -= len(l.items)
		p.readyBytes -= l.bytes
	case parked:
		heap.Remove(&p.parked, l.index)
	}
	switch l.place = to; to {
	case ready:
		heap.Push(&p.ready, l)
		p.readyItems += len(l.items)
		p.readyBytes += l.bytes
	case parked:
		heap.Push(&p.parked, l)
	}
}

// laneOf returns the lane of what comes new. mu is held.
func (p *Processor[T]) laneOf(key string) *lane[T] {
	if p.c.Key == nil {
		return p.free
	}
	l := p.lanes[key]
	if l == nil {
		l = &lane[T]{key: key, named: true}
		p.lanes[key] = l
	}
	return l
}

// rest puts a lane that is not worked on any more where it belongs, or forgets it. mu is held.
func (p *Processor[T]) rest(l *lane[T]) {
	switch {
	case len(l.items) > 0:
		p.move(l, ready)
	default:
		p.move(l, nowhere)
		if l.named {
			delete(p.lanes, l.key)
		}
	}
}
