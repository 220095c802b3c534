package core

import (
	"context"
	"errors"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// Append is storage.Store's.
func (c *Core) Append(ctx context.Context, e *storage.Entry) (storage.Durability, error) {
	if err := c.Writable(); err != nil {
		return 0, err
	}
	size, err := checkSizes(e)
	if err != nil {
		return 0, err
	}
	x := c.take()
	defer c.give(x)
	x.about, x.MakesRoom = size, e.MakesRoom
	if err := c.encode(x, e); err != nil {
		return 0, err
	}
	if len(x.Frames)+len(x.placed) == 0 {
		return storage.InMemory, nil
	}
	if err := c.commit(ctx, x); err != nil {
		if errors.Is(err, storage.ErrIndeterminate) {
			fill(e, x)
		}
		return 0, err
	}
	fill(e, x)
	return durability(x), nil
}

// commit stages x and waits for it.
func (c *Core) commit(ctx context.Context, x *Entry) error {
	if x.volatile {
		return c.commitVolatile(ctx, x)
	}
	if err := c.backend.Room(ctx, x); err != nil {
		return err
	}
	committed, err := c.stage(x)
	if err != nil || committed {
		return err
	}
	return c.backend.Wait(ctx, x)
}

func (c *Core) stage(x *Entry) (committed bool, err error) {
	if x.deletes == nil {
		c.gate.RLock()
		defer c.gate.RUnlock()
	} else { // alone: what was checked against the catalog before is staged before, or is checked again
		c.gate.Lock()
		defer c.gate.Unlock()
	}
	if err := c.stageable(x); err != nil {
		if !x.volatile || c.memory == nil {
			c.backend.Unroom(x)
		}
		return false, err
	}
	if x.deletes != nil {
		x.deletes()
	}
	if committed, err = c.stageLocked(x); committed {
		place(x.placed)
		x.tell()
	}
	return committed, err
}

func (c *Core) stageLocked(x *Entry) (committed bool, err error) {
	x.lock()
	defer x.unlock()
	x.number()
	x.sequence()
	if x.volatile && c.memory != nil {
		c.stageVolatile(x)
		return true, nil
	}
	return c.backend.Stage(x)
}

// stageable tells whether x may still be staged: what it is about may have been deleted since it was encoded. The gate is held, so that nothing is
// deleted until x is staged.
func (c *Core) stageable(x *Entry) error {
	if err := c.Writable(); err != nil {
		return err
	}
	for i := range x.Frames {
		f := &x.Frames[i]
		p := f.owner
		if f.Part != nil {
			p = f.Part
		}
		if p != nil && p.leaving.Load() {
			return storage.ErrNotFound
		}
		if f.Header.Kind == frame.Cursor && !c.Catalog.hasGroup(f.cursor.Group) {
			return storage.ErrNotFound
		}
	}
	for i := range x.placed {
		if cur := &x.placed[i]; cur.part.leaving.Load() || !c.Catalog.hasGroup(cur.group) {
			return storage.ErrNotFound
		}
	}
	return nil
}

func (c *Core) take() *Entry {
	if x, ok := c.entries.Get().(*Entry); ok {
		return x
	}
	return &Entry{core: c}
}

func (c *Core) give(x *Entry) {
	x.reset()
	c.entries.Put(x)
}

// checkSizes refuses what is too large before anything is allocated for it, and returns about what the entry takes.
func checkSizes(e *storage.Entry) (int, error) {
	total := int64(0)
	for i := range e.Batches {
		rs := e.Batches[i].Records
		for j := range rs {
			size := rs[j].Size()
			if size > storage.MaxRecord {
				return 0, &storage.LimitError{What: "record", Size: int64(size), Max: storage.MaxRecord}
			}
			total += int64(size) + recordOverhead
		}
	}
	for i := range e.Cursors {
		c := &e.Cursors[i]
		total += int64(len(c.Done)+len(c.Failed)) * 4
		for j := range c.Failed {
			size := int64(len(c.Failed[j].Note))
			if size > storage.MaxNote {
				return 0, &storage.LimitError{What: "note", Size: size, Max: storage.MaxNote}
			}
			total += size
		}
	}
	if total > storage.MaxEntry {
		return 0, &storage.LimitError{What: "entry", Size: total, Max: storage.MaxEntry}
	}
	return int(total) + frame.HeaderSize*(len(e.Batches)+len(e.Cursors)+1), nil
}

// recordOverhead is about what a record's encoding adds to it.
const recordOverhead = 16

func (c *Core) encode(x *Entry, e *storage.Entry) error {
	x.At = c.Clock.at(e.Now)
	for i := range e.Batches {
		b := &e.Batches[i]
		p := c.Catalog.Partition(b.Partition)
		if p == nil {
			return storage.ErrNotFound
		}
		if len(b.Records) > 0 {
			x.addBatch(p, b)
		}
	}
	for i := range e.Cursors {
		cur := &e.Cursors[i]
		p := c.Catalog.Partition(cur.Partition)
		if p == nil || !c.Catalog.hasGroup(cur.Group) {
			return storage.ErrNotFound
		}
		if err := checkCursor(cur, p.bounds().Next); err != nil {
			return err
		}
		if p.Volatile() {
			x.addPlaced(p, cur)
		} else {
			x.addCursor(p, cur)
		}
	}
	if err := x.checkLevels(); err != nil {
		return err
	}
	if x.Bytes > storage.MaxEntry+(1<<20) {
		return &storage.LimitError{What: "entry", Size: int64(x.Bytes), Max: storage.MaxEntry}
	}
	if !x.order() {
		return ErrTwice
	}
	return nil
}

// ErrTwice is returned for an entry with two batches of one partition.
var ErrTwice = errors.New("storage: two batches of one partition in an entry")

// errCursor is returned for a cursor that cannot be.
var errCursor = errors.New("storage: a cursor's ranges must ascend above its floor and end within the committed offsets")

func checkCursor(c *storage.Cursor, next int64) error {
	at := c.Floor
	if at < 0 || c.Passed < 0 {
		return errCursor
	}
	for _, r := range c.Done {
		if r.From <= at || r.To <= r.From {
			return errCursor
		}
		at = r.To
	}
	if at > next {
		return errCursor
	}
	before := c.Floor - 1
	for _, f := range c.Failed {
		if f.Offset <= before || f.Offset >= next {
			return errCursor
		}
		before = f.Offset
	}
	return nil
}

// fill tells the caller's records where they are.
func fill(e *storage.Entry, x *Entry) {
	i := 0
	for b := range e.Batches {
		rs := e.Batches[b].Records
		if len(rs) == 0 {
			continue
		}
		h := &x.Frames[i].Header
		appended := unixNano(h.Time)
		for r := range rs {
			rs[r].Offset, rs[r].Appended = h.Base+int64(r), appended
		}
		i++
	}
}

func durability(x *Entry) storage.Durability {
	switch {
	case x.Group == nil:
		return storage.InMemory
	case x.Sync:
		return storage.Synced
	}
	return storage.Written
}

// NoRoom returns the error of an append that found no room before its wait ended, or at once if there are no causes.
func NoRoom(causes ...error) error {
	cause := errors.Join(causes...)
	if cause == nil {
		return storage.ErrFull
	}
	return errors.Join(storage.ErrFull, cause)
}
