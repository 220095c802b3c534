package batch

import "time"

// trigger is why a batch goes.
type trigger uint8

const (
	notYet trigger = iota
	bySize
	byBytes
	byTime
	byFlush
)

// wake is called by the timer.
func (p *Processor[T]) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dispatch()
}

// dispatch runs what is due, and sets the timer to what will be next. It is called with mu held whenever something changed.
func (p *Processor[T]) dispatch() {
	if p.over {
		return
	}
	now := time.Now()
	for len(p.parked.of) > 0 && !now.Before(p.parked.of[0].due) {
		p.move(p.parked.of[0], ready)
	}
	for p.stats.Running < p.c.Parallelism {
		why := p.due(now)
		if why == notYet {
			break
		}
		items := p.take(now)
		p.stats.began(why, len(items))
		go p.run(items, now)
	}
	p.arm(now)
}

// due tells whether there is a batch to be run now, and why.
func (p *Processor[T]) due(now time.Time) trigger {
	if p.readyItems == 0 {
		return notYet
	}
	first := p.ready.of[0].items[0]
	switch {
	case p.readyItems >= p.c.MaxBatchSize:
		return bySize
	case p.readyBytes >= p.c.MaxBatchBytes:
		return byBytes
	case p.closing || first.flight.hurried:
		return byFlush
	case now.Sub(first.arrived) >= p.c.MaxWaitTime:
		return byTime
	}
	return notYet
}

// take removes a batch from the lanes that are ready, the oldest items first.
func (p *Processor[T]) take(now time.Time) []*item[T] {
	items := make([]*item[T], 0, min(p.readyItems, p.c.MaxBatchSize))
	bytes := 0
	for len(p.ready.of) > 0 {
		l := p.ready.of[0]
		n := 0
		for _, it := range l.items {
			if len(items) == p.c.MaxBatchSize || len(items) > 0 && bytes+it.size > p.c.MaxBatchBytes {
				break
			}
			items = append(items, it)
			bytes += it.size
			n++
		}
		if n == 0 {
			break
		}
		p.move(l, working)
		l.takeFirst(n)
		if l == p.free {
			p.rest(l)
		}
	}
	for _, it := range items {
		it.running = true
		if it.attempts++; it.attempts == 1 {
			it.began = now
			p.stats.Waited += now.Sub(it.arrived)
		}
	}
	return items
}

// arm has wake called when the next batch is due for its age, or what is parked is due, if a batch could run then.
func (p *Processor[T]) arm(now time.Time) {
	var next time.Time
	if p.stats.Running < p.c.Parallelism {
		if len(p.ready.of) > 0 {
			next = p.ready.of[0].items[0].arrived.Add(p.c.MaxWaitTime)
		}
		if len(p.parked.of) > 0 && (next.IsZero() || p.parked.of[0].due.Before(next)) {
			next = p.parked.of[0].due
		}
	}
	if next.IsZero() {
		p.timer.Stop()
		return
	}
	p.timer.Reset(next.Sub(now))
}
