package embedded

import (
	"context"
	"fmt"
	"slices"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/queue/internal/lanes"
	"github.com/leatmq/leat/storage"
)

// Join implements queue.Engine.
func (e *engine) Join(ctx context.Context, ms queue.Membership) (queue.Member, error) {
	if err := e.over(); err != nil {
		return nil, err
	}
	topics, err := e.topicsOf(&ms.Group)
	if err != nil {
		return nil, err
	}
	g, err := e.group(ctx, ms.Group.Name)
	if err != nil {
		return nil, err
	}
	select {
	case <-g.setup:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { g.setup <- struct{}{} }()
	made, err := g.prepare(ctx, &ms.Group, topics)
	if err != nil {
		return nil, err
	}
	m := newMember(g, ms)
	if err := g.enlist(m, topics, made); err != nil {
		return nil, err
	}
	g.tellRevoked()
	e.changes.notify()
	return m, nil
}

// topicsOf finds the topics of a group, sorted.
func (e *engine) topicsOf(g *queue.Group) ([]*topic, error) {
	var ts []*topic
	for _, name := range sortedTopics(g) {
		t, err := e.topic(name)
		if err != nil {
			return nil, err
		}
		ts = append(ts, t)
	}
	return ts, nil
}

// prepare makes the partitions that the group does not know yet, with the cursors that the store has, or with the first ones, which are
// durable on return. The caller holds g.setup.
func (g *group) prepare(ctx context.Context, want *queue.Group, topics []*topic) ([]*partition, error) {
	unknown, err := g.unknown(want, topics)
	if err != nil {
		return nil, err
	}
	var first storage.Entry
	for _, p := range unknown {
		s, stored, err := g.cursor(p, want.StartIfNew)
		if err != nil {
			return nil, err
		}
		p.window.Restore(&s)
		p.sure = s.Floor
		if !stored {
			first.Cursors = append(first.Cursors, storage.Cursor{Group: g.id, Partition: p.id, Floor: s.Floor, Passed: s.Passed})
		}
	}
	if first.Cursors != nil {
		if err := g.engine.checkStart(want.StartIfNew); err != nil {
			return nil, err
		}
		if _, err := g.engine.store.Append(ctx, &first); err != nil {
			return nil, fmt.Errorf("queue: first cursors of group %q: %w", g.name, translate(err))
		}
	}
	return unknown, nil
}

// unknown lists the partitions of topics that the group never had in this process.
func (g *group) unknown(want *queue.Group, topics []*topic) ([]*partition, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.agree(want); err != nil {
		return nil, err
	}
	var ps []*partition
	for _, t := range topics {
		if _, ok := g.known[t.First]; ok {
			continue
		}
		for n := range t.Partitions {
			ps = append(ps, &partition{group: g, topic: t, number: n, id: t.Partition(n)})
		}
	}
	return ps, nil
}

// cursor returns what the store has of the group on p, or else the cursor for a start.
func (g *group) cursor(p *partition, start queue.Start) (s frontier.State, stored bool, err error) {
	e := g.engine
	c, ok := e.store.Cursor(g.id, p.id)
	if !ok {
		s, err = e.begin(p.topic, p.number, start)
		return s, false, err
	}
	s = frontier.State{Floor: c.Floor, Passed: c.Passed, Done: ranges(c.Done)}
	for _, f := range c.Failed {
		s.Failed = append(s.Failed, frontier.Failure(f))
	}
	return s, true, nil
}

func ranges(done []storage.Range) []frontier.Range {
	var rs []frontier.Range
	for _, r := range done {
		rs = append(rs, frontier.Range(r))
	}
	return rs
}

// enlist makes m a member. The caller holds g.setup, so nobody joined since prepare.
func (g *group) enlist(m *member, topics []*topic, made []*partition) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.engine.over(); err != nil {
		return err
	}
	if g.deleted {
		return g.err
	}
	for _, p := range made {
		g.learn(p)
	}
	if len(g.members) == 0 {
		if err := g.begin(m, topics); err != nil {
			return err
		}
	}
	if g.err != nil {
		return g.err
	}
	g.ahead.Items = max(g.ahead.Items, m.Group.Batch.Messages)
	g.ahead.Bytes = max(g.ahead.Bytes, m.Group.Batch.Bytes)
	g.members = append(g.members, m)
	g.rebalance()
	return nil
}

// over tells why the engine takes no members, nil if it does.
func (e *engine) over() error {
	select {
	case <-e.closed:
		return queue.ErrClosed
	default:
		return e.Err()
	}
}

func (g *group) learn(p *partition) {
	if g.known == nil {
		g.known = map[storage.PartitionID]*partition{}
		g.set = lanes.NewSet[message]()
		g.watcher = storage.NewWatcher()
		g.dormant, g.asked = nil, false
	}
	g.known[p.id] = p
	p.lanes = g.set.Partition()
}

// begin takes the settings of the first member, and starts to follow its partitions.
func (g *group) begin(m *member, topics []*topic) error {
	g.err = nil
	g.topics, g.order = sortedTopics(&m.Group), m.Group.Order
	g.ahead = lanes.Count{Items: aheadRecords, Bytes: aheadBytes}
	g.active = g.active[:0]
	for _, t := range topics {
		for n := range t.Partitions {
			p := g.known[t.Partition(n)]
			if p == nil {
				g.active = g.active[:0]
				return fmt.Errorf("%w: topic %q, which was deleted meanwhile", queue.ErrNotFound, t.Name)
			}
			g.active = append(g.active, p)
		}
	}
	// Neighbours are of different topics, so that each member gets some of each.
	slices.SortStableFunc(g.active, func(a, b *partition) int { return a.number - b.number })
	for _, p := range g.active {
		p.broken = nil
		if err := p.follow(); err != nil {
			g.end()
			return translate(err)
		}
		if g.order == queue.Unordered {
			p.attach(&g.shared)
		}
	}
	return nil
}

// follow has the store tell what is new.
func (p *partition) follow() error {
	e := p.group.engine
	unwatch, err := e.store.Watch(p.id, p.group.watcher)
	if err != nil {
		return err
	}
	p.unwatch = unwatch
	b, err := e.store.Bounds(p.id)
	p.unread = p.unread || b.Next > p.window.Next()
	return err
}

// dismiss removes a member that has nothing in flight. The others get its partitions.
func (g *group) dismiss(m *member) {
	g.members = slices.DeleteFunc(g.members, func(other *member) bool { return other == m })
	for _, p := range g.active {
		if p.heir == m {
			m.feed.drop(p)
			p.heir = nil
		}
		if p.owner == m {
			g.passOn(p)
		}
	}
	if len(g.members) == 0 {
		g.end()
		return
	}
	g.rebalance()
}

// end gives up what only members need. Cursors, and what is known of failures, stay.
func (g *group) end() {
	for _, p := range g.active {
		if p.unwatch != nil {
			p.unwatch()
			p.unwatch = nil
		}
		p.detach()
		p.rewind()
		p.unread = false
	}
	g.disarm()
	g.spare, g.buffers = nil, nil
}
