package embedded

import (
	"context"
	"slices"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/storage"
)

// account is what a group that counts has not done of a topic. It is guarded by flow.mu; what changes it comes in with group.mu held, but for what is stored.
//
// A record counts from when its publish comes back, or from when the account was made, whichever is first: debt.from says which. A group may be done with it before that; then
// the account is ahead, and the room that the publish took stands for it.
type account struct {
	flow  *flow
	group *group
	debts []debt              // by partition; those behind the end are zero: the topic was given these, and everything there counts
	lag   backpressure.Weight // the sum
}

// debt returns that of a partition. f.mu is held.
func (a *account) debt(partition int) *debt {
	if more := partition + 1 - len(a.debts); more > 0 {
		a.debts = append(a.debts, make([]debt, more)...)
	}
	return &a.debts[partition]
}

// debt is a partition of an account.
type debt struct {
	from    int64 // records from here on count when they are stored; those below do
	lag     backpressure.Weight
	guessed bool // its bytes are
}

// arrived counts a record that is stored. f.mu is held.
func (f *flow) arrived(partition int32, offset, size int64) {
	w := backpressure.Weight{Count: 1, Bytes: size}
	f.seen = f.seen.Plus(w)
	for _, a := range f.accounts {
		if p := a.debt(int(partition)); offset >= p.from {
			p.lag = p.lag.Plus(w)
			a.lag = a.lag.Plus(w)
		}
	}
}

// settle has the controller hold what there is now. f.mu is held.
func (f *flow) settle() {
	now := f.reserved.Plus(f.top()).Max(backpressure.Weight{})
	more, less := now.Minus(f.held).Max(backpressure.Weight{}), f.held.Minus(now).Max(backpressure.Weight{})
	f.held = now
	if more != (backpressure.Weight{}) {
		f.control.Take(more)
	}
	if less != (backpressure.Weight{}) {
		f.control.Release(less)
	}
	f.note()
}

// top is what the slowest group is behind, in each field. f.mu is held.
func (f *flow) top() (top backpressure.Weight) {
	for i, a := range f.accounts {
		if i == 0 {
			top = a.lag
		}
		top = top.Max(a.lag)
	}
	return top
}

// done takes note that a record of a partition needs no more work.
func (a *account) done(partition int, size int64) {
	f := a.flow
	f.mu.Lock()
	defer f.mu.Unlock()
	p, w := a.debt(partition), backpressure.Weight{Count: 1, Bytes: size}
	p.lag, a.lag = p.lag.Minus(w), a.lag.Minus(w)
	switch {
	case !p.guessed:
	case p.lag.Count == 0:
		a.set(p, backpressure.Weight{})
		p.guessed = false
	case p.lag.Count > 0 && p.lag.Bytes <= 0: // they were guessed too low
		a.set(p, backpressure.Weight{Count: p.lag.Count, Bytes: p.lag.Count * f.mean()})
	}
	f.settle()
}

// read is to be called with g.mu held when a partition was read to its end: if nothing was stored since, its bytes are known.
func (a *account) read(p *partition) {
	f := a.flow
	f.mu.Lock()
	defer f.mu.Unlock()
	if d, open := a.debt(p.number), p.open(); d.guessed && d.lag.Count == open.Count {
		a.set(d, open)
		d.guessed = false
		f.settle()
	}
}

func (a *account) set(p *debt, lag backpressure.Weight) {
	a.lag = a.lag.Plus(lag.Minus(p.lag))
	p.lag = lag
}

// recount is to be called with g.mu held when the cursor of a partition changed otherwise than record by record.
func (p *partition) recount() {
	a := p.account
	if a == nil {
		return
	}
	a.flow.mu.Lock()
	defer a.flow.mu.Unlock()
	a.measure(p.number, nil)
	a.flow.settle()
}

// account opens the group's account of a topic, measures it anew, or closes it if the group does not count there. read is what was read of its backlog, by partition; nil: nothing. It
// is called with g.mu held.
func (g *group) account(t *topic, read []backpressure.Weight) {
	f := t.flow.Load()
	if f == nil || internal(g.name) {
		return
	}
	f.mu.Lock()
	i := slices.IndexFunc(f.accounts, func(a *account) bool { return a.group == g })
	var a *account
	switch counts := g.countsFor(t); {
	case counts && i < 0:
		a = &account{flow: f, group: g, debts: make([]debt, t.partitions())}
		f.accounts = append(f.accounts, a)
	case counts:
		a = f.accounts[i]
	case i >= 0:
		f.accounts = slices.Delete(f.accounts, i, i+1)
	}
	if a != nil {
		for n := range t.partitions() {
			a.measure(n, read)
		}
	}
	f.settle()
	f.mu.Unlock()
	for n := range t.partitions() {
		if p := g.known[t.Partition(n)]; p != nil {
			p.account = a
		}
	}
}

// countsFor tells whether the group counts for the topic's limit. It is called with g.mu held.
func (g *group) countsFor(t *topic) bool {
	return !g.uncounted && !g.deleted && !t.gone.Load() && g.made() && slices.Contains(g.read(), t.Name)
}

// stale tells whether the group has less before it than the account says, so that something was removed that it has not heard of. It is called with g.mu held.
func (a *account) stale() bool {
	a.flow.mu.Lock()
	defer a.flow.mu.Unlock()
	n := int64(0)
	for i := range a.debts {
		count, _, _ := a.count(i)
		n += count
	}
	return n < a.lag.Count
}

// count counts what the group has not done of a partition, below next, of which those that are known have been read. Both locks are held.
func (a *account) count(n int) (count, next int64, known backpressure.Weight) {
	g, id := a.group, a.flow.topic.Partition(n)
	if p := g.known[id]; p != nil {
		w := &p.window
		count, next = g.engine.lagTo(id, w.Next(), w.Passed(), w.Open(), w.Ahead())
		return count + p.parked(), next, p.open()
	}
	for i := range g.before() {
		if c := &g.dormant[i]; c.Partition == id {
			count, next = g.engine.lagTo(id, c.Floor, c.Passed, 0, ranges(c.Done))
			count += g.parkedOf(id)
		}
	}
	return count, next, known
}

// open weighs what was read of p and is not done, parked or not.
func (p *partition) open() backpressure.Weight {
	w := backpressure.Weight{Count: p.window.Open(), Bytes: p.window.OpenBytes()}
	if p.park != nil {
		w = w.Plus(backpressure.Weight{Count: p.park.window.Open(), Bytes: p.park.window.OpenBytes()})
	}
	return w
}

// parked takes note that a record is parked, and of another size there.
func (a *account) parked(partition int, more int64) {
	a.flow.mu.Lock()
	defer a.flow.mu.Unlock()
	d := a.debt(partition)
	a.set(d, d.lag.Plus(backpressure.Weight{Bytes: more}))
	a.flow.settle()
}

// measure counts what the group has not done of a partition. Both locks are held.
func (a *account) measure(n int, read []backpressure.Weight) {
	p := a.debt(n)
	count, next, known := a.count(n)
	if n < len(read) {
		known = read[n]
	}
	before := p.lag
	p.from = next
	switch rest := count - known.Count; {
	case rest <= 0:
		p.guessed = rest < 0
		a.set(p, backpressure.Weight{Count: count, Bytes: known.Bytes})
	case count == before.Count && read == nil: // nothing was removed
	default:
		p.guessed = true
		a.set(p, backpressure.Weight{Count: count, Bytes: known.Bytes + rest*a.flow.mean()})
	}
}

// mean is the mean size of the topic's records. f.mu is held.
func (f *flow) mean() int64 {
	if f.seen.Count == 0 {
		return 0
	}
	return f.seen.Bytes / f.seen.Count
}

// load opens the accounts of the groups that there are, and has those in hand of which something may be dropped. The first call counts what they are behind, and reads it if bytes are bounded and nobody is at
// work on the topic yet. It is called without a lock.
func (f *flow) load(ctx context.Context) error {
	if f.ready.Load() {
		return nil
	}
	f.loading.Lock()
	defer f.loading.Unlock()
	if f.ready.Load() {
		return nil
	}
	e := f.engine
	if err := e.roster.load(); err != nil {
		return err
	}
	f.sample()
	for _, g := range e.allGroups() {
		if internal(g.name) {
			continue
		}
		if err := f.wake(ctx, g); err != nil {
			return err
		}
		var read []backpressure.Weight
		if !f.live {
			read = f.read(g)
		}
		g.mu.Lock()
		g.account(f.topic, read)
		g.mu.Unlock()
	}
	f.live = true
	f.ready.Store(true)
	return nil
}

// sample reads some of the topic, for the mean size of its records.
func (f *flow) sample() {
	for n := range f.topic.partitions() {
		rs, _, err := f.engine.store.Read(nil, f.topic.Partition(n), 0, readBytes)
		if err != nil || len(rs) == 0 {
			continue
		}
		f.mu.Lock()
		for i := range rs {
			f.seen = f.seen.Plus(backpressure.Weight{Count: 1, Bytes: int64(rs[i].Size())})
		}
		f.mu.Unlock()
		return
	}
}

// read weighs what a group has not done, as far as the bound goes: what is beyond that is estimated. Nobody has joined the group on this topic yet. It is nil if bytes
// are not bounded.
func (f *flow) read(g *group) []backpressure.Weight {
	if !f.terms.Load().sized {
		return nil
	}
	most := max(f.terms.Load().bound.Bytes, f.engine.flows.bound.Bytes)
	found := make([]backpressure.Weight, f.topic.partitions())
	for n := range found {
		id := f.topic.Partition(n)
		g.mu.Lock()
		from, done, ok := g.place(id)
		g.mu.Unlock()
		for ok && most > 0 {
			rs, next, err := f.engine.store.Read(nil, id, from, readBytes)
			if err != nil || len(rs) == 0 {
				break
			}
			for i := range rs {
				if size := int64(rs[i].Size()); !within(done, rs[i].Offset) {
					found[n] = found[n].Plus(backpressure.Weight{Count: 1, Bytes: size})
					most -= size
				}
			}
			from = next
		}
	}
	return found
}

// place returns where the group goes on in a partition, and what is done above that. It is called with g.mu held.
func (g *group) place(id storage.PartitionID) (from int64, done []frontier.Range, ok bool) {
	if p := g.known[id]; p != nil {
		var s frontier.State
		p.window.State(&s)
		return s.Floor, s.Done, true
	}
	if g.known != nil {
		return 0, nil, false
	}
	for _, c := range g.before() {
		if c.Partition == id {
			return c.Floor, ranges(c.Done), true
		}
	}
	return 0, nil, false
}

func within(done []frontier.Range, offset int64) bool {
	return slices.ContainsFunc(done, func(r frontier.Range) bool { return r.From <= offset && offset < r.To })
}
