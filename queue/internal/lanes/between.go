package lanes

// between is what came back to a lane, neither to its front nor to its end: a list would have to be walked through to where it belongs, by each of thousands that stood aside.
type between[T any] struct{ heap[*Item[T]] }

// merge returns what is first of the queue that begins with rest, which is in order, and of what is between, which is not empty.
func (b *between[T]) merge(rest *Item[T]) *Item[T] {
	if rest != nil && rest.before(b.heap[0]) {
		return rest
	}
	it := b.remove(0)
	it.next = rest
	return it
}

func (it *Item[T]) before(other *Item[T]) bool { return it.Seq < other.Seq }

func (*Item[T]) moved(int) {}
