package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
)

// flow bounds the backlog of a topic, and how fast messages come to it. What it holds is what the slowest group that counts is behind (tally.go), and what publishes were
// let in with that are not stored yet.
//
// Locks: loading is taken before group.setup, mu behind group.mu; under mu are the controller's and the store's.
type flow struct {
	engine  *engine
	topic   *topic
	control *backpressure.Controller
	terms   atomic.Pointer[terms]

	loading sync.Mutex  // held while load is at work
	live    bool        // guarded by loading; somebody may be at work on the topic
	ready   atomic.Bool // every group that counts has an account
	pressed atomic.Bool // somebody found no room since the engine looked

	full, limited, droppedNew, droppedOldest atomic.Int64

	mu       sync.Mutex
	accounts []*account
	reserved backpressure.Weight     // guarded by mu; let in and not stored yet
	held     backpressure.Weight     // guarded by mu; what control holds
	seen     backpressure.Weight     // guarded by mu; records and their bytes of which the mean is taken
	mark     *backpressure.Watermark // guarded by mu; nil: there is nothing to be high in
	crossed  *queue.BacklogEvent     // guarded by mu; to be told
	told     bool                    // guarded by mu; what was told last: high
}

// newFlow returns the flow of a topic, nil if nothing bounds it.
func (e *engine) newFlow(t *topic, l queue.Limit) (*flow, error) {
	f := &flow{engine: e, topic: t}
	if l == (queue.Limit{}) && e.flows.pool == nil {
		return nil, nil
	}
	o := backpressure.Options{Bound: boundless}
	if e.flows.pool != nil {
		o.Share = e.flows.pool.Share()
	}
	var err error
	if f.control, err = backpressure.NewController(o); err == nil {
		err = f.agree(l)
	}
	if err != nil {
		return nil, fmt.Errorf("queue: limit of topic %q: %w", t.Name, err)
	}
	e.flows.add(f)
	return f, nil
}

// admit lets w in, as the topic's limit says. dropped: it does not fit whole, and what does not is to be dropped. Who waits when the limit is altered is judged by the new one.
func (f *flow) admit(ctx context.Context, w backpressure.Weight) (dropped bool, err error) {
	for {
		ts := f.terms.Load()
		dropped, err = f.admitBy(ctx, ts, w)
		switch {
		case err == nil:
			return dropped, nil
		case ts.holds() || ctx.Err() != nil:
			return false, f.refused(err)
		}
	}
}

// admitBy is admit by ts. An error is the controller's.
func (f *flow) admitBy(ctx context.Context, ts *terms, w backpressure.Weight) (dropped bool, err error) {
	policy := ts.limit.WhenFull
	err = f.control.TryAdmit(w)
	if policy == backpressure.Block && errors.Is(err, backpressure.ErrFull) {
		f.pressed.Store(true)
		err = f.wait(ctx, ts, w)
	}
	for policy == backpressure.DropOldest && err == backpressure.ErrFull && f.makeRoom(w) {
		err = f.control.TryAdmit(w)
	}
	if err == nil {
		f.reserve(w)
		return false, nil
	}
	if policy == backpressure.DropNew && (errors.Is(err, backpressure.ErrFull) || w.Count > 1) {
		f.pressed.Store(true)
		return true, nil
	}
	return false, err
}

// wait waits for room for w as long as ctx lasts, and ts.
func (f *flow) wait(ctx context.Context, ts *terms, w backpressure.Weight) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ts.lasting, cancel)()
	return f.control.Admit(ctx, w)
}

// refused counts a refusal, and says what it is for who publishes.
func (f *flow) refused(err error) error {
	switch {
	case errors.Is(err, backpressure.ErrRateLimited):
		f.limited.Add(1)
		return fmt.Errorf("%w: %w: topic %q: %w", queue.ErrFull, queue.ErrRateLimited, f.topic.Name, err)
	case errors.Is(err, backpressure.ErrFull):
		f.pressed.Store(true)
		f.full.Add(1)
		return fmt.Errorf("%w: the backlog of topic %q: %w", queue.ErrFull, f.topic.Name, err)
	case errors.Is(err, backpressure.ErrWeight):
		return fmt.Errorf("%w: topic %q: %w", queue.ErrTooLarge, f.topic.Name, err)
	}
	return err // why it was closed
}

// reserve notes what was let in.
func (f *flow) reserve(w backpressure.Weight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reserved, f.held = f.reserved.Plus(w), f.held.Plus(w)
	f.note()
}

// force lets w in without waiting or tokens, as far as the reserve goes: a quarter of the bound, or whatever is one whole that comes while the bound is kept.
func (f *flow) force(w backpressure.Weight, whole bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !inReserve(f.terms.Load().bound, f.held, w, whole) || !f.engine.flows.inReserve(w, whole) {
		return f.refused(backpressure.ErrFull)
	}
	f.control.Take(w)
	f.reserved, f.held = f.reserved.Plus(w), f.held.Plus(w)
	f.note()
	return nil
}

// inReserve tells whether w may pass beyond a bound.
func inReserve(bound, held, w backpressure.Weight, whole bool) bool {
	may := func(bound, held, w int64) bool {
		return bound == 0 || whole && held <= bound || held+w <= bound+bound/4
	}
	return may(bound.Count, held.Count, w.Count) && may(bound.Bytes, held.Bytes, w.Bytes)
}

// landed ends what was let in: stored says whether the records of the topic in p are, or may be.
func (f *flow) landed(p *publish, w backpressure.Weight, stored bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reserved = f.reserved.Minus(w)
	for i := range p.placed {
		at := &p.placed[i]
		if !stored || at.topic != f.topic || at.wait > 0 || at.duplicate {
			continue
		}
		r := &p.entry.Batches[at.batch].Records[at.record]
		f.arrived(at.partition, r.Offset, int64(r.Size()))
	}
	f.settle()
}

// use is what a publish takes of one topic's flow.
type use struct {
	flow   *flow
	weight backpressure.Weight
}

// weigh lists what p takes of which flows, in an order that is the same for all, so that no two wait for each other.
func (p *publish) weigh() {
	for i := range p.placed {
		at := &p.placed[i]
		f := at.topic.flow.Load()
		if f == nil || at.wait > 0 || at.duplicate {
			continue
		}
		size := p.entry.Batches[at.batch].Records[at.record].Size()
		n := 0
		for n < len(p.uses) && p.uses[n].flow != f {
			n++
		}
		if n == len(p.uses) {
			p.uses = append(p.uses, use{flow: f})
		}
		p.uses[n].weight = p.uses[n].weight.Plus(backpressure.Weight{Count: 1, Bytes: int64(size)})
	}
	slices.SortFunc(p.uses, func(a, b use) int { return cmp.Compare(a.flow.topic.First, b.flow.topic.First) })
}

// enter waits for room for p, which is filled, as the limits of its topics say. On an error nothing is taken.
func (p *publish) enter(ctx context.Context, ms []queue.Message) error {
	p.weigh()
	left := false
	for i := range p.uses {
		u := &p.uses[i]
		dropped, err := false, u.flow.load(ctx)
		if err == nil {
			dropped, err = u.flow.admit(ctx, u.weight)
		}
		if err != nil {
			p.uses = p.uses[:i]
			p.left(err)
			return err
		}
		if dropped {
			left = true
			u.weight = p.drop(u.flow)
		}
	}
	if left {
		p.empty()
		p.fill(ms)
	}
	return nil
}

// drop lets in of p what there is room for of the topic, message by message, and has the rest not stored: who waits for its IDs may have them. It returns what was let in.
func (p *publish) drop(f *flow) (kept backpressure.Weight) {
	for i := range p.placed {
		at := &p.placed[i]
		if at.topic != f.topic || at.wait > 0 || at.duplicate {
			continue
		}
		w := backpressure.Weight{Count: 1, Bytes: int64(p.entry.Batches[at.batch].Records[at.record].Size())}
		if f.control.TryAdmit(w) == nil {
			f.reserve(w)
			kept = kept.Plus(w)
			continue
		}
		at.duplicate, at.dropped = true, true
		f.droppedNew.Add(1)
	}
	p.claims.dropped(p)
	return kept
}

// force takes room for p, which must not wait. On an error nothing is taken.
func (p *publish) force() error {
	p.weigh()
	for i := range p.uses {
		u := &p.uses[i]
		if err := u.flow.force(u.weight, true); err != nil {
			p.uses = p.uses[:i]
			p.left(err)
			return err
		}
	}
	return nil
}

// left ends what p was let in with. err is what the store said.
func (p *publish) left(err error) {
	stored := err == nil || errors.Is(err, queue.ErrIndeterminate)
	for i := range p.uses {
		p.uses[i].flow.landed(p, p.uses[i].weight, stored)
	}
	if stored {
		p.late()
	}
	clear(p.uses)
	p.uses = p.uses[:0]
}

// late counts what p stored in topics that have been bounded since it was let in.
func (p *publish) late() {
	used := len(p.uses)
	for i := range p.placed {
		at := &p.placed[i]
		f := at.topic.flow.Load()
		if f == nil || at.wait > 0 || at.duplicate || slices.ContainsFunc(p.uses, func(u use) bool { return u.flow == f }) {
			continue
		}
		p.uses = append(p.uses, use{flow: f})
	}
	for _, u := range p.uses[used:] {
		u.flow.landed(p, backpressure.Weight{}, true)
	}
}

// stats adds what is counted of f.
func (f *flow) stats(s *queue.TopicStats) {
	_, waiting := f.control.Held()
	f.mu.Lock()
	s.Backlog, s.BacklogBytes = f.held.Count, f.held.Bytes
	f.mu.Unlock()
	s.Blocked = waiting
	s.QueueFull, s.RateLimited = f.full.Load(), f.limited.Load()
	s.DroppedNew, s.DroppedOldest = f.droppedNew.Load(), f.droppedOldest.Load()
}
