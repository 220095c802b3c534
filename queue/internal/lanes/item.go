package lanes

import "time"

// Item is a value in a lane. It comes from [Set.Item] and goes back to the Set with [Item.Done].
type Item[T any] struct {
	Value T
	Seq   int64         // grows along the lane
	Size  int           // bytes
	Due   time.Duration // not to be handed out before this time, on the clock of [Set.Wake]; 0: at once

	lane *lane[T]
	next *Item[T] // in the lane, or in the Set's free list
}

// Beside tells whether other is of the same lane. Both are out.
func (it *Item[T]) Beside(other *Item[T]) bool { return it.lane == other.lane }

// Done ends an item that was taken. Its memory is used again.
func (it *Item[T]) Done() {
	l := it.lane
	l.partition.set.free(it)
	l.out--
	l.partition.out--
	l.settle()
}

// Back returns an item that was taken to the front of its lane, not to be taken again before due; 0: at once.
func (it *Item[T]) Back(due time.Duration) {
	l := it.lane
	it.Due = due
	l.insert(it)
	l.out--
	l.partition.out--
	l.settle()
}

// Aside returns an item that was taken, to come back to the front of its lane at due; what is behind it in the lane may be taken
// meanwhile. 0 is Back at once.
func (it *Item[T]) Aside(due time.Duration) {
	l := it.lane
	if due <= 0 || !l.keyed {
		it.Back(due)
		return
	}
	p, key := l.partition, l.key
	l.out--
	p.out--
	l.settle()
	it.Due = due
	p.addAside(key, it)
}
