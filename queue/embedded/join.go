package embedded

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/queue/internal/lanes"
	"github.com/leatmq/leat/storage"
)

// Join implements queue.Engine.
func (e *engine) Join(ctx context.Context, ms queue.Membership) (queue.Member, error) {
	n, err := e.admitMember(ctx, &ms.Group, false)
	if err != nil {
		return nil, err
	}
	g := n.group
	m := newMember(g, ms)
	silent, err := g.enlist(m, n.topics, n.made)
	if err == nil {
		g.remind(silent)
	}
	g.unlock()
	if err != nil {
		return nil, err
	}
	for p, why := range silent {
		m.Damaged(p.topic.Name, p.number, why)
	}
	g.tellGiven(m)
	g.tellRevoked()
	e.changes.notify()
	return m, nil
}

// newcomer is a group that is ready to have a member.
type newcomer struct {
	group  *group
	topics []*topic
	made   []*partition // that are new to the group
}

// admitMember finds or makes the group that want names, with cursors on all its partitions, and what is set of it if the roster has it, or keep is set. All of
// that is durable on return. The caller holds group.setup then.
func (e *engine) admitMember(ctx context.Context, want *queue.Group, keep bool) (n newcomer, err error) {
	if err := e.over(); err != nil {
		return n, err
	}
	if n.topics, err = e.topicsOf(ctx, want); err != nil {
		return n, err
	}
	if err := e.roster.load(); err != nil {
		return n, err
	}
	for {
		if n.group, err = e.group(ctx, want.Name); err != nil {
			return n, err
		}
		if err := n.group.lock(ctx); err != nil {
			return n, err
		}
		if e.existing(want.Name) == n.group {
			break
		}
		n.group.unlock() // it was deleted meanwhile
	}
	n.made, err = n.group.prepare(ctx, want, n.topics, keep)
	if err == nil {
		err = n.group.remember()
	}
	if err != nil {
		n.group.unlock()
	}
	return n, err
}

// topicsOf finds the topics of a group, sorted, and what others are behind in those that are bounded, before that changes.
func (e *engine) topicsOf(ctx context.Context, g *queue.Group) ([]*topic, error) {
	var ts []*topic
	for _, name := range sortedTopics(g) {
		t, err := e.topic(name)
		if err != nil {
			return nil, err
		}
		if f := t.flow.Load(); f != nil {
			if err := f.load(ctx); err != nil {
				return nil, err
			}
		}
		ts = append(ts, t)
	}
	return ts, nil
}

// prepare makes the partitions that the group does not know yet, with the cursors that the store has, or with the first ones, which are
// stored together with what is set of the group. The caller holds g.setup.
func (g *group) prepare(ctx context.Context, want *queue.Group, topics []*topic, keep bool) ([]*partition, error) {
	had := make([]int, len(topics))
	for i, t := range topics {
		had[i] = t.partitions()
	}
	unknown, err := g.unknown(want, topics)
	if err != nil {
		return nil, err
	}
	var first storage.Entry
	for _, p := range unknown {
		if !p.restore(g) {
			start := want.StartIfNew
			if _, had := g.engine.store.Cursor(g.id, p.topic.First); had && p.number > 0 {
				start = queue.Earliest() // the topic was given it since the group came, and perhaps messages
			}
			s, err := g.engine.begin(p.topic, p.number, start)
			if err != nil {
				return nil, err
			}
			p.window.Restore(&s)
			first.Cursors = append(first.Cursors, storage.Cursor{Group: g.id, Partition: p.id, Floor: s.Floor, Passed: s.Passed})
		}
		p.sure = p.window.Floor()
		if err := p.recall(g); err != nil {
			return nil, err
		}
	}
	if first.Cursors != nil {
		if err := g.engine.checkStart(want.StartIfNew); err != nil {
			return nil, err
		}
	}
	next := g.next(want, keep)
	if next != nil {
		if err := g.engine.roster.enrol(ctx, &first, g, next); err != nil {
			return nil, err
		}
	}
	if first.Cursors == nil && first.Batches == nil {
		return unknown, nil
	}
	if _, err := g.engine.store.Append(ctx, &first); err != nil {
		return nil, fmt.Errorf("queue: first cursors of group %q: %w", g.name, translate(err))
	}
	for i, t := range topics {
		if err := g.engine.catchUp(ctx, g.id, t, had[i]); err != nil {
			return nil, fmt.Errorf("queue: first cursors of group %q: %w", g.name, translate(err))
		}
	}
	if next != nil {
		g.mu.Lock()
		g.kept = next
		g.mu.Unlock()
	}
	return unknown, nil
}

// next returns what the roster is to have of the group from now on, nil if that is what it has.
func (g *group) next(want *queue.Group, keep bool) *standing {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, buries := g.standing(), want.Failure.BuryExpired
	if len(g.members) > 0 {
		if !buries || g.kept != nil && g.kept.BuryExpired {
			return nil
		}
		s.BuryExpired = true
		return s
	}
	if g.kept == nil && !keep && want.ExpireAfter == 0 && !want.Uncounted && !buries {
		return nil
	}
	s.Topics, s.Order, s.Guarantee, s.Exclusive, s.ExpireAfter, s.Unused = sortedTopics(want), want.Order, want.Guarantee, want.Exclusive, want.ExpireAfter, 0
	s.Uncounted, s.BuryExpired = want.Uncounted, buries
	if g.kept != nil && reflect.DeepEqual(s, g.kept) {
		return nil
	}
	return s
}

// unknown lists the partitions of topics that the group never had in this process.
func (g *group) unknown(want *queue.Group, topics []*topic) ([]*partition, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.agree(want); err != nil {
		return nil, err
	}
	if g.set == nil {
		g.set = lanes.NewSet((*message).freed)
	}
	var ps []*partition
	for _, t := range topics {
		for n := range t.partitions() {
			if _, ok := g.known[t.Partition(n)]; !ok {
				ps = append(ps, newPartition(g, t, n))
			}
		}
	}
	return ps, nil
}

func ranges(done []storage.Range) []frontier.Range {
	var rs []frontier.Range
	for _, r := range done {
		rs = append(rs, frontier.Range(r))
	}
	return rs
}

// enlist makes m a member. The caller holds g.setup, so nobody joined since prepare. If the group goes on with that, it returns the partitions that cannot be handed out, and why.
func (g *group) enlist(m *member, topics []*topic, made []*partition) (silent map[*partition]error, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.engine.over(); err != nil {
		return nil, err
	}
	if g.deleted {
		return nil, g.err
	}
	for _, p := range made {
		g.learn(p)
	}
	if len(g.members) == 0 {
		if silent, err = g.begin(m, topics); err != nil {
			return nil, err
		}
	} else if err := g.activate(made); err != nil {
		return nil, err
	}
	if g.err != nil {
		return nil, g.err
	}
	g.ahead.Items = max(g.ahead.Items, m.Group.Batch.Messages)
	g.ahead.Bytes = max(g.ahead.Bytes, m.Group.Batch.Bytes)
	g.members = append(g.members, m)
	g.buries = g.buries || m.Group.Failure.BuryExpired
	g.rebalance()
	return silent, nil
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
		g.watcher = storage.NewWatcher()
		g.forgetBefore()
	}
	g.known[p.id] = p
	p.lanes = g.set.Partition()
	if p.marked {
		p.touch()
	}
	if p.park != nil {
		p.park.learned()
	}
}

// begin takes the settings of the first member, and starts to follow its partitions.
func (g *group) begin(m *member, topics []*topic) (silent map[*partition]error, err error) {
	if err := g.choose(&m.Group, topics); err != nil {
		return nil, err
	}
	if silent, err = g.silent(); err != nil {
		return nil, err
	}
	for _, p := range g.active {
		if err := p.follow(); err != nil {
			g.end()
			return nil, translate(err)
		}
		if p.park != nil {
			p.park.form()
		}
		if g.order == queue.Unordered {
			p.attach(&g.shared)
		}
	}
	return silent, nil
}

// choose makes want's the settings of a group that has no members.
func (g *group) choose(want *queue.Group, topics []*topic) error {
	g.err = nil
	before := g.topics
	defer func() { g.accountOf(append(sortedTopics(want), before...)...) }()
	g.topics, g.order, g.guarantee, g.exclusive, g.uncounted = sortedTopics(want), want.Order, want.Guarantee, want.Exclusive, want.Uncounted
	g.buries = want.Failure.BuryExpired
	g.vacant = g.engine.now() // it was not unused up to now
	g.expires(want.ExpireAfter)
	g.ahead = lanes.Count{Items: aheadRecords, Bytes: aheadBytes}
	g.active = g.active[:0]
	for _, t := range topics {
		for n := range t.partitions() {
			p := g.known[t.Partition(n)]
			if p == nil && n > 0 { // the topic was given it a moment ago: grow is about to come
				continue
			}
			if p == nil {
				g.active = g.active[:0]
				return fmt.Errorf("%w: topic %q, which was deleted meanwhile", queue.ErrNotFound, t.Name)
			}
			if p.lanes.Queued().Items > 0 { // read to be dropped, while there were no members, in another order perhaps
				p.rewind()
			}
			g.active = append(g.active, p)
		}
	}
	// Neighbours are of different topics, so that each member gets some of each.
	slices.SortStableFunc(g.active, func(a, b *partition) int { return a.number - b.number })
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
	if g.exclusive {
		g.letGo() // whoever is next
	}
}

// end gives up what only members need. Cursors, and what is known of failures, stay.
func (g *group) end() {
	g.slabs = nil
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
	g.vacant = g.engine.now()
	g.expires(g.expireAfter)
}
