package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/queue/internal/lanes"
	"github.com/leatmq/leat/storage"
)

// Outcomes that are more than a note in memory, since messages are published together with them or somebody waits for them, are commits: one entry has the
// messages and the cursors after it. While one entry is written, the commits that come are gathered for the next, as the store does with what many publish.

// What one entry of commits may hold, beyond the first of them.
const (
	maxCommitBytes = 4 << 20
	maxCommits     = 1 << 10
)

// commit is what one Settle wants to have stored: all of it or nothing.
type commit struct {
	member  *member
	tokens  []*token        // that are done with it
	claims  bool            // the tokens stay current
	starts  bool            // the same; it is their start marks that are stored
	publish []queue.Message // their bytes are not touched any more when done is closed
	bytes   int             // of these
	ids     claims          // of these
	base    int             // where these are in the entry
	marks   []*marks        // of the tokens
	lasting bool            // something of it outlives the process
	done    chan struct{}
	err     error // to be read when done is closed
}

// committer writes commits.
type committer struct {
	engine *engine
	begun  chan struct{} // of one: something is waiting
	toPark chan struct{} // of one: there is something to park

	mu      sync.Mutex
	waiting []*commit // guarded by mu
	parking []*group  // guarded by mu; those that have something to park
	over    bool      // guarded by mu; nobody takes them any more

	// Of the goroutine that writes, with flusher.turn.
	entry  publish
	ms     []queue.Message
	state  frontier.State
	taken  []*commit
	joined []*commit
}

func (c *committer) init(e *engine) {
	c.engine = e
	c.begun, c.toPark = make(chan struct{}, 1), make(chan struct{}, 1)
	c.entry.batchOf = map[storage.PartitionID]int32{}
}

// add has x written. Its tokens are marked as being committed.
func (c *committer) add(x *commit) {
	c.mu.Lock()
	over := c.over
	if !over {
		c.waiting = append(c.waiting, x)
	}
	c.mu.Unlock()
	if over {
		x.end(queue.ErrClosed)
		return
	}
	signal(c.begun)
}

// run writes what waits, until the engine is closed.
func (c *committer) run() {
	if c.engine.kind != readOnly {
		c.engine.unparkTopics(c.engine.flusher.ctx) // what a crash has left; if that fails, the next open tries again
		c.engine.dropWaiting(c.engine.flusher.ctx)  // the same
	}
	t := time.NewTimer(flushDelay) // for what is to be parked: nobody waits for it, and what comes together is written together
	t.Stop()
	defer t.Stop()
	for {
		select {
		case <-c.begun:
			c.pass()
		case <-c.toPark:
			t.Reset(flushDelay)
		case <-t.C:
			if c.parkSome() {
				t.Reset(0)
			}
		case <-c.engine.closed:
			c.mu.Lock()
			c.over = true
			c.mu.Unlock()
			for _, x := range c.take() {
				x.end(queue.ErrClosed)
			}
			return
		}
	}
}

func (c *committer) take() []*commit {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken, c.waiting = c.waiting, c.taken[:0]
	return c.taken
}

// pass writes what waits now, as few entries as there can be.
func (c *committer) pass() {
	<-c.engine.flusher.turn
	defer func() { c.engine.flusher.turn <- struct{}{} }()
	xs := c.take()
	for _, lasting := range []bool{false, true} { // an entry of topics in memory is not to wait for the disk
		c.joined = c.joined[:0]
		bytes := 0
		for _, x := range xs {
			if x.lasting != lasting {
				continue
			}
			if n := len(c.joined); n > 0 && (n == maxCommits || bytes+x.bytes > maxCommitBytes) {
				c.write(c.joined)
				c.joined, bytes = c.joined[:0], 0
			}
			c.joined = append(c.joined, x)
			bytes += x.bytes
		}
		c.write(c.joined)
	}
	clear(xs)
	clear(c.joined[:cap(c.joined)])
}

// write stores xs in one entry, or, if that cannot be, each in its own.
func (c *committer) write(xs []*commit) {
	if len(xs) == 0 {
		return
	}
	err := c.append(xs)
	if err != nil && len(xs) > 1 && !errors.Is(err, queue.ErrIndeterminate) && c.engine.over() == nil {
		for i := range xs {
			c.write(xs[i : i+1])
		}
		return
	}
	for _, x := range xs {
		x.end(err)
	}
}

// append stores xs in one entry.
func (c *committer) append(xs []*commit) error {
	p := &c.entry
	defer p.reset()
	defer func() {
		clear(c.ms)
		c.ms = c.ms[:0]
	}()
	for _, x := range xs {
		if err := x.stale(); err != nil {
			return err
		}
		x.base = len(p.placed)
		if err := c.engine.place(c.engine.flusher.ctx, p, x.publish); err != nil {
			return err
		}
		if err := x.ids.name(c.engine.flusher.ctx, p, x.base); err != nil {
			return err
		}
		c.ms = append(c.ms, x.publish...)
		for _, m := range x.marks {
			m.base = len(p.placed)
			if err := m.place(p); err != nil {
				return err
			}
			c.ms = append(c.ms, m.ms...)
		}
	}
	p.fill(c.ms)
	if err := p.force(); err != nil {
		return err
	}
	c.cursors(xs)
	if len(p.entry.Batches) == 0 && len(p.entry.Cursors) == 0 {
		return nil
	}
	p.entry.MakesRoom = len(p.entry.Cursors) > 0
	_, err := c.engine.store.Append(c.engine.flusher.ctx, &p.entry)
	defer func() { p.left(translate(err)) }()
	if err == nil || errors.Is(err, storage.ErrIndeterminate) { // else it is tried again, or ends
		for _, x := range xs {
			x.ids.settle(p, x.base, err)
			for _, m := range x.marks {
				m.settle(p, m.base, err)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("queue: committing an outcome: %w", translate(err))
	}
	p.count(c.ms)
	return nil
}

// stale tells why the cursors of x count no more, nil if they do.
func (x *commit) stale() error {
	g := x.member.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.deleted {
		return g.err
	}
	for _, t := range x.tokens {
		if p := t.item.Value.partition; p.gone {
			return g.deletedTopic(p.topic)
		}
	}
	return nil
}

// cursors adds those that there are after xs.
func (c *committer) cursors(xs []*commit) {
	slots := map[*track][]uint64{}
	var order []*track
	for _, x := range xs {
		for _, t := range x.tokens {
			m := &t.item.Value
			if m.claimed {
				continue
			}
			if _, ok := slots[m.track]; !ok {
				order = append(order, m.track)
				slots[m.track] = nil
			}
			if !x.starts {
				slots[m.track] = append(slots[m.track], m.slot)
			}
		}
	}
	var held *group
	for _, t := range order {
		if g := t.of.group; g != held {
			if held != nil {
				held.mu.Unlock()
			}
			held = g
			g.mu.Lock()
			g.launch()
		}
		c.entry.entry.Cursors = t.appendCursors(c.entry.entry.Cursors, &c.state, slots)
	}
	if held != nil {
		held.mu.Unlock()
	}
}

// end takes note of what became of x.
func (x *commit) end(err error) {
	x.err = err
	x.ids.abandon() // unless they are stored, or may be
	for _, m := range x.marks {
		m.fix(false)
	}
	m := x.member
	g := m.group
	g.mu.Lock()
	for _, t := range x.tokens {
		msg := &t.item.Value
		msg.committing, msg.starting = false, false
		switch {
		case err != nil || x.starts:
			m.resume(t.item)
		case x.claims:
			msg.claim()
			m.resume(t.item)
		default:
			m.settle(t, &queue.Settlement{Outcome: queue.SettleDone, Returned: msg.returned})
		}
	}
	g.commits(len(x.tokens))
	m.feed.wake(0)
	g.settled(m)
	close(x.done)
}

// commits takes note that so much less of g is being committed.
func (g *group) commits(n int) {
	g.committing -= n
	if g.committing == 0 && g.committed != nil {
		close(g.committed)
		g.committed = nil
	}
	g.stopIfSpent()
}

// resume goes on with the lease that was suspended while an outcome was stored, if there is one.
func (m *member) resume(it *lanes.Item[message]) {
	if m.Group.Lease > 0 {
		m.group.leases.add(it, it.Value.until)
		m.group.arm()
	}
}

// claim ends a message for the cursor, and not for its lane. It is stored already.
func (m *message) claim() {
	m.claimed = true
	m.finished()
	m.partition.group.claimed++
}

// begin takes the settlement of a current token into x. It is called with g.mu held.
func (x *commit) begin(t *token, s *queue.Settlement) {
	msg := &t.item.Value
	msg.committing, msg.returned = true, s.Returned
	x.member.group.leases.remove(t.item)
	x.member.group.committing++
	x.tokens = append(x.tokens, t)
	if t.marks != nil && s.Marks {
		t.marks.fix(true)
		x.marks = append(x.marks, t.marks)
		x.lasting = true
	}
	x.claims = s.Outcome == queue.SettleClaim
	x.lasting = x.lasting || !msg.partition.topic.volatile
	x.publish = append(x.publish, s.Publish...)
	for i := range s.Publish {
		x.bytes += s.Publish[i].Size()
	}
}

// commit stores x and waits for it.
func (m *member) commit(ctx context.Context, x *commit) error {
	e := m.group.engine
	x.done = make(chan struct{})
	for i := range x.publish {
		t, err := e.topic(x.publish[i].Topic)
		if err == nil && !t.volatile {
			x.lasting = true
		}
		if err != nil {
			continue // who writes it says so
		}
		if f := t.flow.Load(); f != nil {
			if err := f.load(ctx); err != nil { // here, since the committer must not wait for it
				x.end(err)
				return err
			}
		}
	}
	switch named := slices.ContainsFunc(x.publish, func(m queue.Message) bool { return m.ID != "" }); {
	case !named:
		e.committer.add(x)
	case ctx.Done() == nil:
		e.commitNamed(x)
	default: // the outcome counts though ctx ends while x waits for others that have one of its IDs
		e.running.Go(func() { e.commitNamed(x) })
	}
	select {
	case <-x.done:
		return x.err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", queue.ErrIndeterminate, ctx.Err())
	}
}

// commitNamed has x written, of which messages have IDs: without those that are duplicates.
func (e *engine) commitNamed(x *commit) {
	var behind []*flight
	for _, m := range x.marks {
		behind = append(behind, m.flight())
	}
	if err := x.ids.take(e.flusher.ctx, e, x.publish, behind...); err != nil {
		x.end(err)
		return
	}
	x.publish = x.ids.rest(x.publish)
	e.committer.add(x)
}

// uncommitted waits until nothing of g is being committed. It is called with g.mu held and returns with it held; meanwhile it is not. The store ends every commit, so
// it waits no longer than that takes.
func (g *group) uncommitted() {
	for g.committing > 0 {
		if g.committed == nil {
			g.committed = make(chan struct{})
		}
		wait := g.committed
		g.mu.Unlock()
		<-wait
		g.mu.Lock()
	}
}

// name is an ID in a topic.
type name struct{ topic, id string }

// Admit implements queue.EngineCommitter.
func (e *engine) Admit(source string, ms []queue.Message) error {
	from, err := e.topic(source)
	if err != nil {
		return err
	}
	var t *topic
	var named map[name]bool
	for i := range ms {
		if t, err = e.admit(&ms[i], t); err != nil {
			return err
		}
		if t.dedups(&ms[i]) {
			n := name{t.Name, ms[i].ID}
			if named[n] {
				return fmt.Errorf("%w: ID %q, topic %q", queue.ErrConflict, n.id, n.topic)
			}
			if named == nil {
				named = map[name]bool{}
			}
			named[n] = true
		}
		if !from.volatile {
			if err := from.goesWith(t); err != nil {
				return err
			}
		}
	}
	return nil
}
