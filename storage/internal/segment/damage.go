package segment

import (
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// place says that all frames at pos and behind have offsets of at least offset, and all before it lower ones.
type place struct{ offset, pos int64 }

// damage describes what is lost between two places.
func (s *Segment) damage(from, to place, reason string) error {
	return &storage.DamageError{
		File: s.Name(), From: from.pos, To: to.pos, Partition: s.partition,
		First: from.offset, Next: max(to.offset, from.offset), Reason: reason,
	}
}

// unreadable describes a file that cannot be believed at all.
func (s *Segment) unreadable(m *Meta, reason string) error {
	return s.damage(place{m.Base, 0}, place{m.Next, m.Length}, reason)
}

// belongs returns "" if a frame with the header h can stand at the place at, in front of the segment's end, and else the reason why not.
func (s *Segment) belongs(h *frame.Header, at place, m *Meta) string {
	switch {
	case h.Partition != uint32(s.partition):
		return "a frame of another partition"
	case h.Kind != frame.Batch && h.Kind != frame.Pad && !(h.Kind == frame.Block && m.Rewritten && h.Codec == m.Codec):
		return "a frame that is not of a segment"
	case h.Base < at.offset || h.Next() > m.Next:
		return "a frame out of the order of offsets"
	case int64(h.Size()) > m.Length-at.pos:
		return "a frame beyond the end of the segment"
	}
	return ""
}
