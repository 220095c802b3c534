package core

import (
	"context"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// A topic of level MemoryOnly is durable itself. Its records, and the cursors on them, are in memory only: they have no frames in a journal, and an
// entry that holds nothing else is committed in place, whatever the journal waits for. Cursors on such a topic may
// also come with an entry that is durable: they take effect when it commits.

// Volatile tells whether the partition's records and cursors are in memory only. It is so for life.
func (p *Partition) Volatile() bool { return p.Strategy().Level == storage.MemoryOnly }

// sums tells whether frames of p, or of no partition, may come to where their sums are looked at. What is in memory only is never looked at so.
func (c *Core) sums(p *Partition) bool { return c.memory != nil && (p == nil || !p.Volatile()) }

// placed is a cursor of a volatile partition.
type placed struct {
	part  *Partition
	group storage.GroupID
	floor int64
	body  []byte
	seq   uint64 // of all that is staged in memory: the cursor that was staged last stays, whichever commits last
}

func (e *Entry) addPlaced(p *Partition, c *storage.Cursor) {
	e.placed = append(e.placed, placed{part: p, group: c.Group, floor: c.Floor, body: frame.AppendCursor(nil, c)})
}

// checkLevels refuses records in memory together with anything that is durable, and notes whether all of e is in memory.
func (e *Entry) checkLevels() error {
	inMemory := 0
	for i := range e.Frames {
		if p := e.Frames[i].Part; p != nil && p.Volatile() {
			inMemory++
		}
	}
	if inMemory > 0 && inMemory < len(e.Frames) {
		return storage.ErrMixedDurability
	}
	e.volatile = inMemory == len(e.Frames)
	return nil
}

// commitVolatile commits x, all of which is in memory only.
func (c *Core) commitVolatile(ctx context.Context, x *Entry) error {
	if err := ctx.Err(); err != nil {
		return NoRoom(err)
	}
	if err := c.claim(x); err != nil {
		return err
	}
	if c.memory == nil { // memory is all that the backend has, and bounded by it
		if err := c.backend.Room(ctx, x); err != nil {
			x.unclaim(len(x.Frames))
			return err
		}
	}
	_, err := c.stage(x)
	if err != nil {
		x.unclaim(len(x.Frames))
	}
	return err
}

// stageVolatile commits x in the memory for volatile partitions. Its partitions are locked.
func (c *Core) stageVolatile(x *Entry) {
	c.CommitInPlace(x, func(p *Partition, last *Block, n int) *Block { return c.memory.Grow(p, last, n, c.memory.Usual()) })
}

// sequence gives the cursors of e their place in the order of all that is staged in memory. Its records, if they are in memory only, get theirs in show.
func (e *Entry) sequence() {
	for i := range e.placed {
		e.placed[i].seq = e.core.staged.Add(1)
	}
}

// place has cursors take effect, unless newer ones did before. No partition is locked.
func place(cursors []placed) {
	for i := range cursors {
		cur := &cursors[i]
		p := cur.part
		p.mu.Lock()
		was, had := p.cursors[cur.group]
		if !had || was.seq < cur.seq {
			if p.cursors == nil {
				p.cursors = map[storage.GroupID]placed{}
			}
			p.cursors[cur.group] = *cur
		}
		p.mu.Unlock()
		p.share.finished(p)
	}
}

// cursor returns the cursor of g on p, which is volatile.
func (p *Partition) cursor(g storage.GroupID) (storage.Cursor, bool) {
	p.mu.Lock()
	cur, ok := p.cursors[g]
	p.mu.Unlock()
	if !ok {
		return storage.Cursor{}, false
	}
	c, err := frame.DecodeCursor(cur.body, uint32(p.ID))
	return c, err == nil
}

// floor returns the lowest floor of all cursors on p, which is volatile.
func (p *Partition) floor(holders map[storage.GroupID]bool) (floor Floor, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for g, cur := range p.cursors {
		floor = floor.add(cur.floor, holders[g], ok)
		ok = true
	}
	return floor, ok
}

// forgetGroup removes the cursors of g on p, which is volatile.
func (p *Partition) forgetGroup(g storage.GroupID) {
	p.mu.Lock()
	_, had := p.cursors[g]
	delete(p.cursors, g)
	p.mu.Unlock()
	if had {
		p.share.finished(p) // for the others may have
	}
}

// volatileParts returns all partitions of topics in memory.
func (c *Core) volatileParts() (ps []*Partition) {
	for _, t := range c.Catalog.TopicsWith(func(s *storage.Strategy) bool { return s.Level == storage.MemoryOnly }) {
		ps = append(ps, c.Catalog.PartitionsOf(&t)...)
	}
	return ps
}

// Cursor is storage.Store's.
func (c *Core) Cursor(g storage.GroupID, id storage.PartitionID) (storage.Cursor, bool) {
	if p := c.Catalog.Partition(id); p != nil && p.Volatile() {
		return p.cursor(g)
	}
	return c.State.Cursor(g, id)
}

// Floors returns the lowest floor of all cursors for each partition that has any.
func (c *Core) Floors() map[storage.PartitionID]Floor {
	holders := c.Catalog.holders()
	floors := c.State.floors(holders)
	for _, p := range c.volatileParts() {
		if floor, ok := p.floor(holders); ok {
			floors[p.ID] = floor
		}
	}
	return floors
}
