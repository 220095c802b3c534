package breaker

import "time"

// steps is how many parts a window has. A call counts for at least nine tenths of the window, and at most all of it.
const steps = 10

// window counts calls in a time that moves on. The zero window with a width is empty.
type window struct {
	width time.Duration // of one step
	now   int64         // the current step, counted from the breaker's beginning
	ring  [steps]Counts // by step modulo steps
	sum   Counts        // of the ring
}

// moveTo forgets what is too old at age, counted from the breaker's beginning.
func (w *window) moveTo(age time.Duration) {
	step := int64(age / w.width)
	if step-w.now >= steps {
		w.reset()
		w.now = step
		return
	}
	for w.now < step {
		w.now++
		old := &w.ring[w.now%steps]
		w.sum.Calls -= old.Calls
		w.sum.Failed -= old.Failed
		w.sum.Slow -= old.Slow
		*old = Counts{}
	}
}

// add counts a call in the current step.
func (w *window) add(failed, slow bool) {
	for _, c := range []*Counts{&w.ring[w.now%steps], &w.sum} {
		c.add(failed, slow)
	}
}

func (w *window) reset() { w.ring, w.sum = [steps]Counts{}, Counts{} }

func (c *Counts) add(failed, slow bool) {
	c.Calls++
	if failed {
		c.Failed++
	}
	if slow {
		c.Slow++
	}
}
