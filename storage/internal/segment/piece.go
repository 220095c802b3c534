package segment

import (
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// Piece is a batch of a segment that is whole, or offsets that are lost.
type Piece struct {
	Header      frame.Header
	Raw         []byte               // the frame, valid until the next Piece; nil if the offsets are lost
	First, Next int64                // the offsets
	Damage      *storage.DamageError // that took them
	Unread      bool                 // the medium did not give bytes of them back
}

// Pieces reads the segment as Verify does, and calls each with what it comes to, in the order of offsets: batches, those of blocks as they were before they were
// compressed, and offsets that are lost by damage. Where the header block alone is damaged, nothing is lost here. It ends with the error of each.
func (s *Segment) Pieces(each func(Piece) error) error {
	v := &verifier{segment: s, meta: s.Meta(), pace: func(int) error { return nil }, each: each}
	v.at = place{v.meta.Base, blockSize}
	return v.run()
}

// pass hands a frame that is whole on.
func (v *verifier) pass(h *frame.Header, raw []byte) error {
	if v.each == nil {
		return nil
	}
	if h.Kind == frame.Batch {
		return v.each(Piece{Header: *h, Raw: raw, First: h.Base, Next: h.Next()})
	}
	if h.Kind != frame.Block {
		return nil
	}
	for rest := v.expanded; len(rest) > 0; {
		h := frame.Checked(rest)
		if err := v.each(Piece{Header: h, Raw: rest[:h.Size()], First: h.Base, Next: h.Next()}); err != nil {
			return err
		}
		rest = rest[h.Size():]
	}
	return nil
}
