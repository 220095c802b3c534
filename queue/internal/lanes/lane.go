package lanes

// lane is a queue of items. Invariant: it is in its partition's ready list if ready, in the Set's heap if waitsAt > 0, and in neither while
// any of its items is out. A lane without items, queued or out, is given up.
type lane[T any] struct {
	partition   *Partition[T]
	key         uint64
	keyed       bool     // it stands in partition.lanes under key
	aside       bool     // it holds one item, which waits, of the lane of key
	first, last *Item[T] // queued, in order
	between     between[T]
	items       int // queued
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
	switch {
	case l.first == nil || it.Seq < l.first.Seq:
		it.next, l.first = l.first, it
		if l.last == nil {
			l.last = it
		}
	case l.last.Seq < it.Seq: // many come back in order
		l.last.next, l.last = it, it
	default:
		l.between.push(it)
	}
	l.count(1, it.Size)
}

// pop takes the first item away.
func (l *lane[T]) pop() *Item[T] {
	it := l.first
	if l.first = it.next; len(l.between.heap) > 0 {
		l.first = l.between.merge(it.next)
	}
	if l.first == nil || l.first.next == nil {
		l.last = l.first
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

// join gives the item of a lane that stood aside, which is due, back to the lane of its key.
func (l *lane[T]) join() {
	p, key := l.partition, l.key
	it := l.pop()
	l.giveUp()
	p.Insert(key, it)
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
