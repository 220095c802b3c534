package core

import (
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// Group is entries that commit together.
type Group struct {
	Done chan struct{} // closed when the outcome is known
	Err  error         // read after Done: why it is not known whether the entries are stored

	touched []touch
	cursors []cursorBody
	placed  []placed
	topics  []*storage.Topic
	groups  []*storage.Group
	effects []func()
	last    frame.LSN
	bytes   int64

	one [1]touch // where touched begins: for a group of one entry, all of it
}

type touch struct {
	part          *Partition
	next, records int64
}

type cursorBody struct {
	key  CursorKey
	body []byte
}

// Begin makes the zero Group an empty one.
func (g *Group) Begin() {
	g.Done = make(chan struct{})
	g.touched = g.one[:0]
}

// Add notes what e changes. Under the backend's staging lock, and e's partitions are locked; number is the group's own.
func (g *Group) Add(e *Entry, number uint64) {
	for i := range e.Frames {
		f := &e.Frames[i]
		switch {
		case f.Part != nil:
			g.touch(f.Part, number)
		case f.topic != nil:
			g.topics = append(g.topics, f.topic)
		case f.group != nil:
			g.groups = append(g.groups, f.group)
		case f.effect != nil:
			g.effects = append(g.effects, f.effect)
		case f.Header.Kind == frame.Cursor:
			g.cursors = append(g.cursors, cursorBody{f.cursor, append([]byte(nil), e.Body(f)...)})
		}
		g.last = f.Header.LSN
	}
	g.placed = append(g.placed, e.placed...)
	g.bytes += int64(e.Bytes)
}

// touch notes how far p is staged, once for each group.
func (g *Group) touch(p *Partition, number uint64) {
	if p.Open.Group != number {
		p.Open.Group, p.Open.Index = number, len(g.touched)
		g.touched = append(g.touched, touch{part: p})
	}
	t := &g.touched[p.Open.Index]
	t.next, t.records = p.next, p.count
}

// Apply makes the group's entries visible. Groups are applied in their order, by one goroutine.
func (c *Core) Apply(g *Group) {
	c.applying.Lock()
	defer c.applying.Unlock()
	for _, t := range g.topics {
		c.Catalog.AddTopic(*t)
	}
	for _, gr := range g.groups {
		c.Catalog.AddGroup(*gr)
	}
	var records int64
	for i := range g.touched {
		t := &g.touched[i]
		t.part.mu.Lock()
		records += max(0, t.records-t.part.records)
		watches := t.part.raise(t.next, t.records)
		t.part.mu.Unlock()
		for _, w := range watches {
			w.Notify(t.part.ID)
		}
	}
	place(g.placed)
	c.appended.Add(records)
	c.appendedBytes.Add(g.bytes)
	c.State.mu.Lock()
	for i := range g.cursors {
		c.State.cursors[g.cursors[i].key] = g.cursors[i].body
	}
	if len(g.effects) > 0 {
		c.State.mu.Unlock()
		for _, effect := range g.effects {
			effect()
		}
		c.State.mu.Lock()
	}
	c.State.applied = max(c.State.applied, g.last)
	c.State.mu.Unlock()
}
