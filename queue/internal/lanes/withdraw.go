package lanes

// What is taken out of its lane while it waits, and comes back later, stands outside of all counts meanwhile.

// Waits returns the first item of the lane of it, which is queued, if that is not due and nothing of the lane is handed out; else nil.
func (it *Item[T]) Waits() *Item[T] {
	if l := it.lane; l.waitsAt > 0 {
		return l.first
	}
	return nil
}

// Place is where an item was that was taken out of its lane.
type Place struct {
	Lane  uint64
	Named bool // else it had a lane of its own, which has no name
	Aside bool // it stood aside of the lane of that name
}

// Withdraw takes away all items of the lane of it, which Waits, in order.
func (it *Item[T]) Withdraw() (items []*Item[T], from Place) {
	l := it.lane
	from = Place{Lane: l.key, Named: l.keyed || l.aside, Aside: l.aside}
	l.partition.set.waiting.remove(l)
	for l.first != nil {
		items = append(items, l.pop())
		items[len(items)-1].lane = nil
	}
	l.giveUp()
	return items, from
}

// Key returns the name of the lane of a key. A nil key is the same as an empty one.
func (s *Set[T]) Key(key []byte) uint64 { return s.hash(key) }

// AddTo puts an item at the end of the lane of that name.
func (p *Partition[T]) AddTo(lane uint64, it *Item[T]) { p.lane(lane).add(it) }

// Insert puts an item that is due where its Seq belongs in the lane of that name, before what was never out, even if the lane waits.
func (p *Partition[T]) Insert(lane uint64, it *Item[T]) {
	home := p.lane(lane)
	if home.waitsAt > 0 {
		p.set.waiting.remove(home)
	}
	it.lane = home
	home.insert(it)
	if !home.ready {
		home.settle()
	}
}

// Waiters returns the first items of the lanes of p that wait.
func (p *Partition[T]) Waiters() []*Item[T] {
	if p.waiting == 0 {
		return nil
	}
	var items []*Item[T]
	for _, l := range p.set.waiting.heap {
		if l.partition == p {
			items = append(items, l.first)
		}
	}
	return items
}

// Free takes back an item that is in no lane. Its memory is used again.
func (s *Set[T]) Free(it *Item[T]) { s.free(it) }
