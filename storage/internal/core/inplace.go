package core

import "github.com/leatmq/leat/storage/internal/frame"

// CommitInPlace commits a staged entry at once: for a backend that has nothing but memory. The partitions are locked. block returns
// where the n bytes of a batch's body go. Who watches is told afterwards, by tell.
func (c *Core) CommitInPlace(e *Entry, block func(p *Partition, n int) *Block) {
	for i := range e.Frames {
		f := &e.Frames[i]
		switch {
		case f.Part != nil:
			body := e.Body(f)
			b := block(f.Part, len(body))
			f.Push(b, b.Put(body))
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
