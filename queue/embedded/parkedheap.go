package embedded

import "time"

// parkedUnits is a heap of units that wait for a time, the one that is due next on top; of several, so that they are read as they were
// written, the first that was published.
type parkedUnits []*unit

func (h parkedUnits) less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].first < h[j].first
}

func (h parkedUnits) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i+1, j+1
}

func (h *parkedUnits) add(u *unit) {
	if len(u.refs) > 0 {
		u.first = u.refs[0].origin
	} else {
		u.first = u.followers[0].Seq
	}
	*h = append(*h, u)
	u.at = len(*h)
	u.parking.waits++
	h.up(len(*h) - 1)
}

// remove takes u away, if it is there.
func (h *parkedUnits) remove(u *unit) {
	i, last := u.at-1, len(*h)-1
	if i < 0 {
		return
	}
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	u.at = 0
	u.parking.waits--
	if i < last {
		h.down(i)
		h.up(i)
	}
}

// wake has those go on that are due.
func (h *parkedUnits) wake(now time.Duration) {
	for len(*h) > 0 && (*h)[0].due <= now {
		(*h)[0].place()
	}
}

func (h parkedUnits) up(i int) {
	for i > 0 && h.less(i, (i-1)/2) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (h parkedUnits) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h.less(child+1, child) {
			child++
		}
		if !h.less(child, i) {
			return
		}
		h.swap(i, child)
		i = child
	}
}
