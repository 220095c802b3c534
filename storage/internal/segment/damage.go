package segment

import (
	"errors"
	"fmt"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// place says that all frames at pos and behind have offsets of at least offset, and all before it lower ones.
type place struct{ offset, pos int64 }

// damage describes what is lost between two places.
func (s *Segment) damage(from, to place, reason string) error {
	d := &storage.DamageError{
		File: s.Name(), From: from.pos, To: to.pos, Partition: s.partition,
		First: from.offset, Next: max(to.offset, from.offset), Reason: reason,
	}
	if cause := s.undone(from.pos); cause != nil {
		return &undoneError{d, cause}
	}
	return d
}

// undoneError is returned instead of a *storage.DamageError for bytes that were never durable, and never will be: after a sync that failed, a file system may
// show what was there before. They are still in the journal, and the next open puts them into a segment again.
type undoneError struct {
	found *storage.DamageError
	cause error
}

func (e *undoneError) Error() string {
	return fmt.Sprintf("%s, bytes %d to %d: %s, since %v", e.found.File, e.found.From, e.found.To, e.found.Reason, e.cause)
}

func (e *undoneError) Unwrap() error { return e.cause }

// undone returns why what was written at pos may not be there, nil if it is durable, or may yet become so.
func (s *Segment) undone(pos int64) error {
	s.mu.Lock()
	durable := pos < s.durable
	s.mu.Unlock()
	if durable {
		return nil
	}
	s.syncMu.Lock() // the sync that takes the bytes away may not have returned yet
	defer s.syncMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if pos < s.durable {
		return nil
	}
	return s.failed
}

// missing tells whether err says that bytes of a segment are not what was written.
func missing(err error) bool {
	var damage *storage.DamageError
	var undone *undoneError
	return errors.As(err, &damage) || errors.As(err, &undone)
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
