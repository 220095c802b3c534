package disk

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
)

// A swap replaces segments of a partition, which follow each other, by others that own the same offsets. The body of its frame:
//
//	form    1 byte: 1
//	old     uvarint number; for each the file id as uvarint; none if a hole is filled
//	new     uvarint number; for each its description, as in the checkpoint
type swap struct {
	old []uint64
	by  []segment.Meta
}

const swapForm = 1

func (s *swap) encode() []byte {
	b := binary.AppendUvarint([]byte{swapForm}, uint64(len(s.old)))
	for _, f := range s.old {
		b = binary.AppendUvarint(b, f)
	}
	b = binary.AppendUvarint(b, uint64(len(s.by)))
	for _, m := range s.by {
		b = m.Append(b)
	}
	return b
}

func decodeSwap(body []byte) (*swap, error) {
	if len(body) > 0 && body[0] > swapForm {
		return nil, frame.ErrVersion
	}
	if len(body) == 0 || body[0] != swapForm {
		return nil, frame.ErrField
	}
	f := &fields{rest: body[1:]}
	s := &swap{}
	for range f.count() {
		s.old = append(s.old, f.uvarint())
	}
	for range f.count() {
		s.by = append(s.by, f.meta())
	}
	if f.failed || len(f.rest) > 0 || len(s.old)+len(s.by) == 0 {
		return nil, frame.ErrField
	}
	return s, nil
}

// swap has the segments old of p replaced by others, which are sealed, synced and verified, own the same offsets, and belong to the store from then
// on. It returns false if the old ones are not there any more, because they were trimmed meanwhile: then the new ones are removed. Only segments that were sealed
// when the last two checkpoints were made may be swapped (see settled): an open from either finds them as they were.
func (st *Store) swap(ctx context.Context, p *core.Partition, old, by []*segment.Segment) (bool, error) {
	s := swap{}
	for _, seg := range old {
		s.old = append(s.old, seg.Meta().File)
	}
	for _, seg := range by {
		s.by = append(s.by, seg.Meta())
	}
	done := false
	err := st.core.CommitState(ctx, frame.Swap, p, s.encode(), func() { done = st.keeper.exchange(p, s.old, by) })
	return done, err
}

// exchange carries out a swap that has committed, and buries what is not needed.
func (s *spiller) exchange(p *core.Partition, old []uint64, by []*segment.Segment) bool {
	h := s.parts.find(p.ID)
	if h == nil || p.Dropped() {
		s.graves.bury(p.ID, by...)
		return false
	}
	gone, ok := h.swap(old, by)
	switch {
	case ok:
		s.graves.bury(p.ID, gone...)
	case !h.hasAny(by): // else a checkpoint knew of it already
		s.graves.bury(p.ID, by...)
	}
	return ok
}

// hasAny tells whether a segment with one of the files is there.
func (h *history) hasAny(by []*segment.Segment) bool {
	return slices.ContainsFunc(h.list(), func(s *segment.Segment) bool {
		return slices.ContainsFunc(by, func(b *segment.Segment) bool { return b.Meta().File == s.Meta().File })
	})
}
