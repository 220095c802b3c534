package embedded

import (
	"context"
	"slices"

	"github.com/leatmq/leat/queue"
)

// What operators do to groups. Each takes group.setup, so that nobody joins meanwhile.

// hold finds a group that is there and takes its setup token.
func (e *engine) hold(ctx context.Context, name string) (*group, error) {
	if err := e.over(); err != nil {
		return nil, err
	}
	if err := e.roster.load(); err != nil {
		return nil, err
	}
	g := e.existing(name)
	if g == nil || internal(name) {
		return nil, noGroup(name)
	}
	if err := g.lock(ctx); err != nil {
		return nil, err
	}
	g.mu.Lock()
	there := !g.deleted && g.made()
	g.mu.Unlock()
	if !there {
		g.unlock()
		return nil, noGroup(name)
	}
	return g, nil
}

// lock takes g.setup, and unlock gives it back.
func (g *group) lock(ctx context.Context) error {
	select {
	case <-g.setup:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *group) unlock() { g.setup <- struct{}{} }

// CreateGroup implements queue.EngineGroups.
func (e *engine) CreateGroup(ctx context.Context, want queue.Group) error {
	n, err := e.admitMember(ctx, &want, true)
	if err != nil {
		return err
	}
	g := n.group
	defer g.unlock()
	defer e.changes.notify()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.deleted {
		return g.err
	}
	for _, p := range n.made {
		g.learn(p)
	}
	if len(g.members) > 0 {
		return nil
	}
	return g.choose(&want, n.topics)
}

// PauseGroup implements queue.EngineGroups.
func (e *engine) PauseGroup(ctx context.Context, name string, paused bool) error {
	g, err := e.hold(ctx, name)
	if err != nil {
		return err
	}
	defer g.unlock()
	g.mu.Lock()
	next, was := g.standing(), g.paused()
	g.mu.Unlock()
	if was == paused {
		return nil
	}
	next.Paused = paused
	if err := e.roster.write(ctx, g, next); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.letGo()
	return nil
}

// paused tells whether nothing is to be handed out until an operator says so.
func (g *group) paused() bool { return g.kept != nil && g.kept.Paused }

// letGo wakes all that were kept from receiving.
func (g *group) letGo() {
	for _, m := range g.members {
		m.blocked.wakeAll()
	}
	g.wakeAll()
}

// standsBy tells whether another member has to leave before this one gets anything.
func (m *member) standsBy() bool {
	g := m.group
	return g.exclusive && len(g.members) > 0 && g.members[0] != m
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
