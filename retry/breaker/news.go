package breaker

// news is the change that was not told yet, at most one, and whether somebody is telling.
type news struct {
	change  Change
	waiting bool
	telling bool
}

// put adds c. If one waits already, because OnChange is running, they become one.
func (n *news) put(c Change) {
	if n.waiting {
		c.From, c.Skipped = n.change.From, n.change.Skipped+1
	}
	n.change, n.waiting = c, true
}

// unlock unlocks b.mu, and tells what is new, unless another goroutine is doing it, which then tells that too.
func (b *Breaker) unlock() {
	if !b.news.waiting || b.news.telling {
		b.mu.Unlock()
		return
	}
	b.news.telling = true
	defer func() { // also when OnChange panics
		b.news.telling = false
		b.mu.Unlock()
	}()
	for b.news.waiting {
		b.news.waiting = false
		b.tell(b.news.change)
	}
}

// tell calls OnChange without the lock, and locks again.
func (b *Breaker) tell(c Change) {
	b.mu.Unlock()
	defer b.mu.Lock()
	b.o.OnChange(c)
}
