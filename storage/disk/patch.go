package disk

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// patches are the batches of a damaged segment that are whole, by their base offset.
type patches map[int64]place

// own returns the batches of s that can be believed, wherever they lie in its file. Of a segment that has blocks these are none: the
// copy has the same records.
func (m *mender) own(p *core.Partition, s *segment.Segment) (patches, error) {
	found, meta := patches{}, s.Meta()
	f, err := m.st.fs.Open(s.Name(), vfs.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, vfs.ErrNotRegular) {
		return found, nil
	}
	if err != nil {
		return nil, fmt.Errorf("storage: %s: %w", s.Name(), err)
	}
	defer f.Close()
	w := &window{file: f, name: s.Name(), end: meta.Length}
	for pos := int64(sector); ; {
		b, err := w.at(pos, frame.HeaderSize)
		if err != nil || len(b) < frame.HeaderSize {
			return found, err
		}
		h, err := frame.Parse(b, m.st.core.Seed())
		if err != nil {
			pos += 8
			continue
		}
		if b, err = w.at(pos, h.Size()); err != nil {
			return nil, err
		}
		whole := len(b) >= h.Size() && h.CheckBody(b[frame.HeaderSize:][:h.BodyLen], m.st.core.Seed()) == nil
		if whole && h.Kind == frame.Batch && h.Partition == uint32(p.ID) && h.Base >= meta.Base && h.Next() <= meta.Next {
			found[h.Base] = place{file: s.Name(), from: pos, to: pos + int64(h.Size())}
		}
		pos += int64(h.Size())
	}
}

// put makes a segment of p with the offsets that want describes, of own batches and of the copy's. It returns nil, and why, if some are missing or do not fit.
func (m *mender) put(p *core.Partition, own patches, want *segment.Meta) (*segment.Segment, string, error) {
	k := m.st.keeper
	made, err := k.segments.CreateAgain(p.ID, k.nextFile.Add(1)-1, want.Base, want.Ordinal, k.epoch)
	if err != nil {
		return nil, "", err
	}
	reason, err := m.fill(p, made, own, want)
	if err == nil && reason == "" {
		err = errors.Join(made.Seal(), made.Sync())
	}
	if err == nil && reason == "" {
		reason, err = m.compare(p, made, want)
	}
	if err != nil || reason != "" {
		return nil, reason, errors.Join(err, m.giveUp(p, made))
	}
	return made, "", nil
}

// fill appends all batches in their order.
func (m *mender) fill(p *core.Partition, made *segment.Segment, own patches, want *segment.Meta) (reason string, err error) {
	lsn := frame.LSN(0)
	for at := want.Base; at < want.Next; {
		if err := m.ctx.Err(); err != nil {
			return "", err
		}
		raw, err := m.batch(p, own, at)
		if err != nil {
			return "", err
		}
		if raw == nil {
			return fmt.Sprintf("the copy has not the record at offset %d", at), nil
		}
		h, err := frame.Parse(raw, m.st.core.Seed())
		if err != nil {
			return "", err
		}
		if h.Base != at || h.Next() > want.Next || h.LSN <= lsn || h.Count != h.Span {
			return fmt.Sprintf("the copy has other records at offset %d", at), nil
		}
		if err := made.Append(raw); err != nil {
			return "", err
		}
		at, lsn = h.Next(), h.LSN
	}
	return "", nil
}

// batch returns the batch of p at an offset, its own or the copy's, nil if neither is there.
func (m *mender) batch(p *core.Partition, own patches, at int64) ([]byte, error) {
	if where, ok := own[at]; ok {
		f, err := m.st.fs.Open(where.file, vfs.ReadOnly)
		if err != nil {
			return nil, fmt.Errorf("storage: %s: %w", where.file, err)
		}
		defer f.Close()
		return readAt(f, where.file, where.from, int(where.to-where.from))
	}
	h := m.source.keeper.parts.find(p.ID)
	if h == nil {
		return nil, nil
	}
	var buf []byte
	frames, err := h.ReadInto(&buf, at, 1)
	var damage *storage.DamageError
	if errors.As(err, &damage) || len(frames) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for len(frames) > 0 {
		h, err := frame.Parse(frames, m.st.core.Seed())
		if err != nil {
			return nil, err
		}
		if h.Kind == frame.Batch && h.Next() > at {
			return frames[:h.Size()], nil
		}
		frames = frames[h.Size():]
	}
	return nil, nil
}

// compare reads what was made, and holds it against what it is to replace.
func (m *mender) compare(p *core.Partition, made *segment.Segment, want *segment.Meta) (reason string, err error) {
	got, records := made.Meta(), int64(0)
	err = m.each(p, got, func(h *frame.Header, _ []byte) error {
		records += int64(h.Count)
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case got.Next != want.Next || records != want.Count || got.Count != records:
		return fmt.Sprintf("it has %d records up to offset %d, instead of %d up to %d", records, got.Next, want.Count, want.Next), nil
	case want.MaxTime != 0 && (got.MinTime != want.MinTime || got.MaxTime != want.MaxTime):
		return "its records were appended at other times", nil
	}
	return "", nil
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
			damage, err := m.examine(p, s)
			if err != nil {
				return err
			}
			whole = whole && damage == nil
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
	damage := damageOf(p.ID, g, g.First)
	want := segment.Meta{Base: g.First, Next: g.Next, Ordinal: g.Ordinal, Count: g.Records}
	made, reason, err := m.put(p, nil, &want)
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
