package backpressure

// waiter is who waits for room.
type waiter struct {
	weight     Weight
	ready      chan struct{} // closed, under the lock of whom it waits for, when it is let in or turned away
	err        error         // why it is turned away; to be read when ready is closed
	waits      bool          // it is in a list
	prev, next *waiter
}

// waiters is a list of those that wait, first come first. The zero value is empty.
type waiters struct {
	first, last *waiter
	count       int
}

func (l *waiters) push(w *waiter) {
	w.waits = true
	w.prev = l.last
	if l.last != nil {
		l.last.next = w
	} else {
		l.first = w
	}
	l.last = w
	l.count++
}

func (l *waiters) remove(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.last = w.prev
	}
	w.prev, w.next, w.waits = nil, nil, false
	l.count--
}

// letIn takes the first away and wakes it.
func (l *waiters) letIn() *waiter {
	w := l.first
	l.remove(w)
	close(w.ready)
	return w
}

// turnAway wakes all of them, with the reason.
func (l *waiters) turnAway(err error) {
	for l.first != nil {
		l.first.err = err
		l.letIn()
	}
}
