package embedded

import (
	"context"
	"slices"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
)

// makeRoom has the groups that are furthest behind be done with their oldest messages, until they are w less behind than the slowest is now. It is false if there is nothing that
// could be dropped.
func (f *flow) makeRoom(w backpressure.Weight) (made bool) {
	f.mu.Lock()
	target := f.top().Minus(w)
	behind := slices.DeleteFunc(slices.Clone(f.accounts), func(a *account) bool { return !a.exceeds(target) })
	f.mu.Unlock()
	for _, a := range behind {
		f.mu.Lock()
		need, over := a.lag.Minus(target), a.exceeds(target)
		f.mu.Unlock()
		if !over { // another made room meanwhile, whoever has taken it since
			made = true
			continue
		}
		n := a.group.drop(f.topic, need)
		f.droppedOldest.Add(n)
		made = made || n > 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return made || f.top().Minus(w) != target
}

// exceeds tells whether the group is further behind than bound. The flow's mu is held.
func (a *account) exceeds(bound backpressure.Weight) bool {
	over := a.lag.Minus(bound)
	return over.Count > 0 || over.Bytes > 0
}

// drop has the group be done with messages of t that nobody is at work on, the first of each partition in turn, until they weigh need, in both fields. It returns how many.
func (g *group) drop(t *topic, need backpressure.Weight) (dropped int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ps := make([]*partition, 0, t.partitions())
	for n := range t.partitions() {
		if p := g.known[t.Partition(n)]; p != nil && p.account != nil {
			ps = append(ps, p)
		}
	}
	for need.Count > 0 || need.Bytes > 0 {
		ps = slices.DeleteFunc(ps, func(p *partition) bool { return p.account == nil }) // while shed read, the group has ceased to count
		if len(ps) == 0 {
			break
		}
		p := slices.MaxFunc(ps, func(a, b *partition) int { return int(a.behind() - b.behind()) })
		size, ok := p.shed()
		if !ok {
			ps = slices.DeleteFunc(ps, func(other *partition) bool { return other == p })
			continue
		}
		dropped++
		need = need.Minus(backpressure.Weight{Count: 1, Bytes: size})
	}
	if dropped == 0 {
		return 0
	}
	g.counts.missed += dropped
	g.stopIfSpent()
	for n := range t.partitions() {
		if p := g.known[t.Partition(n)]; p != nil {
			p.offer()
		}
	}
	g.engine.changes.notify()
	return dropped
}

// behind is what the group has not done of p, in messages.
func (p *partition) behind() int64 {
	p.account.flow.mu.Lock()
	defer p.account.flow.mu.Unlock()
	return p.account.debt(p.number).lag.Count
}

// shed is done with the first message of p that nobody is at work on, which it may have to read. It is called with g.mu held and returns with it held; meanwhile it may not be.
func (p *partition) shed() (size int64, ok bool) {
	g := p.group
	for {
		if p.gone || g.err != nil && len(g.members) > 0 {
			return 0, false
		}
		if m, ok := p.lanes.Shed(); ok {
			size = m.track.window.Size(m.slot)
			p.done(&m)
			if m.unit != nil {
				m.unit.place()
			}
			return size, true
		}
		if p.broken != nil {
			return 0, false
		}
		if p.reading { // by somebody who is about to find what is to be shed
			if p.hasRead == nil {
				p.hasRead = make(chan struct{})
			}
			over := p.hasRead
			g.mu.Unlock()
			<-over
			g.mu.Lock()
			continue
		}
		b, err := g.engine.store.Bounds(p.id)
		if err != nil || b.Next <= p.window.Next() || p.window.Len() >= windowRecords || p.window.Bytes() >= windowBytes {
			return 0, false
		}
		if p.listed {
			p.feed.forget(p)
		}
		if err := p.refill(nil); err != nil {
			return 0, false
		}
		if p.feed != nil {
			p.feed.wake(0)
		}
	}
}

// wake has the cursors of a group that nobody joined since the open in hand, if the topic drops what is oldest: so its messages can be dropped as those of others.
func (f *flow) wake(ctx context.Context, g *group) error {
	if f.terms.Load().limit.WhenFull != backpressure.DropOldest {
		return nil
	}
	if err := g.lock(ctx); err != nil {
		return err
	}
	defer g.unlock()
	g.mu.Lock()
	asleep := g.known == nil && g.countsFor(f.topic)
	names := slices.Clone(g.read())
	want := queue.Group{
		Name: g.name, Order: g.order, Guarantee: g.guarantee, Exclusive: g.exclusive, ExpireAfter: g.expireAfter, Uncounted: g.uncounted,
		Failure: queue.Failure{BuryExpired: g.buries},
	}
	g.mu.Unlock()
	if !asleep {
		return nil
	}
	var topics []*topic
	for _, name := range names {
		if t, err := g.engine.topic(name); err == nil {
			topics = append(topics, t)
			want.Topics = append(want.Topics, name)
		}
	}
	ps, err := g.unknown(&want, topics)
	if err != nil {
		return err
	}
	for _, p := range ps {
		p.restore(g)
		p.sure = p.window.Floor()
		if err := p.recall(g); err != nil {
			return err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	vacant := g.vacant
	for _, p := range ps {
		g.learn(p)
	}
	err = g.choose(&want, topics)
	g.vacant = vacant
	return err
}
