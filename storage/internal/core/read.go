package core

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

func unixNano(n int64) time.Time { return time.Unix(0, n) }

// Read is storage.Store's.
func (c *Core) Read(dst []storage.Record, id storage.PartitionID, from int64, maxBytes int) ([]storage.Record, int64, error) {
	return c.read(dst, nil, id, from, maxBytes)
}

// ReadInto is storage.Store's.
func (c *Core) ReadInto(dst []storage.Record, buf *[]byte, id storage.PartitionID, from int64, maxBytes int) ([]storage.Record, int64, error) {
	return c.read(dst, buf, id, from, maxBytes)
}

// read reads into buf, and if that is nil into memory of the records' own.
func (c *Core) read(dst []storage.Record, buf *[]byte, id storage.PartitionID, from int64, maxBytes int) ([]storage.Record, int64, error) {
	p, err := c.partition(id)
	if err != nil {
		return dst, from, err
	}
	from = max(from, 0)
	for {
		p.mu.Lock()
		from = max(from, p.first)
		if from >= p.end {
			p.mu.Unlock()
			return dst, from, nil
		}
		older, reach := p.older, int64(0)
		if older != nil {
			reach = older.Next()
		}
		if older == nil || from >= reach || p.tail.len() > 0 && from >= p.tail.at(0).base {
			records, next, err := c.readTail(dst, buf, p, from, maxBytes)
			if err == errMoved {
				continue
			}
			return records, next, err
		}
		p.mu.Unlock()
		records, next, err := c.readOlder(dst, buf, older, from, maxBytes)
		if at := p.inMemory(err, from); at >= 0 {
			from = at
			continue
		}
		if err != nil || len(records) > len(dst) {
			return records, next, err
		}
		if next > from { // what was there was dropped by compaction
			from = next
			continue
		}
		from = reach // a gap in front of what Older had then: it may have got more meanwhile
	}
}

// inMemory returns the offset at which a read of p from an offset on, which met damage behind a gap, finds in memory what Older has lost; else -1.
func (p *Partition) inMemory(err error, from int64) int64 {
	var d *storage.DamageError
	if err == nil || !errors.As(err, &d) || d.First < from || d.Next <= d.First {
		return -1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tail.len() == 0 || d.First < p.tail.at(0).base || d.First >= p.end {
		return -1
	}
	return d.First
}

// readOlder reads from disk. If the memory is to be the records' own, it reads into memory that is used over and over, and so is in the
// processor's cache, and copies what it found: that costs less than to read into fresh memory, and nothing is kept that is not part of a frame. It returns
// from if there is nothing.
func (c *Core) readOlder(dst []storage.Record, buf *[]byte, older Older, from int64, maxBytes int) ([]storage.Record, int64, error) {
	if buf != nil {
		frames, err := older.ReadInto(buf, from, maxBytes)
		if err != nil {
			return dst, from, err
		}
		return decodeFrames(dst, frames, from)
	}
	scratch := c.takeScratch()
	defer c.giveScratch(scratch)
	frames, err := older.ReadInto(scratch, from, maxBytes)
	if err != nil {
		return dst, from, err
	}
	return decodeFrames(dst, append([]byte(nil), frames...), from)
}

func (c *Core) takeScratch() *[]byte {
	if b, ok := c.scratch.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

// maxScratch bounds what is kept to be read into again.
const maxScratch = 1 << 20

func (c *Core) giveScratch(b *[]byte) {
	if cap(*b) <= maxScratch {
		c.scratch.Put(b)
	}
}

// errMoved says that a frame was spilled while it was read from where it was before.
var errMoved = errors.New("storage: a frame has moved")

// undecodable is the damage of a frame whose sums hold, and whose records nobody could have written: a defect made them, or a hand.
func undecodable(dir string, h *frame.Header, err error) *storage.DamageError {
	return &storage.DamageError{
		File: dir, Partition: storage.PartitionID(h.Partition), First: h.Base, Next: h.Next(), Records: int64(h.Count),
		Reason: fmt.Sprintf("its sums hold, its records do not: %v", err),
	}
}

// decodeFrames decodes whole frames whose sums were checked.
func decodeFrames(dst []storage.Record, frames []byte, from int64) (records []storage.Record, next int64, err error) {
	next = from
	for len(frames) > 0 {
		h := frame.Checked(frames)
		body := frames[frame.HeaderSize : frame.HeaderSize+int(h.BodyLen) : frame.HeaderSize+int(h.BodyLen)]
		frames = frames[h.Size():]
		if h.Kind != frame.Batch {
			continue
		}
		if dst, err = frame.DecodeRecords(dst, &h, body, from); err != nil {
			return dst, next, undecodable("seg", &h, err)
		}
		next = h.Next()
	}
	return dst, next, nil
}

// OffsetAt is storage.Store's.
func (c *Core) OffsetAt(id storage.PartitionID, t time.Time) (int64, error) {
	p, err := c.partition(id)
	if err != nil {
		return 0, err
	}
	nanos := t.UnixNano()
	switch {
	case t.Before(unixNano(0)):
		nanos = 0
	case t.After(unixNano(math.MaxInt64)):
		nanos = math.MaxInt64
	}
	p.mu.Lock()
	older, end := p.older, p.end
	offset, first := end, p.first
	if i := p.tail.findTime(nanos); i < p.tail.len() {
		offset = min(end, p.tail.at(i).base)
	}
	p.mu.Unlock()
	if older == nil {
		return max(first, offset), nil
	}
	at, ok, err := older.OffsetAt(nanos)
	if err != nil || !ok {
		return max(first, offset), err
	}
	return max(first, min(at, offset)), nil
}

// Ordinal is storage.Store's.
func (c *Core) Ordinal(id storage.PartitionID, offset int64) (int64, error) {
	p, err := c.partition(id)
	if err != nil {
		return 0, err
	}
	return p.ordinalOf(offset), nil
}

// ordinalOf counts the records ever committed below offset; below the first one that is stored, as if it were that.
func (p *Partition) ordinalOf(offset int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	offset = max(offset, p.first)
	switch n := p.tail.len(); {
	case offset >= p.end:
		return p.records
	case n > 0 && (p.older == nil || offset >= p.tail.at(0).base):
		return p.tail.ordinal(offset)
	case p.older == nil:
		return p.records
	}
	return p.older.Ordinal(offset)
}

// ordinal counts the records of the partition below offset, from what is in memory. Batches are staged without gaps inside them, so that offsets count even where
// records have gone since.
func (t *tail) ordinal(offset int64) int64 {
	i := t.find(offset)
	if i == t.len() {
		f := t.at(i - 1)
		return f.ordinal + int64(f.span)
	}
	f := t.at(i)
	return f.ordinal + max(0, min(offset-f.base, int64(f.span)))
}
