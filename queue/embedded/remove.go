package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// DeleteTopic implements queue.EngineTopics.
func (e *engine) DeleteTopic(ctx context.Context, name string) error {
	t, err := e.topic(name)
	if err != nil {
		return err
	}
	if err := e.store.DeleteTopic(ctx, name); err != nil {
		return translate(err)
	}
	e.forget(t)
	return errors.Join(e.unparkTopics(ctx), e.forgetIDs(ctx, t), e.dropWaiting(ctx))
}

// forget has nobody use a topic that is deleted.
func (e *engine) forget(t *topic) {
	t.gone.Store(true)
	e.mu.Lock()
	if e.topics[t.Name] == t {
		delete(e.topics, t.Name)
	}
	e.mu.Unlock()
	e.letters.forget(t)
	e.flows.forget(t, deleted(t))
	for _, g := range e.allGroups() {
		g.lose(t)
	}
	e.changes.notify()
}

func deleted(t *topic) error {
	return fmt.Errorf("%w: topic %q was deleted", queue.ErrNotFound, t.Name)
}

// lose ends the members of a group that reads t.
func (g *group) lose(t *topic) {
	g.mu.Lock()
	defer g.mu.Unlock()
	reads := false
	for n := range t.partitions() {
		if p := g.known[t.Partition(n)]; p != nil {
			reads = reads || slices.Contains(g.active, p)
			p.gone = true
			delete(g.known, p.id)
		}
	}
	of := func(id storage.PartitionID) bool {
		_, ok := t.index(id)
		return ok
	}
	g.dormant = slices.DeleteFunc(g.dormant, func(c storage.Cursor) bool { return of(c.Partition) })
	g.dormantParked = slices.DeleteFunc(g.dormantParked, func(at parkedAt) bool { return of(at.partition) })
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

// DeleteGroup implements queue.EngineGroups.
func (e *engine) DeleteGroup(ctx context.Context, name string) error {
	g := e.existing(name)
	if g == nil || internal(name) {
		return noGroup(name)
	}
	if err := e.roster.load(); err != nil {
		return err
	}
	return e.deleteGroup(ctx, g)
}

func (e *engine) deleteGroup(ctx context.Context, g *group) error {
	if err := e.store.DeleteGroup(ctx, g.name); err != nil {
		return translate(err)
	}
	e.mu.Lock()
	if e.groups[g.name] == g {
		delete(e.groups, g.name)
	}
	e.mu.Unlock()
	g.mu.Lock()
	g.deleted = true
	kept := g.kept
	g.stop(fmt.Errorf("%w: group %q was deleted", queue.ErrNotFound, g.name))
	g.mu.Unlock()
	g.closeAccounts()
	e.changes.notify()
	if kept != nil {
		e.roster.write(ctx, g, nil) // if that fails, a record is left of a number that is never used again
	}
	e.unparkTopics(ctx) // if that fails, the next open tries again
	return nil
}

// Purge implements queue.EngineTopics.
func (e *engine) Purge(ctx context.Context, topic string) (int64, error) {
	t, err := e.topic(topic)
	if err != nil {
		return 0, err
	}
	var purged int64
	for n := range t.partitions() {
		gone, err := e.purge(ctx, t, t.Partition(n))
		purged += gone
		if err != nil {
			return purged, err
		}
	}
	err = e.purgeParked(ctx, t)
	e.lookAt(t)
	return purged, err
}

func (e *engine) purge(ctx context.Context, t *topic, id storage.PartitionID) (int64, error) {
	b, err := e.store.Bounds(id)
	if err != nil {
		return 0, translate(err)
	}
	stored := e.storedWithin(id, b)
	if stored == 0 {
		return 0, nil
	}
	if err := e.trim(ctx, t, id, b.Next); err != nil {
		return 0, err
	}
	return stored, nil
}

// trim removes the records of a partition of t below an offset that it has. Their IDs are remembered.
func (e *engine) trim(ctx context.Context, t *topic, id storage.PartitionID, first int64) error {
	if err := e.indexIDs(ctx, t); err != nil {
		return err
	}
	if err := e.store.Trim(ctx, id, first); err != nil {
		return translate(err)
	}
	e.lookAt(t)
	e.changes.notify()
	return nil
}
