package core

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// AlterTopic is storage.Store's.
func (c *Core) AlterTopic(ctx context.Context, name string, s storage.Strategy, settings []byte) error {
	spec := storage.TopicSpec{Name: name, Strategy: s, Settings: append([]byte(nil), settings...)}
	if err := checkStrategy(&spec); err != nil {
		return err
	}
	var have storage.Topic
	var moved bool // to or from MemoryOnly
	done, err := c.change(ctx, "topic "+name, func() (ok bool) {
		have, ok = c.Catalog.Topic(name)
		moved = ok && (have.Strategy.Level == storage.MemoryOnly) != (s.Level == storage.MemoryOnly)
		return ok && !moved
	}, func(x *Entry) {
		t := have
		t.Strategy, t.Settings = spec.Strategy, spec.Settings
		x.AddState(frame.Alter, nil, 0, frame.AppendTopic(nil, &t), func() { c.Catalog.Alter(t) })
	})
	switch {
	case err != nil || done:
		return err
	case moved:
		return &storage.StrategyError{Topic: name, Field: "Level", Rule: "a topic stays MemoryOnly, or not, for life: make another and move what it holds"}
	}
	return storage.ErrNotFound
}

// DeleteTopic is storage.Store's.
func (c *Core) DeleteTopic(ctx context.Context, name string) error {
	var have storage.Topic
	done, err := c.change(ctx, "topic "+name, func() (ok bool) {
		have, ok = c.Catalog.Topic(name)
		return ok
	}, func(x *Entry) {
		x.AddState(frame.Drop, nil, 0, frame.AppendDrop(nil, have.First), func() { c.Drop(have.First) })
		x.deletes = func() {
			for _, p := range c.Catalog.PartitionsOf(&have) {
				p.leaving.Store(true)
			}
		}
	})
	if err == nil && !done {
		err = storage.ErrNotFound
	}
	return err
}

// Drop removes a topic whose deletion has committed, with its cursors.
func (c *Core) Drop(first storage.PartitionID) {
	gone := c.Catalog.Drop(first)
	ids := make(map[storage.PartitionID]bool, len(gone))
	for _, p := range gone {
		ids[p.ID] = true
	}
	c.State.Forget(func(k CursorKey) bool { return ids[k.Partition] })
	for _, p := range gone {
		c.trimmed.Add(p.Marks().Records - p.ordinalOf(0))
		c.backend.Trimmed(p)
	}
}

// DeleteGroup is storage.Store's.
func (c *Core) DeleteGroup(ctx context.Context, name string) error {
	var have storage.Group
	done, err := c.change(ctx, "group "+name, func() (ok bool) {
		have, ok = c.Catalog.group(name)
		return ok
	}, func(x *Entry) {
		x.AddState(frame.GroupDrop, nil, 0, frame.AppendGroupDrop(nil, have.ID), func() { c.DropGroup(have.ID) })
		x.deletes = func() { c.Catalog.disown(have.ID) }
	})
	if err == nil && !done {
		err = storage.ErrNotFound
	}
	return err
}

// DropGroup removes a group whose deletion has committed, with its cursors.
func (c *Core) DropGroup(id storage.GroupID) {
	c.Catalog.DropGroup(id)
	c.State.Forget(func(k CursorKey) bool { return k.Group == id })
	for _, p := range c.volatileParts() {
		p.forgetGroup(id)
	}
}

// Trim is storage.Store's.
func (c *Core) Trim(ctx context.Context, id storage.PartitionID, first int64) error {
	p, err := c.partition(id)
	if err != nil {
		return err
	}
	if next := p.bounds().Next; first > next {
		return fmt.Errorf("storage: trimming partition %d up to offset %d: it goes up to %d", id, first, next)
	}
	return c.TrimAll(ctx, []Cut{{p, first}})
}

// Cut says that the records of a partition below First go.
type Cut struct {
	Part  *Partition
	First int64
}

// maxCuts bounds the frames of one entry.
const maxCuts = 1 << 14

// TrimAll removes what lies below the cuts, in as few entries as possible. A partition that was dropped meanwhile is passed over.
func (c *Core) TrimAll(ctx context.Context, cuts []Cut) error {
	for len(cuts) > 0 {
		n := min(len(cuts), maxCuts)
		err := c.trimSome(ctx, cuts[:n])
		if errors.Is(err, storage.ErrNotFound) && n > 1 { // one of them: each by itself
			err = nil
			for i := range cuts[:n] {
				if e := c.trimSome(ctx, cuts[i:i+1]); !errors.Is(e, storage.ErrNotFound) {
					err = errors.Join(err, e)
				}
			}
		}
		if err != nil {
			return err
		}
		cuts = cuts[n:]
	}
	return nil
}

func (c *Core) trimSome(ctx context.Context, cuts []Cut) error {
	x := c.take()
	defer c.give(x)
	for _, cut := range cuts {
		switch {
		case cut.First <= cut.Part.bounds().First:
		case cut.Part.Volatile():
			if err := c.Writable(); err != nil {
				return err
			}
			c.Begin(cut.Part, cut.First)
		default:
			x.AddState(frame.Start, cut.Part, cut.First, nil, func() { c.Begin(cut.Part, cut.First) })
		}
	}
	if len(x.Frames) == 0 {
		return c.Writable()
	}
	return c.commit(ctx, x)
}

// CommitState commits a frame of a kind that only the backend knows: see Entry.AddState.
func (c *Core) CommitState(ctx context.Context, kind frame.Kind, p *Partition, body []byte, effect func()) error {
	if err := c.Writable(); err != nil {
		return err
	}
	x := c.take()
	defer c.give(x)
	x.AddState(kind, p, 0, body, effect)
	return c.commit(ctx, x)
}

// Begin removes the records of p below first, now that this has committed.
func (c *Core) Begin(p *Partition, first int64) {
	c.beginning.Lock() // so that nothing is counted twice
	records := p.ordinalOf(first) - p.ordinalOf(0)
	begun := p.Begin(first)
	c.beginning.Unlock()
	if !begun {
		return
	}
	c.trimmed.Add(records)
	c.backend.Trimmed(p)
}
