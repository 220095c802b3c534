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

	first, last *lane[T] // ready lanes, first come first served
	ready       int      // how many
	run         Count    // items in them

	turns      *Turns[T]     // that hands out its items; nil: nobody does
	prev, next *Partition[T] // in turns, while there are ready lanes
}

// Add puts an item at the end of the lane of key. A nil key is the same as an empty one.
func (p *Partition[T]) Add(key []byte, it *Item[T]) {
	hash := p.set.hash(key)
	l := p.lanes[hash]
	if l == nil {
		l = p.set.lane(p)
		l.key, l.keyed = hash, true
		p.lanes[hash] = l
	}
	l.add(it)
}

// AddLone puts an item in a lane of its own.
func (p *Partition[T]) AddLone(it *Item[T]) { p.set.lane(p).add(it) }

// Queued counts the items that are not handed out.
func (p *Partition[T]) Queued() Count { return p.queued }

// Out counts the items that are handed out.
func (p *Partition[T]) Out() int { return p.out }

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
