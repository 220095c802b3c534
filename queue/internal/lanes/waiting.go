package lanes

// waiting is a heap of lanes, the one whose first item is due next on top.
type waiting[T any] []*lane[T]

func (w *waiting[T]) push(l *lane[T]) {
	*w = append(*w, l)
	l.waitsAt = len(*w)
	w.up(len(*w) - 1)
}

func (w *waiting[T]) remove(l *lane[T]) {
	i, last := l.waitsAt-1, len(*w)-1
	w.swap(i, last)
	(*w)[last] = nil
	*w = (*w)[:last]
	l.waitsAt = 0
	if i < last {
		w.down(i)
		w.up(i)
	}
}

// takeAll removes and returns the lanes of p.
func (w *waiting[T]) takeAll(p *Partition[T]) []*lane[T] {
	var taken []*lane[T]
	for _, l := range *w {
		if l.partition == p {
			taken = append(taken, l)
		}
	}
	for _, l := range taken {
		w.remove(l)
	}
	return taken
}

func (w waiting[T]) less(i, j int) bool { return w[i].first.Due < w[j].first.Due }

func (w waiting[T]) swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].waitsAt, w[j].waitsAt = i+1, j+1
}

func (w waiting[T]) up(i int) {
	for i > 0 && w.less(i, (i-1)/2) {
		w.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (w waiting[T]) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(w) {
			return
		}
		if child+1 < len(w) && w.less(child+1, child) {
			child++
		}
		if !w.less(child, i) {
			return
		}
		w.swap(i, child)
		i = child
	}
}
