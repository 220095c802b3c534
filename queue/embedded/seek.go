package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/storage"
)

// seek is a group's move to another place, of all its partitions at once.
type seek struct {
	group  *group
	places []landing
	entry  storage.Entry
	fenced []*token // that had a lease
}

// landing is where one partition goes on.
type landing struct {
	id    storage.PartitionID
	state frontier.State
}

// SeekGroup implements queue.EngineGroups.
func (e *engine) SeekGroup(ctx context.Context, name string, to queue.Start) error {
	g, err := e.hold(ctx, name)
	if err != nil {
		return err
	}
	defer g.unlock()
	s := &seek{group: g}
	if err := s.plan(to); err != nil {
		return fmt.Errorf("queue: group %q: %w", name, err)
	}
	if err := s.stand(ctx); err != nil {
		return err
	}
	err = s.store(ctx)
	g.mu.Lock()
	if err == nil {
		s.land()
	}
	e.flusher.turn <- struct{}{}
	s.goOn()
	g.mu.Unlock()
	for _, t := range s.fenced {
		t.member.Fenced(t)
	}
	g.tellRevoked()
	e.changes.notify()
	return err
}

// plan finds out where the partitions go. Those that a Start of positions does not name stay where they are.
func (s *seek) plan(to queue.Start) error {
	g, e := s.group, s.group.engine
	g.mu.Lock()
	names := slices.Clone(g.read())
	resumes := slices.ContainsFunc(g.members, func(m *member) bool { return m.Group.Resume != nil })
	g.mu.Unlock()
	if resumes {
		return &queue.ConfigError{Subject: fmt.Sprintf("group %q", g.name), Faults: []queue.Fault{{
			Field: "Resume", Rule: "its members say by themselves where they go on: change the positions that they have stored",
		}}}
	}
	if err := e.checkStart(to); err != nil {
		return err
	}
	kind, _, ps := to.Resolve()
	if kind == queue.StartFrom || kind == queue.StartAfter {
		for _, p := range ps {
			if !slices.Contains(names, p.Topic()) {
				return fmt.Errorf("%w: position %s, of a topic that it does not read", queue.ErrNotFound, p)
			}
		}
	}
	for _, name := range names {
		t, err := e.topic(name)
		if errors.Is(err, queue.ErrNotFound) { // it was deleted
			continue
		}
		if err != nil {
			return err
		}
		for n := range t.partitions() {
			if (kind == queue.StartFrom || kind == queue.StartAfter) && !slices.ContainsFunc(ps, func(p queue.Position) bool {
				return p.Topic() == name && p.Partition() == n
			}) {
				continue
			}
			state, err := e.begin(t, n, to)
			if err != nil {
				return err
			}
			s.places = append(s.places, landing{t.Partition(n), state})
			s.entry.Cursors = append(s.entry.Cursors, storage.Cursor{
				Group: g.id, Partition: t.Partition(n), Floor: state.Floor, Passed: state.Passed,
			})
		}
	}
	return nil
}

// stand has the group hand out nothing more, waits until nothing of it is being committed, takes the flusher's turn, so that nobody else writes its cursors, and
// takes back what is in flight.
func (s *seek) stand(ctx context.Context) error {
	g := s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seeking = true
	if err := g.takeTurn(ctx); err != nil {
		s.goOn()
		return err
	}
	s.dropParked()
	for _, m := range g.members {
		for i := len(m.out) - 1; i >= 0; i-- {
			if msg := &m.out[i].Value; s.moves(msg.partition.id) {
				if msg.leased > 0 {
					s.fenced = append(s.fenced, msg.token)
				}
				m.settle(msg.token, &queue.Settlement{Outcome: queue.SettleRelease})
			}
		}
	}
	return nil
}

// dropParked has the cursors of what is parked of the partitions move behind it all. Nobody else writes cursors, or parks anything.
func (s *seek) dropParked() {
	e := s.group.engine
	for _, at := range s.group.parkedBefore() {
		if !s.moves(at.partition) {
			continue
		}
		b, err := e.store.Bounds(at.cursor.Partition)
		if err == nil && b.Records > 0 { // else the topic is being deleted
			s.entry.Cursors = append(s.entry.Cursors, storage.Cursor{Group: s.group.id, Partition: at.cursor.Partition, Floor: b.Next, Passed: b.Records})
		}
	}
}

// takeTurn takes flusher.turn when nothing of the group is being committed, which it may have to wait for. It is called with g.mu held and returns with it held;
// meanwhile it may not be.
func (g *group) takeTurn(ctx context.Context) error {
	turn := g.engine.flusher.turn
	for {
		g.uncommitted()
		select {
		case <-turn:
			return nil
		default:
		}
		g.mu.Unlock()
		select {
		case <-turn:
		case <-ctx.Done():
			g.mu.Lock()
			return ctx.Err()
		}
		g.mu.Lock()
		if g.committing == 0 {
			return nil
		}
		turn <- struct{}{} // else the commit could not end
	}
}

func (s *seek) moves(p storage.PartitionID) bool {
	return slices.ContainsFunc(s.places, func(l landing) bool { return l.id == p })
}

// goOn has the group hand out messages again. It is called with g.mu held.
func (s *seek) goOn() {
	s.group.seeking = false
	s.group.letGo()
	s.group.stopIfSpent()
}

// store makes the move durable. Where it fails nothing has moved, unless that is not known; what was in flight comes again.
func (s *seek) store(ctx context.Context) error {
	if len(s.entry.Cursors) == 0 {
		return nil
	}
	if _, err := s.group.engine.store.Append(ctx, &s.entry); err != nil {
		return fmt.Errorf("queue: moving group %q: %w", s.group.name, translate(err))
	}
	return nil
}

// land makes the move the group's own. It is called with g.mu held.
func (s *seek) land() {
	g := s.group
	if g.known == nil {
		g.forgetBefore()
		g.accountOf(g.read()...)
		return
	}
	for i := range s.places {
		at := &s.places[i]
		p := g.known[at.id]
		if p == nil || p.gone { // a topic that it reads no more, or was deleted meanwhile
			continue
		}
		p.restart(&at.state)
		p.mended()
		p.offer()
		g.passOn(p)
	}
}

// mended has a partition be read again that could not be: the place may be behind what is damaged.
func (p *partition) mended() {
	if p.broken == nil {
		return
	}
	p.heal()
	switch g := p.group; {
	case len(g.members) == 0:
	case g.order == queue.Unordered:
		p.attach(&g.shared)
	case p.owner != nil && p.heir == nil && !p.adopting:
		p.attach(p.owner.feed)
	}
}
