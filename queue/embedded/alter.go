package embedded

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// AlterTopic gives a topic another strategy and another c.MaxBytes, c.Dedup and c.Limit, durable on return; what is stored already follows in the background.
// c.Partitions is what it is, or zero; c.Durability, c.SyncEvery and c.Retention are zero. A topic stays in memory, or not, for life. What
// cannot be is a *queue.ConfigError, and nothing is changed then.
//
// Publishers that wait for room at a limit go on waiting at the new one, in turn, and are let in if there is room now; where Limit.WhenFull or the rate is another they come anew, and what becomes of
// them is what the new one says. A backlog that is beyond a new bound stays until groups have done it, or until the next publish where that drops what is oldest.
func (e *Engine) AlterTopic(ctx context.Context, name string, c queue.TopicConfig, s storage.Strategy) error {
	if err := e.open(); err != nil {
		return err
	}
	t, err := e.engine.topic(name)
	if err != nil {
		return err
	}
	if c.Partitions == 0 {
		c.Partitions = t.partitions()
	}
	if c, err = e.checkConfig(name, c); err != nil {
		return err
	}
	if have := t.partitions(); c.Partitions != have {
		return configFault(name, []queue.Fault{{
			Field: "Partitions", Have: strconv.Itoa(have), Want: strconv.Itoa(c.Partitions), Rule: "AlterTopic does not change their number: see Admin.AddPartitions",
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
	if err := e.relearn(t); err != nil {
		return err
	}
	if err := errors.Join(e.alterParkTopics(ctx, t), e.alterWaiting(ctx, t)); err != nil {
		return err
	}
	return errors.Join(e.reconfigureIDs(ctx, t), e.relimit(ctx, t))
}

// relearn takes over what was altered of t. With the lock held, so that the last of several changes counts.
func (e *engine) relearn(t *topic) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	stored, ok := e.store.Topic(t.Name)
	if !ok || stored.First != t.First {
		return nil // it was deleted meanwhile
	}
	t.reshape(&stored) // first, since nobody is to be told of partitions that others do not see
	m, err := decodeSettings(&stored)
	if err == nil {
		t.manner.Store(m)
	}
	return err
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
	return e.engine.trim(ctx, t, id, offset)
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
