package lanes

// Turns is the partitions that a receiver, or several, take from in turn. The zero value is ready, and belongs to none.
type Turns[T any] struct {
	first, last *Partition[T] // those with ready lanes
	lanes       int           // that are ready
	run         Count         // items in them
}

// Lanes counts the lanes that could be taken from now.
func (t *Turns[T]) Lanes() int { return t.lanes }

// Run counts the items of lanes that could be taken from now.
func (t *Turns[T]) Run() Count { return t.run }

// NextSize returns the size of the item that Take would take first. There must be one.
func (t *Turns[T]) NextSize() int { return t.first.first.first.Size }

// Take appends to dst items that follow each other in one lane: the first of the next ready lane of the partition whose turn it is, and
// then as many as are due, in all at most max and, but for the first, maxBytes.
func (t *Turns[T]) Take(dst []*Item[T], max, maxBytes int) []*Item[T] {
	p := t.first
	if p == nil {
		return dst
	}
	l := p.popReady()
	if p.ready > 0 && t.first != t.last {
		t.unlink(p)
		t.link(p)
	}
	for n := 0; n < max && l.first != nil; n++ {
		it := l.first
		if n > 0 && (it.Due > 0 || it.Size > maxBytes) {
			break
		}
		maxBytes -= it.Size
		l.pop()
		l.out++
		p.out++
		dst = append(dst, it)
	}
	return dst
}

// insert adds a partition that has ready lanes.
func (t *Turns[T]) insert(p *Partition[T]) {
	t.link(p)
	t.lanes += p.ready
	t.run.add(p.run.Items, p.run.Bytes)
}

// remove takes away a partition that has ready lanes.
func (t *Turns[T]) remove(p *Partition[T]) {
	t.unlink(p)
	t.lanes -= p.ready
	t.run.add(-p.run.Items, -p.run.Bytes)
}

func (t *Turns[T]) link(p *Partition[T]) {
	p.prev, p.next = t.last, nil
	if t.last == nil {
		t.first = p
	} else {
		t.last.next = p
	}
	t.last = p
}

func (t *Turns[T]) unlink(p *Partition[T]) {
	if p.prev == nil {
		t.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		t.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
}
