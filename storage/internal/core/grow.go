package core

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// GrowTopic is storage.Store's.
func (c *Core) GrowTopic(ctx context.Context, name string, total int) (storage.Topic, error) {
	if total < 1 || total > storage.MaxPartitions {
		return storage.Topic{}, &storage.LimitError{What: "number of partitions", Size: int64(total), Max: storage.MaxPartitions}
	}
	if err := c.idsFor(total); err != nil {
		return storage.Topic{}, err
	}
	for {
		g := growth{core: c, total: total}
		done, err := c.change(ctx, "topic "+name, func() bool { return g.look(name) }, g.fill)
		if errors.Is(err, storage.ErrNotFound) { // a group was deleted meanwhile
			continue
		}
		if err == nil && !done {
			err = g.why(name)
		}
		if err != nil {
			return storage.Topic{}, err
		}
		return g.topic, nil
	}
}

// growth is one GrowTopic under way.
type growth struct {
	core   *Core
	total  int
	topic  storage.Topic // as it is, and then as it is to be
	there  bool
	groups []storage.GroupID // that have a cursor on the topic, and get one on each new partition
}

// look tells whether there is something to do that can be done.
func (g *growth) look(name string) bool {
	g.topic, g.there = g.core.Catalog.Topic(name)
	if !g.there || g.topic.Partitions >= g.total {
		return false
	}
	g.groups = slices.DeleteFunc(g.core.State.groupsOn(&g.topic), func(id storage.GroupID) bool { return !g.core.Catalog.hasGroup(id) })
	return g.bytes() <= storage.MaxEntry
}

// bytes is what the cursors take, at most.
func (g *growth) bytes() int64 {
	const cursor = 16 // the body of one that has done nothing
	return int64(len(g.groups)) * int64(g.total-g.topic.Partitions) * int64(frame.Size(cursor))
}

func (g *growth) why(name string) error {
	switch have := g.topic.Partitions; {
	case !g.there:
		return storage.ErrNotFound
	case have > g.total:
		return fmt.Errorf("%w: topic %q has %d, asked for were %d", storage.ErrShrink, name, have, g.total)
	case have < g.total:
		return &storage.LimitError{What: "entry of all groups' cursors on the new partitions", Size: g.bytes(), Max: storage.MaxEntry}
	}
	return nil
}

// fill makes the entry: the topic, and behind it the cursors, since their partitions are known from there on.
func (g *growth) fill(x *Entry) {
	c, from := g.core, g.topic.Partitions
	first := c.Catalog.takePartitions(g.total - from)
	g.topic = grown(g.topic, g.total, first)
	t := g.topic
	x.AddState(frame.Alter, nil, 0, frame.AppendTopic(nil, &t), func() {
		c.Catalog.Alter(t)
		c.beginVolatile(&t, from)
	})
	for _, group := range g.groups {
		for n := from; n < g.total; n++ {
			cur := storage.Cursor{Group: group, Partition: t.Partition(n)}
			at := x.begin()
			x.buf = frame.AppendCursor(x.buf, &cur)
			x.finish(at, Frame{cursor: CursorKey{cur.Group, cur.Partition}, Header: frame.Header{Kind: frame.Cursor, Partition: uint32(cur.Partition)}})
		}
	}
}

// groupsOn lists the groups that have a cursor on a partition of the topic.
func (s *State) groupsOn(t *storage.Topic) []storage.GroupID {
	s.mu.Lock()
	defer s.mu.Unlock()
	on := map[storage.GroupID]bool{}
	for k := range s.cursors {
		if _, ok := t.Index(k.Partition); ok {
			on[k.Group] = true
		}
	}
	return slices.Sorted(maps.Keys(on))
}

// beginVolatile gives the groups that have a cursor on a partition of a topic in memory one on each of those from from on.
func (c *Core) beginVolatile(t *storage.Topic, from int) {
	if t.Strategy.Level != storage.MemoryOnly {
		return
	}
	ps := c.Catalog.PartitionsOf(t)
	if len(ps) <= from {
		return
	}
	on := map[storage.GroupID]bool{}
	for _, p := range ps[:from] {
		p.mu.Lock()
		for g := range p.cursors {
			on[g] = true
		}
		p.mu.Unlock()
	}
	for _, g := range slices.Sorted(maps.Keys(on)) {
		for _, p := range ps[from:] {
			cur := storage.Cursor{Group: g, Partition: p.ID}
			place([]placed{{part: p, group: g, body: frame.AppendCursor(nil, &cur), seq: c.staged.Add(1)}})
		}
	}
}

// grown returns a topic with so many partitions: those that it has not yet have consecutive IDs from first on.
func grown(t storage.Topic, total int, first storage.PartitionID) storage.Topic {
	if first != End(&t) {
		t.Added = append(t.Added[:len(t.Added):len(t.Added)], storage.Stretch{From: t.Partitions, First: first})
	}
	t.Partitions, t.Past = total, padded(t.Past, total)
	return t
}

// Extend gives t the partitions that like, which is the same topic later, has more.
func Extend(t, like *storage.Topic) {
	if like.Partitions > t.Partitions {
		t.Partitions, t.Added, t.Past = like.Partitions, like.Added, padded(t.Past, like.Partitions)
	}
}

// padded returns earlier incarnations of a topic that has more partitions now: of these, they had nothing.
func padded(past []storage.Life, partitions int) []storage.Life {
	var all []storage.Life
	for _, life := range past {
		next := make([]int64, partitions)
		copy(next, life.Next)
		all = append(all, storage.Life{Incarnation: life.Incarnation, Next: next})
	}
	return all
}

// End returns the ID behind those of all partitions of a topic.
func End(t *storage.Topic) storage.PartitionID { return t.Partition(t.Partitions-1) + 1 }

// idsFor refuses n more partitions when so many IDs are not left: none is ever used again.
func (c *Core) idsFor(n int) error {
	if next, _ := c.Catalog.NextIDs(); int64(next)+int64(n) > math.MaxUint32 {
		return &storage.LimitError{What: "number of partitions ever made", Size: int64(next) + int64(n), Max: math.MaxUint32}
	}
	return nil
}
