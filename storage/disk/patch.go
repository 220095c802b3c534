package disk

import (
	"errors"
	"fmt"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
)

// pieces calls a function with what there is of a segment: see segment.Pieces.
type pieces func(func(segment.Piece) error) error

// lost is pieces of which nothing is there.
func lost(first, next int64) pieces {
	return func(each func(segment.Piece) error) error { return each(segment.Piece{First: first, Next: next}) }
}

// errUnfit says that a segment cannot be put together.
type errUnfit string

func (e errUnfit) Error() string { return string(e) }

// put makes a segment of p with the offsets that want describes, of its own pieces and, where these are lost, of what the copy has. It returns nil, and why, if something is missing or does
// not fit.
func (m *mender) put(p *core.Partition, own pieces, want *segment.Meta) (made *segment.Segment, reason string, err error) {
	c := &patch{mender: m, part: p, want: want, at: want.Base, time: want.MinTime}
	if want.Rewritten {
		made, err = c.rebuild(own)
	} else {
		made, err = c.create(own)
	}
	var unfit errUnfit
	switch {
	case errors.As(err, &unfit):
		return nil, string(unfit), nil
	case errors.Is(err, segment.ErrRecords):
		return nil, "the copy has the records as they were before the segment was compacted: " + err.Error(), nil
	}
	return made, "", err
}

// patch is a segment that is put together.
type patch struct {
	*mender
	part *core.Partition
	want *segment.Meta
	take func(h *frame.Header, raw []byte) error
	at   int64 // behind the last batch
	time int64 // of that
}

// create makes a segment like those that were appended to.
func (c *patch) create(own pieces) (*segment.Segment, error) {
	k := c.st.keeper
	made, err := k.segments.CreateAgain(c.part.ID, k.nextFile.Add(1)-1, c.want.Base, c.want.Ordinal, k.epoch)
	if err != nil {
		return nil, err
	}
	c.take = func(_ *frame.Header, raw []byte) error { return made.Append(raw) }
	err = c.gather(own)
	if err == nil {
		err = errors.Join(made.Seal(), made.Sync())
	}
	if err == nil {
		err = c.compare(made)
	}
	if err != nil {
		c.giveUp(c.part, made)
		return nil, err
	}
	return made, nil
}

// rebuild makes a segment in the place of one that was rewritten.
func (c *patch) rebuild(own pieces) (*segment.Segment, error) {
	k, compression := c.st.keeper, c.part.Strategy().Compression.WithDefaults()
	r := segment.Rewrite{
		File: k.nextFile.Add(1) - 1, Epoch: k.epoch, Codec: c.want.Codec, BlockBytes: compression.BlockBytes, Compacted: c.want.Compacted,
	}
	if compression.Codec == r.Codec {
		r.Level = compression.Level
	}
	return k.segments.Rebuild(c.ctx, c.part.ID, r, *c.want, func(take func(*frame.Header, []byte) error) error {
		c.take = take
		return c.gather(own)
	})
}

// gather takes all batches in their order.
func (c *patch) gather(own pieces) error {
	err := own(func(p segment.Piece) error {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if p.Raw == nil {
			return c.copied(p.First, p.Next)
		}
		return c.add(&p.Header, p.Raw, "the segment")
	})
	if err == nil && c.at < c.want.Next && c.want.Dropped == 0 {
		return errUnfit(fmt.Sprintf("the records from offset %d on are missing", c.at))
	}
	return err
}

// add takes a batch, if it can stand where the last one ends: between two, only records that were dropped may be missing.
func (c *patch) add(h *frame.Header, raw []byte, of string) error {
	whole := c.want.Dropped > 0 || h.Base == c.at && h.Count == h.Span
	if !whole || h.Base < c.at || h.Next() > c.want.Next || h.Time < c.time || c.want.MaxTime != 0 && h.Time > c.want.MaxTime {
		return errUnfit(fmt.Sprintf("%s has other records at offset %d", of, c.at))
	}
	c.at, c.time = h.Next(), h.Time
	return c.take(h, raw)
}

// copied takes the batches that own the offsets from first up to next from the copy.
func (c *patch) copied(first, next int64) error {
	h := c.source.keeper.parts.find(c.part.ID)
	if h == nil {
		return errUnfit("the copy has nothing of the partition")
	}
	if !c.shares(next - 1) {
		return errUnfit("the copy has other records: it is of another life of the store")
	}
	var buf []byte
	for at := first; at < next; {
		frames, err := h.ReadInto(&buf, at, mendRead)
		if damage := (*storage.DamageError)(nil); err != nil && !errors.As(err, &damage) {
			return err
		}
		was := at
		if at, err = c.batches(frames, at, next); err != nil {
			return err
		}
		if at > was {
			continue
		}
		if c.want.Dropped == 0 {
			return errUnfit(fmt.Sprintf("the copy has not the record at offset %d", at))
		}
		return nil // so many were dropped, or records will be missing
	}
	return nil
}

// mendRead is how much of the copy is read at once.
const mendRead = 1 << 20

// batches takes those of frames that own offsets from at up to next, and returns the offset behind the last one.
func (c *patch) batches(frames []byte, at, next int64) (int64, error) {
	for len(frames) > 0 {
		h := frame.Checked(frames)
		raw := frames[:h.Size()]
		frames = frames[h.Size():]
		if h.Kind != frame.Batch || h.Next() <= at {
			continue
		}
		if h.Base >= next {
			return at, nil
		}
		if h.Next() > next {
			return at, errUnfit(fmt.Sprintf("the copy has other records at offset %d", h.Base))
		}
		if err := c.add(&h, raw, "the copy"); err != nil {
			return at, err
		}
		at = h.Next()
	}
	return at, nil
}

// shares tells whether the record of an offset of the partition is the same in the copy.
func (c *patch) shares(offset int64) bool {
	mine, n, ok := topicOf(&c.st.core.Catalog, c.part.ID)
	its, _, also := topicOf(&c.source.core.Catalog, c.part.ID)
	if !ok || !also {
		return false
	}
	if mine.Incarnation == its.Incarnation {
		return true
	}
	i := mine.IncarnationOf(n, offset)
	return its.Holds(i, n, offset)
}

// topicOf returns the topic of a partition, and which one of it that is.
func topicOf(c *core.Catalog, id storage.PartitionID) (t storage.Topic, n int, ok bool) {
	for _, t := range c.Topics() {
		if n, ok := t.Index(id); ok {
			return t, n, true
		}
	}
	return t, 0, false
}

// compare reads what was made, and holds it against what it is to replace.
func (c *patch) compare(made *segment.Segment) error {
	got, want := made.Meta(), c.want
	found, err := c.fresh.Open(c.part.ID, got).Verify(func(int) error { return c.ctx.Err() })
	switch {
	case err != nil:
		return err
	case len(found.Damage) > 0:
		return found.Damage[0]
	case got.Next != want.Next || found.Records != want.Count || got.Count != want.Count:
		return errUnfit(fmt.Sprintf("it has %d records up to offset %d, instead of %d up to %d", found.Records, got.Next, want.Count, want.Next))
	case want.MaxTime != 0 && (got.MinTime != want.MinTime || got.MaxTime != want.MaxTime):
		return errUnfit("its records were appended at other times")
	}
	return nil
}

// holes fills the holes of p.
func (m *mender) holes(p *core.Partition) error {
	if p == nil {
		return nil
	}
	h := m.st.keeper.parts.find(p.ID)
	if h == nil {
		return nil
	}
	for _, g := range h.holes() {
		over := h.overlapping(g.First, g.Next)
		if len(over) == 0 {
			if err := m.hole(p, &g); err != nil {
				return err
			}
			continue
		}
		whole := true
		for _, s := range over {
			found, err := m.examine(p, s)
			if err != nil {
				return err
			}
			whole = whole && len(found.Damage) == 0
		}
		if whole { // the records are back, but it was not written down
			if err := m.close(p, g.First, g.Next); err != nil {
				return err
			}
		}
	}
	return nil
}

// hole fills a hole in which there is no segment.
func (m *mender) hole(p *core.Partition, g *frame.Hole) error {
	damage := []*storage.DamageError{damageOf(p.ID, g, g.First)}
	want := segment.Meta{Base: g.First, Next: g.Next, Ordinal: g.Ordinal, Count: g.Records}
	made, reason, err := m.put(p, lost(g.First, g.Next), &want)
	if err != nil || made == nil {
		return m.leave(damage, reason, err)
	}
	return m.exchange(p, nil, made, damage)
}

// close takes away the holes of p, whose records from base up to next are back.
func (m *mender) close(p *core.Partition, base, next int64) error {
	h := m.st.keeper.parts.find(p.ID)
	if h == nil {
		return nil
	}
	for _, g := range h.holes() {
		if g.Next <= base || g.First >= next {
			continue
		}
		g.First, g.Next, g.State = max(g.First, base), min(g.Next, next), frame.HoleMended
		g.Records = min(g.Records, g.Next-g.First)
		err := m.st.core.CommitState(m.ctx, frame.Gap, p, frame.AppendHole(nil, &g), func() { h.punch(g) })
		if err != nil {
			return err
		}
	}
	return nil
}

// overlapping returns the segments that own offsets from first up to next.
func (h *history) overlapping(first, next int64) (over []*segment.Segment) {
	for _, s := range h.list() {
		if m := s.Meta(); m.Base < next && m.Next > first {
			over = append(over, s)
		}
	}
	return over
}
