package lanes

// waiting is the lanes whose first item is not due, the one that is due next on top.
type waiting[T any] struct{ heap[*lane[T]] }

func (w *waiting[T]) push(l *lane[T]) {
	l.partition.waiting++
	w.heap.push(l)
}

func (w *waiting[T]) remove(l *lane[T]) {
	w.heap.remove(l.waitsAt - 1)
	l.waitsAt = 0
	l.partition.waiting--
}

// takeAll removes and returns the lanes of p.
func (w *waiting[T]) takeAll(p *Partition[T]) []*lane[T] {
	var taken []*lane[T]
	for _, l := range w.heap {
		if l.partition == p {
			taken = append(taken, l)
		}
	}
	for _, l := range taken {
		w.remove(l)
	}
	return taken
}

// Rouse has an item be due now that Waits returned.
func (it *Item[T]) Rouse() { it.lane.rouse() }

// rouse has the first item of a lane that waits be due.
func (l *lane[T]) rouse() {
	l.partition.set.waiting.remove(l)
	l.first.Due = 0
	if l.aside {
		l.join()
		return
	}
	l.settle()
}

func (l *lane[T]) before(other *lane[T]) bool { return l.first.Due < other.first.Due }

func (l *lane[T]) moved(to int) { l.waitsAt = to + 1 }
