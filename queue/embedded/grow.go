package embedded

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/storage"
)

// A topic is given partitions in one entry of the store, which has cursors at their beginning for the groups that have come to the topic. Only then do publishers, readers and groups in
// this process see them. Whoever stores first cursors on all partitions of a topic looks behind that whether there are more by now: either the store knew of these cursors when the topic was
// given its partitions, or this is seen then. See catchUp.

// AddPartitions implements queue.EngineGrower.
func (e *engine) AddPartitions(ctx context.Context, name string, total int) error {
	t, err := e.topic(name)
	if err != nil {
		return err
	}
	err = e.growTopic(ctx, t, total)
	switch {
	case errors.Is(err, storage.ErrShrink):
		return configFault(name, []queue.Fault{{
			Field: "Partitions", Have: strconv.Itoa(t.partitions()), Want: strconv.Itoa(total), Rule: "never fewer than before: make another topic, and move what it holds",
		}})
	case err != nil:
		return translate(err)
	}
	for _, g := range e.allGroups() { // also those that an earlier call that was cut short did not come to; the caller's ctx counts no more
		err = errors.Join(err, g.grow(e.flusher.ctx, t))
	}
	e.changes.notify()
	return err
}

// growTopic has the store and the topic have the partitions. Where the topic has more already, since another call has given them a moment ago, they are seen by all before that is told.
func (e *engine) growTopic(ctx context.Context, t *topic, total int) error {
	stored, err := e.store.GrowTopic(ctx, t.Name, total)
	switch {
	case err != nil && !errors.Is(err, storage.ErrShrink):
		return err
	case err == nil && stored.First != t.First: // it was deleted, and made anew
		return storage.ErrNotFound
	}
	return errors.Join(err, e.relearn(t))
}

// catchUp gives a group whose first cursors on the first partitions of t were stored a moment ago, as many as it had, those on partitions that the topic was given before that.
func (e *engine) catchUp(ctx context.Context, g storage.GroupID, t *topic, had int) error {
	stored, ok := e.store.Topic(t.Name)
	if !ok || stored.First != t.First {
		return nil
	}
	var first storage.Entry
	for n := had; n < stored.Partitions; n++ {
		if _, there := e.store.Cursor(g, stored.Partition(n)); !there {
			first.Cursors = append(first.Cursors, storage.Cursor{Group: g, Partition: stored.Partition(n)})
		}
	}
	if first.Cursors == nil {
		return nil
	}
	_, err := e.store.Append(ctx, &first)
	return err
}

// grow has a group that reads t, or did in this process, know all partitions of it.
func (g *group) grow(ctx context.Context, t *topic) error {
	if err := g.lock(ctx); err != nil { // nobody joins, and the group is not moved
		return err
	}
	defer g.unlock()
	ps := g.given(t)
	bare := map[*partition]bool{}
	for _, p := range ps {
		if !p.restore(g) {
			p.window.Restore(&frontier.State{})
			bare[p] = true
		}
		p.sure = p.window.Floor()
		if err := p.recall(g); err != nil {
			return err
		}
	}
	g.mu.Lock()
	for _, p := range ps {
		g.learn(p)
		if bare[p] {
			p.touch()
		}
	}
	err := g.widen(t)
	g.mu.Unlock()
	g.tellRevoked()
	return err
}

// widen has the members of the group, or the next that come, have all partitions of t that it knows. It is called with g.mu held.
func (g *group) widen(t *topic) error {
	if !slices.Contains(g.topics, t.Name) {
		return nil
	}
	var ps []*partition
	for n := range t.partitions() {
		if p := g.known[t.Partition(n)]; p != nil {
			ps = append(ps, p)
		}
	}
	err := g.activate(ps)
	g.rebalance()
	g.wakeAll()
	return err
}

// given makes the partitions of t that the group does not know. What it has of a group that nobody joined in this process is looked for anew.
func (g *group) given(t *topic) (ps []*partition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known == nil {
		g.forgetBefore()
		return nil
	}
	if g.deleted || g.known[t.First] == nil {
		return nil
	}
	for n := range t.partitions() {
		if g.known[t.Partition(n)] == nil {
			ps = append(ps, newPartition(g, t, n))
		}
	}
	return ps
}

// activate adds partitions that the group knows to those of its members, or of the last that there were, if they read the topic. It is called with g.mu held.
func (g *group) activate(ps []*partition) error {
	has := make(map[*partition]bool, len(g.active))
	for _, p := range g.active {
		has[p] = true
	}
	grown := map[*topic]bool{}
	for _, p := range ps {
		if has[p] || !slices.Contains(g.topics, p.topic.Name) {
			continue
		}
		grown[p.topic] = true
		if len(g.members) > 0 {
			if err := p.follow(); err != nil {
				return translate(err)
			}
			if p.park != nil {
				p.park.form()
			}
		}
		g.active = append(g.active, p)
		if g.order == queue.Unordered && len(g.members) > 0 {
			p.attach(&g.shared)
		}
	}
	for t := range grown {
		g.account(t, nil)
	}
	slices.SortStableFunc(g.active, func(a, b *partition) int { return a.number - b.number })
	return nil
}
