package lanes

// Count is a number of items and their bytes.
type Count struct{ Items, Bytes int }

func (c *Count) add(items, bytes int) {
	c.Items += items
	c.Bytes += bytes
}

// Partition is the lanes of a partition. It comes from [Set.Partition].
type Partition[T any] struct {
	set    *Set[T]
	lanes  map[uint64]*lane[T] // by key
	queued Count               // items in all lanes
	out    int                 // items handed out

	waiting int // lanes whose first item is not due

	first, last *lane[T] // ready lanes, first come first served
	ready       int      // how many
	run         Count    // items in them

	turns      *Turns[T]     // that hands out its items; nil: nobody does
	prev, next *Partition[T] // in turns, while there are ready lanes
}

// Add puts an item at the end of the lane of key. A nil key is the same as an empty one.
func (p *Partition[T]) Add(key []byte, it *Item[T]) { p.lane(p.set.hash(key)).add(it) }

// AddAside adds an item that comes to the front of the lane of key when it is due, see [Item.Aside].
func (p *Partition[T]) AddAside(key []byte, it *Item[T]) {
	if it.Due <= 0 {
		p.Add(key, it)
		return
	}
	p.addAside(p.set.hash(key), it)
}

// lane finds or makes the lane of a key.
func (p *Partition[T]) lane(hash uint64) *lane[T] {
	l := p.lanes[hash]
	if l == nil {
		l = p.set.lane(p)
		l.key, l.keyed = hash, true
		p.lanes[hash] = l
	}
	return l
}

// addAside has an item that is not due wait in a lane of its own.
func (p *Partition[T]) addAside(hash uint64, it *Item[T]) {
	l := p.set.lane(p)
	l.key, l.aside = hash, true
	l.add(it)
}

// AddLone puts an item in a lane of its own.
func (p *Partition[T]) AddLone(it *Item[T]) { p.set.lane(p).add(it) }

// Queued counts the items that are not handed out.
func (p *Partition[T]) Queued() Count { return p.queued }

// Out counts the items that are handed out.
func (p *Partition[T]) Out() int { return p.out }

// Ready counts the lanes of which something may be taken.
func (p *Partition[T]) Ready() int { return p.ready }

// Waiting counts the lanes whose first item is not due.
func (p *Partition[T]) Waiting() int { return p.waiting }

// Oldest returns the item of the lowest Seq that is not handed out, in lanes that do not wait; nil if there is none.
func (p *Partition[T]) Oldest() *Item[T] {
	var oldest *Item[T]
	consider := func(l *lane[T]) {
		if l.first != nil && (oldest == nil || l.first.Seq < oldest.Seq) {
			oldest = l.first
		}
	}
	for l := p.first; l != nil; l = l.next {
		consider(l)
	}
	for _, l := range p.lanes {
		if l.out > 0 {
			consider(l)
		}
	}
	return oldest
}

// Give has t hand out the partition's items from now on, and nobody else; nil: nobody at all.
func (p *Partition[T]) Give(t *Turns[T]) {
	if p.turns == t {
		return
	}
	if p.turns != nil && p.ready > 0 {
		p.turns.remove(p)
	}
	p.turns = t
	if t != nil && p.ready > 0 {
		t.insert(p)
	}
}

// Clear drops all items that are queued. None may be out.
func (p *Partition[T]) Clear() {
	for p.first != nil {
		p.popReady().clear()
	}
	for _, l := range p.set.waiting.takeAll(p) {
		l.clear()
	}
}

func (p *Partition[T]) pushReady(l *lane[T]) {
	if p.last == nil {
		p.first = l
	} else {
		p.last.next = l
	}
	p.last = l
	l.ready = true
	p.readyChanged(1, l.items, l.bytes)
}

func (p *Partition[T]) popReady() *lane[T] {
	l := p.first
	p.first = l.next
	if p.first == nil {
		p.last = nil
	}
	l.next, l.ready = nil, false
	p.readyChanged(-1, -l.items, -l.bytes)
	return l
}

// readyChanged counts lanes that became ready or ceased to be, and items that came or went in ready lanes.
func (p *Partition[T]) readyChanged(lanes, items, bytes int) {
	listed := p.ready > 0 // in turns, with these numbers
	if t := p.turns; t != nil && listed {
		t.lanes += lanes
		t.run.add(items, bytes)
	}
	p.ready += lanes
	p.run.add(items, bytes)
	switch t := p.turns; {
	case t == nil:
	case !listed:
		t.insert(p)
	case p.ready == 0:
		t.unlink(p)
	}
}

// Shed takes away an item that was never handed out, or came back and is due, and returns its value: the first of the lane that is next, or, if none is ready, the one of the lowest Seq
// behind those that are handed out. It is false if there is none.
func (p *Partition[T]) Shed() (value T, ok bool) {
	l := p.first
	if l != nil {
		p.popReady()
	} else if l = p.oldestBehind(); l == nil {
		return value, false
	}
	it := l.pop()
	value = it.Value
	p.set.free(it)
	l.settle()
	return value, true
}

// oldestBehind returns the lane that gives nothing, since items of it are out, whose first item has the lowest Seq and is due; nil if there is none.
func (p *Partition[T]) oldestBehind() (oldest *lane[T]) {
	for _, l := range p.lanes {
		if l.out > 0 && l.first != nil && l.first.Due <= 0 && (oldest == nil || l.first.Seq < oldest.first.Seq) {
			oldest = l
		}
	}
	return oldest
}
