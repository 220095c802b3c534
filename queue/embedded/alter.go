package embedded

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// AlterTopic gives a topic another strategy and another c.MaxBytes, durable on return; what is stored already follows in the background.
// c.Partitions is what it is, or zero; c.Durability, c.SyncEvery and c.Retention are zero. A topic stays in memory, or not, for life. What
// cannot be is a *queue.ConfigError, and nothing is changed then.
func (e *Engine) AlterTopic(ctx context.Context, name string, c queue.TopicConfig, s storage.Strategy) error {
	if err := e.open(); err != nil {
		return err
	}
	t, err := e.engine.topic(name)
	if err != nil {
		return err
	}
	if c.Partitions == 0 {
		c.Partitions = t.Partitions
	}
	if c, err = e.checkConfig(name, c); err != nil {
		return err
	}
	if c.Partitions != t.Partitions {
		return configFault(name, []queue.Fault{{
			Field: "Partitions", Have: strconv.Itoa(t.Partitions), Want: strconv.Itoa(c.Partitions), Rule: "AlterTopic does not change their number",
		}})
	}
	return e.engine.alterTopic(ctx, t, c, s)
}

func (e *engine) alterTopic(ctx context.Context, t *topic, c queue.TopicConfig, s storage.Strategy) error {
	if err := s.Check(); err != nil {
		return strategyFault(t.Name, err)
	}
	if err := e.supports(&s); err != nil {
		return fmt.Errorf("topic %q: %w", t.Name, err)
	}
	kept, err := encodeSettings(c)
	if err != nil {
		return err
	}
	if err := e.store.AlterTopic(ctx, t.Name, s, kept); err != nil {
		return strategyFault(t.Name, translate(err))
	}
	e.cleaned(&s)
	return e.relearn(t)
}

// relearn takes over what was altered of t. With the lock held, so that the last of several changes counts.
func (e *engine) relearn(t *topic) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	stored, ok := e.store.Topic(t.Name)
	if !ok || stored.First != t.First {
		return nil // it was deleted meanwhile
	}
	m, err := decodeSettings(&stored)
	if err == nil {
		t.manner.Store(m)
	}
	return err
}

// DeleteTopic removes a topic with its messages and the cursors on it, durable on return. Its space is given back in the background. Publishing to it
// is queue.ErrNotFound from then on, and so is what a running Consume of a group that has it among its topics ends with. A topic
// made anew under the name is another: positions of the old one are not found in it.
func (e *Engine) DeleteTopic(ctx context.Context, name string) error {
	if err := e.open(); err != nil {
		return err
	}
	t, err := e.engine.topic(name)
	if err != nil {
		return err
	}
	if err := e.engine.store.DeleteTopic(ctx, name); err != nil {
		return translate(err)
	}
	e.engine.forget(t)
	return nil
}

// forget has nobody use a topic that is deleted.
func (e *engine) forget(t *topic) {
	e.mu.Lock()
	if e.topics[t.Name] == t {
		delete(e.topics, t.Name)
	}
	e.mu.Unlock()
	for _, g := range e.allGroups() {
		g.lose(t)
	}
	e.changes.notify()
}

// lose ends the members of a group that reads t.
func (g *group) lose(t *topic) {
	g.mu.Lock()
	defer g.mu.Unlock()
	reads := false
	for n := range t.Partitions {
		if p := g.known[t.Partition(n)]; p != nil {
			reads = reads || slices.Contains(g.active, p)
			p.gone = true
			delete(g.known, p.id)
		}
	}
	g.dormant = slices.DeleteFunc(g.dormant, func(c storage.Cursor) bool {
		return c.Partition >= t.First && c.Partition < t.Partition(t.Partitions)
	})
	switch {
	case !reads:
	case len(g.members) > 0:
		g.stop(g.deletedTopic(t))
	default:
		g.active = slices.DeleteFunc(g.active, func(p *partition) bool { return p.gone })
	}
}

func (g *group) deletedTopic(t *topic) error {
	return fmt.Errorf("%w: topic %q of group %q was deleted", queue.ErrNotFound, t.Name, g.name)
}

// DeleteGroup removes a group and its cursors, durable on return, so that it holds no messages any more. Running Consumes of it end with
// queue.ErrNotFound. A group made anew under the name begins where its StartIfNew says.
func (e *Engine) DeleteGroup(ctx context.Context, name string) error {
	if err := e.open(); err != nil {
		return err
	}
	g := e.engine.existing(name)
	if g == nil {
		return fmt.Errorf("%w: group %q", queue.ErrNotFound, name)
	}
	if err := e.engine.store.DeleteGroup(ctx, name); err != nil {
		return translate(err)
	}
	e.engine.mu.Lock()
	if e.engine.groups[name] == g {
		delete(e.engine.groups, name)
	}
	e.engine.mu.Unlock()
	g.mu.Lock()
	g.deleted = true
	g.stop(fmt.Errorf("%w: group %q was deleted", queue.ErrNotFound, name))
	g.mu.Unlock()
	e.engine.changes.notify()
	return nil
}

// Trim removes the messages of a partition before a position, whatever the topic's strategy says and whoever has not done them; durable on return.
// Groups that had not done them are told what they missed.
func (e *Engine) Trim(ctx context.Context, before queue.Position) error {
	if err := e.open(); err != nil {
		return err
	}
	t, err := e.engine.topic(before.Topic())
	if err != nil {
		return err
	}
	if err := t.has(before); err != nil {
		return err
	}
	id := t.Partition(before.Partition())
	offset, _ := before.Offset()
	b, err := e.engine.store.Bounds(id)
	if err != nil {
		return translate(err)
	}
	if offset > b.Next {
		return fmt.Errorf("%w: position %s, the partition goes up to %d", queue.ErrNotFound, before, b.Next)
	}
	if err := e.engine.store.Trim(ctx, id, offset); err != nil {
		return translate(err)
	}
	e.engine.changes.notify()
	return nil
}

// Clean applies the cleanup policies of all topics now, and returns when what they remove is no longer there. The engine does it by itself
// from time to time.
func (e *Engine) Clean(ctx context.Context) error {
	if err := e.open(); err != nil {
		return err
	}
	if err := e.engine.store.Clean(ctx); err != nil {
		return translate(err)
	}
	e.engine.changes.notify()
	return nil
}
