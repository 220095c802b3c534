package embedded

import (
	"cmp"
	"slices"

	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/storage"
)

// track is a partition of the store in which a group has a cursor: one of a topic, or where messages of one are parked. All of it is guarded by group.mu.
type track struct {
	of     *partition // the topic's
	id     storage.PartitionID
	window frontier.Window
	dirty  bool    // the window is not what the last flush wrote
	marked bool    // its cursor, as it was found, had start marks, and is to be written without
	flying []int64 // offsets in flight, as group.launch left them
}

// touch has the cursor written at the next flush.
func (t *track) touch() {
	if t.dirty {
		return
	}
	t.dirty = true
	g := t.of.group
	g.dirty = append(g.dirty, t)
	if len(g.dirty) == 1 {
		g.engine.flusher.add(g)
	}
}

// before returns the track whose cursor is to be written no later than that of t, nil if that is so: all that is parked of a key is done before what is not, and after a crash it must not come again behind what
// does not. The other way round, what is parked was written with the cursor of what was done before it. It is called with g.mu held.
func (t *track) before() *track {
	if k := t.of.park; k != nil && t != &k.track && k.dirty {
		return &k.track
	}
	return nil
}

// appendCursors appends what cursor fills in, and before it that of before, if that is not among those of slots anyway.
func (t *track) appendCursors(cs []storage.Cursor, s *frontier.State, slots map[*track][]uint64) []storage.Cursor {
	if b := t.before(); b != nil {
		if _, too := slots[b]; !too {
			cs = append(cs, storage.Cursor{})
			b.cursor(&cs[len(cs)-1], s)
		}
	}
	cs = append(cs, storage.Cursor{})
	t.cursor(&cs[len(cs)-1], s, slots[t]...)
	return cs
}

// parkedFirst sorts tracks so that their cursors may be written one after the other; see before.
func parkedFirst(ts []*track) {
	slices.SortStableFunc(ts, func(a, b *track) int {
		switch aside, beside := a != &a.of.track, b != &b.of.track; {
		case aside == beside:
			return 0
		case aside:
			return -1
		}
		return 1
	})
}

// tracked finds the partition of which id is, or where something of it is parked.
func (g *group) tracked(id storage.PartitionID) *partition {
	if p := g.known[id]; p != nil {
		return p
	}
	for _, p := range g.known {
		if p.park != nil && p.park.id == id {
			return p
		}
	}
	return nil
}

// restore takes over the cursor that the store has of the group, if it has one.
func (t *track) restore(g *group) bool {
	c, ok := g.engine.store.Cursor(g.id, t.id)
	if !ok {
		return false
	}
	s := frontier.State{Floor: c.Floor, Passed: c.Passed, Done: ranges(c.Done)}
	c.Failed, t.marked = suspected(c.Failed, g.engine.died)
	for _, f := range c.Failed {
		s.Failed = append(s.Failed, frontier.Failure(f))
	}
	t.window.Restore(&s)
	return true
}

// cursor fills in c what the store is to have when the records of slots are done. The group was launched since g.mu was taken. s is memory to work with.
func (t *track) cursor(c *storage.Cursor, s *frontier.State, slots ...uint64) {
	t.window.StateAfter(s, slots...)
	c.Group, c.Partition, c.Floor, c.Passed = t.of.group.id, t.id, s.Floor, s.Passed
	c.Done, c.Failed = c.Done[:0], c.Failed[:0]
	for _, r := range s.Done {
		c.Done = append(c.Done, storage.Range(r))
	}
	notes := 0
	for _, failed := range s.Failed {
		if notes += len(failed.Note); notes > maxNotes {
			n := decodeNote(failed.Note)
			n.cause = ""
			failed.Note = n.encode()
		}
		c.Failed = append(c.Failed, storage.Failure(failed))
	}
	c.Failed = t.mark(c.Failed)
}

// mark adds start marks to failures, which ascend, of a track as launch left it.
func (t *track) mark(failed []storage.Failure) []storage.Failure {
	for _, offset := range t.flying {
		i, found := slices.BinarySearchFunc(failed, offset, func(f storage.Failure, offset int64) int { return cmp.Compare(f.Offset, offset) })
		if !found {
			failed = slices.Insert(failed, i, storage.Failure{Offset: offset, Note: started})
			continue
		}
		n := decodeNote(failed[i].Note)
		n.started = true
		failed[i].Note = n.encode()
	}
	return failed
}
