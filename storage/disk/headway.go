package disk

import "context"

// headway holds a copy back to so many bytes per second, and tells how far it has come.
type headway struct {
	pace        *pace
	tell        func(done, total int64) // nil: nobody wants to know
	done, total int64
}

func newHeadway(perSecond, total int64, tell func(done, total int64)) *headway {
	return &headway{pace: newPace(perSecond), tell: tell, total: total}
}

// passed says that n bytes more are done, and waits until as many were due.
func (h *headway) passed(ctx context.Context, n int64) error {
	h.done += n
	h.total = max(h.total, h.done)
	if h.tell != nil {
		h.tell(h.done, h.total)
	}
	return h.pace.wait(ctx, int(n))
}
