package lanes

// lane is a queue of items. Invariant: it is in its partition's ready list if ready, in the Set's heap if waitsAt > 0, and in neither while
// any of its items is out. A lane without items, queued or out, is given up.
type lane[T any] struct {
	partition   *Partition[T]
	key         uint64
	keyed       bool     // it stands in partition.lanes under key
	first, last *Item[T] // queued
	items       int      // how many
	bytes       int
	out         int // items handed out
	ready       bool
	next        *lane[T] // in the ready list, or in the Set's free list
	waitsAt     int      // index in the Set's heap plus one
}

// add puts an item at the end.
func (l *lane[T]) add(it *Item[T]) {
	it.lane = l
	if l.last == nil {
		l.first = it
	} else {
		l.last.next = it
	}
	l.last = it
	l.count(1, it.Size)
	if l.items == 1 {
		l.settle()
	}
}

// insert puts an item back where its Seq belongs, which is before all that were never out.
func (l *lane[T]) insert(it *Item[T]) {
	at := &l.first
	for *at != nil && (*at).Seq < it.Seq {
		at = &(*at).next
	}
	it.next = *at
	*at = it
	if it.next == nil {
		l.last = it
	}
	l.count(1, it.Size)
}

// pop takes the first item away.
func (l *lane[T]) pop() *Item[T] {
	it := l.first
	l.first = it.next
	if l.first == nil {
		l.last = nil
	}
	it.next = nil
	l.count(-1, -it.Size)
	return it
}

func (l *lane[T]) count(items, bytes int) {
	l.items += items
	l.bytes += bytes
	l.partition.queued.add(items, bytes)
	l.partition.set.queued.add(items, bytes)
	if l.ready {
		l.partition.readyChanged(0, items, bytes)
	}
}

// settle finds the lane its place after its first item or the number of those out changed.
func (l *lane[T]) settle() {
	switch {
	case l.out > 0:
	case l.first == nil:
		l.giveUp()
	case l.first.Due > 0:
		l.partition.set.waiting.push(l)
	default:
		l.partition.pushReady(l)
	}
}

func (l *lane[T]) clear() {
	for l.first != nil {
		l.partition.set.free(l.pop())
	}
	l.giveUp()
}

func (l *lane[T]) giveUp() {
	if l.keyed {
		delete(l.partition.lanes, l.key)
	}
	l.partition.set.freeLane(l)
}
