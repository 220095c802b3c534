package segment

import (
	"fmt"
	"io"

	"github.com/leatmq/leat/storage/internal/frame"
)

// OffsetAt returns the base offset of the first frame appended at t, in nanoseconds of Unix time, or later. ok is false if there is none. Errors are
// *storage.DamageError and those of the file system.
func (s *Segment) OffsetAt(t int64) (offset int64, ok bool, err error) {
	m := s.Meta()
	if m.Next == m.Base || t > m.MaxTime {
		return 0, false, nil
	}
	h, err := s.dir.acquire(s)
	if err != nil {
		return 0, false, err
	}
	defer s.dir.release(h)
	lines, err := s.indexed(h)
	if err != nil {
		return 0, false, err
	}
	l := lineAt(lines, &m, func(l *line) bool { return l.time < t })
	w := s.walk(h, &m, place{l.offset, l.pos})
	defer w.end()
	for {
		f, err := w.next()
		switch {
		case err == io.EOF:
			return 0, false, nil
		case w.passed(err): // padding, which is as old as nothing
		case err != nil:
			return 0, false, err
		case f.Kind == frame.Batch && f.Time >= t:
			return f.Base, true, nil
		case f.Kind == frame.Block && f.Time >= t:
			return s.offsetInBlock(h, &f, t, &m)
		}
	}
}

// Ordinal counts the records of the partition below offset, which lies between Meta.Base and Meta.Next, both included. Errors are *storage.DamageError
// and those of the file system.
func (s *Segment) Ordinal(offset int64) (int64, error) {
	m := s.Meta()
	switch {
	case offset < m.Base || offset > m.Next:
		return 0, fmt.Errorf("segment: offset %d is not of offsets %d to %d", offset, m.Base, m.Next)
	case offset == m.Base:
		return m.Ordinal, nil
	case offset == m.Next:
		return m.Ordinal + m.Count, nil
	case m.dense():
		return m.Ordinal + offset - m.Base, nil
	}
	h, err := s.dir.acquire(s)
	if err != nil {
		return 0, err
	}
	defer s.dir.release(h)
	lines, err := s.indexed(h)
	if err != nil {
		return 0, err
	}
	l := lineAt(lines, &m, func(l *line) bool { return l.offset <= offset })
	ordinal := l.ordinal
	w := s.walk(h, &m, place{l.offset, l.pos})
	defer w.end()
	for {
		f, err := w.next()
		switch {
		case err == io.EOF, err != nil && w.was.offset >= offset: // what is damaged has no offsets below
			return ordinal, nil
		case w.passed(err):
		case err != nil:
			return 0, err
		case f.Kind == frame.Pad:
		case f.Base >= offset:
			return ordinal, nil
		case f.Next() > offset:
			n, err := s.countBelow(h, &f, offset, &m)
			return ordinal + n, err
		}
		ordinal += int64(f.Count)
	}
}

// ordinalAt returns how many records of the partition were ever appended below offset, if count are known to be in the segment below it. In a rewritten
// segment, where some may be missing, offsets count.
func (m *Meta) ordinalAt(offset, count int64) int64 {
	if m.Rewritten {
		return m.Ordinal + offset - m.Base
	}
	return m.Ordinal + count
}

// offsetInBlock is OffsetAt within a block whose last frame is not older than t.
func (s *Segment) offsetInBlock(h *handle, f *walked, t int64, m *Meta) (int64, bool, error) {
	frames, err := s.expandAt(h, f, m)
	if err != nil {
		return 0, false, err
	}
	for {
		inner := frame.Checked(frames)
		if inner.Time >= t {
			return inner.Base, true, nil
		}
		frames = frames[inner.Size():]
	}
}

// countBelow counts the records of the frame f below offset.
func (s *Segment) countBelow(h *handle, f *walked, offset int64, m *Meta) (int64, error) {
	if f.Count == f.Span {
		return offset - f.Base, nil
	}
	at := place{f.Base, f.pos}
	b, err := readAt(h.file, f.pos+frame.HeaderSize, int(f.BodyLen))
	if err != nil {
		return 0, err
	}
	if len(b) < int(f.BodyLen) {
		return 0, s.ended(at, m, f.pos+frame.HeaderSize+int64(len(b)))
	}
	end := place{f.Next(), f.pos + int64(f.Size())}
	if err := f.CheckBody(b, s.dir.id.Seed); err != nil {
		return 0, s.damage(at, end, err.Error())
	}
	above, err := frame.DecodeRecords(nil, &f.Header, b, offset)
	if err != nil {
		return 0, s.damage(at, end, err.Error())
	}
	return int64(f.Count) - int64(len(above)), nil
}
