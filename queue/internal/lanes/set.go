package lanes

import (
	"hash/maphash"
	"time"
)

// maxFree bounds the items and the lanes that a Set keeps to be used again.
const maxFree = 4096

// Set is what the partitions of a group share.
type Set[T any] struct {
	seed    maphash.Seed
	waiting waiting[T]
	queued  Count // items in all lanes

	freed func(*T) // see NewSet

	items     *Item[T] // free
	lanes     *lane[T] // free
	freeItems int
	freeLanes int
}

// NewSet returns an empty Set. freed is given the value of each item that comes to its end: that is done, dropped, shed or freed.
func NewSet[T any](freed func(*T)) *Set[T] { return &Set[T]{seed: maphash.MakeSeed(), freed: freed} }

// Partition returns a partition without items, which nobody hands out.
func (s *Set[T]) Partition() *Partition[T] {
	return &Partition[T]{set: s, lanes: map[uint64]*lane[T]{}}
}

// Item returns an item to be filled in and added.
func (s *Set[T]) Item() *Item[T] {
	it := s.items
	if it == nil {
		return new(Item[T])
	}
	s.items, it.next = it.next, nil
	s.freeItems--
	return it
}

// Wake makes ready what is due at now.
func (s *Set[T]) Wake(now time.Duration) {
	for len(s.waiting.heap) > 0 && s.waiting.heap[0].first.Due <= now {
		s.waiting.heap[0].rouse()
	}
}

// NextDue returns when Wake has something to do again, and false if nothing waits.
func (s *Set[T]) NextDue() (time.Duration, bool) {
	if len(s.waiting.heap) == 0 {
		return 0, false
	}
	return s.waiting.heap[0].first.Due, true
}

// Waiting counts the lanes whose first item is not due.
func (s *Set[T]) Waiting() int { return len(s.waiting.heap) }

// Queued counts the items of all partitions that are not handed out.
func (s *Set[T]) Queued() Count { return s.queued }

// hash stands for a key: two keys that share it, which is as good as impossible, only wait for each other without need.
func (s *Set[T]) hash(key []byte) uint64 { return maphash.Bytes(s.seed, key) }

func (s *Set[T]) free(it *Item[T]) {
	s.freed(&it.Value)
	*it = Item[T]{}
	if s.freeItems < maxFree {
		s.freeItems++
		it.next, s.items = s.items, it
	}
}

func (s *Set[T]) lane(p *Partition[T]) *lane[T] {
	l := s.lanes
	if l == nil {
		return &lane[T]{partition: p}
	}
	s.lanes = l.next
	s.freeLanes--
	*l = lane[T]{partition: p}
	return l
}

func (s *Set[T]) freeLane(l *lane[T]) {
	*l = lane[T]{}
	if s.freeLanes < maxFree {
		s.freeLanes++
		l.next, s.lanes = s.lanes, l
	}
}
