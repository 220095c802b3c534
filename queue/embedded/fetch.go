package embedded

import (
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// fetch reads the partition that is next, for m. It is called with g.mu held and returns with it held; meanwhile it is not. Others may
// read other partitions at the same time.
func (f *feed) fetch(m *member) {
	p := f.nextUnread()
	p.refill(m)
	f.handOn(p)
}

// refill reads on in p, for m, which is told what is missing, or for nobody, if m is nil. Then an error is returned and changes nothing.
func (p *partition) refill(m *member) (err error) {
	g := p.group
	p.unread, p.reading = false, true // before the read: what is stored during it is news again
	from, epoch, buffer, lent := p.window.Next(), p.epoch, g.buffer(), p.slab(m)
	g.mu.Unlock()
	got, err := p.read(m, buffer, lent, from, epoch)
	g.mu.Lock()
	switch {
	case err != nil && m == nil:
		p.unread = true
	case err != nil && epoch == p.epoch:
		p.breakOff(m, err)
	case epoch != p.epoch:
		p.unread = true
	default:
		p.unread = p.unread || got.more
		if p.add(&got) && !got.more {
			p.reached(m, got.total)
		}
		p.makeRoom()
		g.arm()
	}
	p.reading = false
	if p.hasRead != nil {
		close(p.hasRead)
		p.hasRead = nil
	}
	g.keep(got.records)
	p.shelve(lent, got.slab)
	p.offer()
	g.stopIfSpent()
	return err
}

// piece is what one read found.
type piece struct {
	records []storage.Record
	slab    *slab // that their bytes are in; nil: they are in memory of their own
	next    int64
	more    bool
	total   int64 // records ever stored, the last of these included, if there are no more
}

// read reads from an offset on, behind what is not there any more, of which it tells m. It is called without g.mu.
func (p *partition) read(m *member, dst []storage.Record, into *slab, from int64, epoch int) (piece, error) {
	e := p.group.engine
	for {
		b, err := e.store.Bounds(p.id) // before the read, so that it counts nothing that the read does not see
		if err == nil && b.First > from {
			if from, err = p.skip(m, epoch); err == nil {
				continue
			}
		}
		if err != nil {
			return piece{records: dst}, err
		}
		rs, in, next, err := p.readInto(dst, into, from)
		if err != nil {
			return piece{records: rs}, err
		}
		if len(rs) == 0 || rs[0].Offset > from {
			if again, err := e.store.Bounds(p.id); err != nil || again.First > from { // it was removed meanwhile
				clear(rs)
				dst = rs[:0]
				continue
			}
		}
		got := piece{records: rs, slab: in, next: next, more: len(rs) > 0 && next < b.Next, total: b.Records}
		for i := len(rs) - 1; i >= 0 && rs[i].Offset >= b.Next; i-- {
			got.total++ // stored since
		}
		return got, nil
	}
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
		if p == nil { // its topic was deleted
			continue
		}
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
	return queued.Items+g.toPark.items < groupRecords && queued.Bytes+g.toPark.bytes < groupBytes
}

// reload reads again what handlers had before, since its bytes were theirs to change. It is false if it is gone.
func (e *engine) reload(m *queue.Message, p storage.PartitionID, offset int64) (there bool, err error) {
	rs, _, err := e.store.Read(nil, p, offset, 1)
	if err != nil || len(rs) == 0 || rs[0].Offset != offset {
		return false, err
	}
	m.Key, m.Value = rs[0].Key, rs[0].Value
	decode(m, rs[0].Headers)
	return true, nil
}
