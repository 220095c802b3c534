package lanes

// ranked is what a heap orders.
type ranked[E any] interface {
	before(E) bool
	moved(to int) // where in the heap it is now
}

// heap is a binary heap, the first of all on top.
type heap[E ranked[E]] []E

func (h *heap[E]) push(e E) {
	*h = append(*h, e)
	e.moved(len(*h) - 1)
	h.up(len(*h) - 1)
}

// remove takes away the one at i.
func (h *heap[E]) remove(i int) E {
	var none E
	last := len(*h) - 1
	h.swap(i, last)
	e := (*h)[last]
	(*h)[last] = none
	*h = (*h)[:last]
	if i < last {
		h.down(i)
		h.up(i)
	}
	return e
}

func (h heap[E]) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].moved(i)
	h[j].moved(j)
}

func (h heap[E]) up(i int) {
	for i > 0 && h[i].before(h[(i-1)/2]) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (h heap[E]) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1].before(h[child]) {
			child++
		}
		if !h[child].before(h[i]) {
			return
		}
		h.swap(i, child)
		i = child
	}
}
