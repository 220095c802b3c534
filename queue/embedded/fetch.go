package embedded

import (
	"fmt"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// fetch reads the partition that is next. It is called with g.mu held and returns with it held; meanwhile it is not. Others may
// read other partitions at the same time.
func (f *feed) fetch(g *group) {
	p := f.nextUnread()
	p.unread, p.reading = false, true // before the read: what is stored during it is news again
	from, epoch, buffer := p.window.Next(), p.epoch, g.buffer()
	g.mu.Unlock()
	records, next, more, err := g.engine.read(buffer, p.id, from)
	g.mu.Lock()
	p.reading = false
	switch {
	case err != nil:
		g.stop(fmt.Errorf("queue: group %q reading %s/%d: %w", g.name, p.topic.Name, p.number, translate(err)))
	case epoch != p.epoch:
		p.unread = true
	default:
		p.unread = p.unread || more
		p.add(records, next)
		g.arm()
	}
	g.keep(records)
	p.offer()
	switch p.feed {
	case nil:
	case f:
		f.wake(1)
	default: // it moved meanwhile
		p.feed.wake(0)
	}
}

func (e *engine) read(dst []storage.Record, p storage.PartitionID, from int64) (rs []storage.Record, next int64, more bool, err error) {
	rs, next, err = e.store.Read(dst, p, from, readBytes)
	if err != nil || len(rs) == 0 {
		return rs, next, false, err
	}
	b, err := e.store.Bounds(p)
	return rs, next, next < b.Next, err
}

// What a group keeps to read into, in slices and in records of each.
const (
	maxBuffers     = 4
	maxBufferItems = 4096
)

func (g *group) buffer() []storage.Record {
	last := len(g.buffers) - 1
	if last < 0 {
		return nil
	}
	b := g.buffers[last]
	g.buffers = g.buffers[:last]
	return b
}

// keep forgets the records, and keeps the slice.
func (g *group) keep(records []storage.Record) {
	clear(records)
	if len(g.buffers) < maxBuffers && cap(records) <= maxBufferItems {
		g.buffers = append(g.buffers, records[:0])
	}
}

// notice takes note of what the store has new, on behalf of a receiver of mine, and wakes those of others. It is called with g.mu held.
func (g *group) notice(mine *feed) {
	g.news = g.watcher.Take(g.news[:0])
	for _, id := range g.news {
		p := g.known[id]
		p.unread = true
		p.offer()
		if p.feed != nil && p.feed != mine {
			p.feed.wake(0)
		}
	}
	mine.wake(1)
}

// mayRead tells whether the group may hold more than it does.
func (g *group) mayRead() bool {
	queued := g.set.Queued()
	return queued.Items < groupRecords && queued.Bytes < groupBytes
}

// reload reads again what handlers had before, since its bytes were theirs to change.
func (e *engine) reload(h *queue.Handover, p storage.PartitionID) error {
	offset, _ := h.Position.Offset()
	rs, _, err := e.store.Read(nil, p, offset, 1)
	if err != nil {
		return translate(err)
	}
	if len(rs) == 0 || rs[0].Offset != offset {
		return fmt.Errorf("%w: the record at %s, which was there", queue.ErrNotFound, h.Position)
	}
	h.Key, h.Value, h.Headers = rs[0].Key, rs[0].Value, decodeHeaders(rs[0].Headers)
	return nil
}

func decodeHeaders(encoded storage.Headers) queue.Headers {
	n := encoded.Len()
	if n == 0 {
		return nil
	}
	hs := make(queue.Headers, 0, n)
	for key, value := range encoded.All() {
		hs = append(hs, queue.Header{Key: key, Value: value})
	}
	return hs
}
