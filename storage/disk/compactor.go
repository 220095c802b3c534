package disk

import (
	"context"
	"errors"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
)

// Compaction by key, of one partition. Segments that were compacted before hold each key once, so the newer records say what is superseded: of those from
// the first segment on that was not compacted yet, keys and their last offsets are gathered in memory, up to the committed end or as far as the memory goes.
// Then the sealed segments are rewritten without what is superseded, oldest first. That order matters: a tombstone goes only when all before it has gone.

// compactShare is how much was not compacted yet, of what was, before a partition is compacted again.
const compactShare = 2

// compact does it if the topic asks for it and it is worth while. left is how many bytes wait for it.
func (r *rewriter) compact(ctx context.Context, do *round, h *history) (left int64, err error) {
	all := h.list()
	s := h.part.Strategy() // after the list: what is in it was appended before the topic may have been altered to keep everything
	if !s.Cleanup.LatestByKey {
		return 0, nil
	}
	hold := int64(math.MaxInt64)
	if s.Cleanup.HoldForGroups {
		hold = r.st.holdOf(h.part)
	}
	l, dirty, clean := r.sealed(do, all, hold)
	first := slices.IndexFunc(l, func(s *segment.Segment) bool { m := s.Meta(); return !m.Compacted })
	if first < 0 || !do.hurried && dirty*compactShare < clean {
		return dirty, nil
	}
	c := &compaction{r: r, do: do, part: h.part, keys: newLatest(r.st.opt.Tuning.CompactBytes), hold: hold, intact: len(h.holes()) == 0}
	c.age = s.Cleanup.TombstoneAge
	if c.age == 0 {
		c.age = storage.DefaultTombstoneAge
	}
	r.st.works.running(compactWork, true)
	defer r.st.works.running(compactWork, false)
	end, err := c.gather(ctx, l[first])
	if err != nil {
		return dirty, err
	}
	n := first // those that were gathered whole
	for n < len(l) && l[n].Meta().Next <= end {
		n++
	}
	if n == first {
		if !c.full {
			return dirty, nil // what it was that failed was told
		}
		r.failed(do, compactWork, h.part, l[first:first+1], &storage.LimitError{
			What: "memory for the keys of one segment (Tuning.CompactBytes, or less Tuning.SegmentBytes)", Size: int64(len(c.keys.by)) * latestBytes, Max: c.keys.most * latestBytes,
		})
		return dirty, nil
	}
	if err := c.rewrite(ctx, l[:n]); err != nil {
		return dirty, err
	}
	_, left, _ = r.sealed(do, h.list(), hold)
	return left, nil
}

// sealed returns the segments from the first on that may be compacted, as far as they end at hold, and of how many bytes those are that were not yet, and that were.
func (r *rewriter) sealed(do *round, l []*segment.Segment, hold int64) (ready []*segment.Segment, dirty, clean int64) {
	for i, s := range l {
		m := s.Meta()
		if !m.Sealed || m.Next > hold || !r.ready(do, &m) {
			return l[:i], dirty, clean
		}
		if m.Compacted {
			clean += m.Length
		} else {
			dirty += m.Length
		}
	}
	return l, dirty, clean
}

// holdOf returns the offset up to which every group that has a cursor on p has finished.
func (st *Store) holdOf(p *core.Partition) int64 {
	if floor, ok := st.core.Floors()[p.ID]; ok {
		return floor.Offset
	}
	return math.MaxInt64
}

// compaction is one under way.
type compaction struct {
	r    *rewriter
	do   *round
	part *core.Partition
	keys *latest
	full bool          // keys has no room for another
	hold int64         // nothing from there on goes
	age  time.Duration // of tombstones that go
	// intact is whether all records that a tombstone removed have gone, as far as the segments before the one that is looked at are concerned.
	intact bool
}

const compactRead = 1 << 20

// gather notes the keys of all committed records from the first segment on that was not compacted yet, and returns up to where it got. Where records are damaged,
// nothing is known of them. It fails only if ctx ends.
func (c *compaction) gather(ctx context.Context, first *segment.Segment) (end int64, err error) {
	from := first.Meta().Base
	var records []storage.Record
	var buf []byte
	for {
		if err := ctx.Err(); err != nil {
			return from, err
		}
		rs, next, err := c.r.st.core.ReadInto(records[:0], &buf, c.part.ID, from, compactRead)
		var damage *storage.DamageError
		switch {
		case errors.As(err, &damage) && damage.Next > from:
			from = damage.Next
			continue
		case err != nil:
			c.r.failed(c.do, compactWork, c.part, []*segment.Segment{first}, err)
			return from, nil
		case next <= from:
			return from, nil
		}
		bytes := 0
		for i := range rs {
			bytes += rs[i].Size()
			if rs[i].Key != nil && !c.keys.note(rs[i].Key, rs[i].Offset) {
				c.full = true
				return rs[i].Offset, nil
			}
		}
		if err := c.do.pace.wait(ctx, bytes); err != nil {
			return from, err
		}
		records, from = rs, next
	}
}

// rewrite works through the segments in their order, for as long as the topic asks for it. It fails only if ctx ends.
func (c *compaction) rewrite(ctx context.Context, l []*segment.Segment) error {
	for len(l) > 0 && c.part.Strategy().Cleanup.LatestByKey && !c.part.Dropped() {
		n, needed, err := c.group(ctx, l)
		if err != nil {
			return err
		}
		run := l[:n]
		l = l[n:]
		if !needed {
			continue
		}
		w := segment.Rewrite{Keep: c.keep, Compacted: true}
		done, err := c.r.replace(ctx, c.do, compactWork, c.part, run, w)
		if err != nil {
			return err
		}
		c.intact = c.intact && done
	}
	return nil
}

// group returns how many of the first segments are rewritten into one, or left alone together, because nothing of them would go.
func (c *compaction) group(ctx context.Context, l []*segment.Segment) (n int, needed bool, err error) {
	for n < len(l) {
		m := l[n].Meta()
		if n > 0 && !c.r.joins(l[:n], &m) {
			return n, needed, nil
		}
		due := !m.Compacted
		if !due {
			if due, err = c.loses(ctx, l[n]); err != nil {
				return n, needed, err
			}
		}
		if n > 0 && due != needed {
			return n, needed, nil
		}
		needed = due
		n++
	}
	return n, needed, nil
}

// errFound ends a scan.
var errFound = errors.New("found")

// loses tells whether any record of a segment would go.
func (c *compaction) loses(ctx context.Context, s *segment.Segment) (bool, error) {
	var records []storage.Record
	err := s.Scan(ctx, c.do.pace.wait, func(h *frame.Header, raw []byte) (err error) {
		if records, err = s.Decode(records[:0], h, raw); err != nil {
			return err
		}
		for i := range records {
			if !c.keep(&records[i]) {
				return errFound
			}
		}
		return nil
	})
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, errFound):
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	}
	c.intact = false // something of it may have to go, and cannot be read now
	c.r.failed(c.do, compactWork, c.part, []*segment.Segment{s}, err)
	return false, nil
}

// keep tells whether a record stays.
func (c *compaction) keep(r *storage.Record) bool {
	switch {
	case r.Key == nil || r.Offset >= c.hold:
		return true
	case c.keys.superseded(r.Key, r.Offset):
		return false
	}
	return len(r.Value) > 0 || !c.intact || time.Since(r.Appended) < c.age
}

// latest is the last offset of each key, by a hash of it. A second hash tells keys of one hash apart; of those nothing is said.
type latest struct {
	by     map[uint64]lastOf
	most   int64 // entries
	hashes func(key []byte) (a, b uint64)
}

type lastOf struct {
	check  uint64
	offset int64 // -1: several keys have the hash
}

// latestBytes is about what an entry takes.
const latestBytes = 56

func newLatest(bytes int64) *latest {
	a, b := maphash.MakeSeed(), maphash.MakeSeed()
	return &latest{
		by: map[uint64]lastOf{}, most: max(1, bytes/latestBytes),
		hashes: func(key []byte) (uint64, uint64) { return maphash.Bytes(a, key), maphash.Bytes(b, key) },
	}
}

// note takes a record, whose offset is above those noted before. It returns false if there is no room for another key.
func (l *latest) note(key []byte, offset int64) bool {
	hash, check := l.hashes(key)
	old, known := l.by[hash]
	switch {
	case !known && int64(len(l.by)) >= l.most:
		return false
	case known && (old.check != check || old.offset < 0):
		l.by[hash] = lastOf{check, -1}
		return true
	}
	l.by[hash] = lastOf{check, offset}
	return true
}

// superseded tells whether there is a record of the key behind offset.
func (l *latest) superseded(key []byte, offset int64) bool {
	hash, check := l.hashes(key)
	last, known := l.by[hash]
	return known && last.check == check && last.offset > offset
}
