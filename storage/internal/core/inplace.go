package core

import "github.com/leatmq/leat/storage/internal/frame"

// inPlace tells whether entries with records of p are committed in place: their records are encoded where they are to lie, once.
func (c *Core) inPlace(p *Partition) bool { return c.memory == nil || p.Volatile() }

// CommitInPlace commits a staged entry at once: for a backend that has nothing but memory. The partitions are locked for appending. block returns a new block
// for n bytes of a partition, whose last one, nil if it has none, has no room for them. Who watches is told afterwards, by tell.
func (c *Core) CommitInPlace(e *Entry, block func(p *Partition, last *Block, n int) *Block) {
	for i := range e.Frames {
		if f := &e.Frames[i]; f.Part != nil {
			f.put(block)
		}
	}
	for _, p := range e.parts {
		p.mu.Lock()
	}
	for i := range e.Frames {
		c.show(e, &e.Frames[i])
	}
	for _, p := range e.parts {
		p.mu.Unlock()
	}
}

// put encodes a batch where it is to lie, behind what its partition has. Nobody reads there yet.
func (f *Frame) put(block func(p *Partition, last *Block, n int) *Block) {
	size := int(f.Header.BodyLen)
	last, roomy := f.Part.retainLast(size)
	if f.block = last; !roomy {
		f.block = block(f.Part, last, size)
	}
	f.body = f.block.Encode(f.records, size)
}

// retainLast returns the block of the newest frame, nil if there is none, and whether n bytes more fit. If so it is retained: the frame may be dropped before the next one is there.
func (p *Partition) retainLast(n int) (last *Block, roomy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last = p.last(); last == nil || !last.Room(n) {
		return last, false
	}
	last.Retain()
	return last, true
}

// show makes known what a frame changes. The partitions are locked.
func (c *Core) show(e *Entry, f *Frame) {
	switch {
	case f.Part != nil:
		if e.volatile {
			f.Header.LSN = frame.LSN(c.staged.Add(1)) // here, so that who looks for the oldest misses none that is older than those that come
		}
		again := f.Part.last() == f.block
		f.Push(f.block, f.body)
		if again { // else put's use of it is the tail's
			f.block.Release()
		}
		f.watches = f.Part.raise(f.Part.next, f.Part.count)
		c.appended.Add(int64(f.Header.Count))
		c.appendedBytes.Add(int64(f.Header.Size()))
	case f.topic != nil:
		c.Catalog.AddTopic(*f.topic)
	case f.group != nil:
		c.Catalog.AddGroup(*f.group)
	case f.effect != nil:
		f.effect()
	case f.Header.Kind == frame.Cursor:
		c.State.Set(f.cursor, append([]byte(nil), e.Body(f)...))
	}
}

// tell tells those who watch what was committed in place. No partition is locked: who is woken looks at it at once.
func (e *Entry) tell() {
	for i := range e.Frames {
		f := &e.Frames[i]
		for _, w := range f.watches {
			w.Notify(f.Part.ID)
		}
	}
}
