package segment

import (
	"github.com/leatmq/leat/storage/internal/frame"
)

const (
	minRead = 4 << 10 // read at least, so that a small frame comes with its header
	maxRead = 1 << 20 // read ahead at most; beyond only for one frame
)

// Read returns whole frames, header and body checked, from the first on whose offsets reach beyond from: one if there is one, and as many
// more as fit maxBytes and one read of the disk, or one block. There may be pads between them. It returns nothing at the end of the segment, or if no frame
// from there on is left in it. They lie in memory of their own, which belongs to the caller.
//
// Frames before a damaged one are returned without it. Where the first one is damaged, the error is a *storage.DamageError, and Read goes on from
// its Next. Other errors are those of the file system.
func (s *Segment) Read(from int64, maxBytes int) ([]byte, error) {
	var buf []byte
	return s.ReadInto(&buf, from, maxBytes)
}

// ReadInto is Read into buf, which it replaces if it is too small. The frames are part of it, so they are good until the next ReadInto: fresh memory
// costs more than the read itself.
func (s *Segment) ReadInto(buf *[]byte, from int64, maxBytes int) ([]byte, error) {
	m := s.Meta()
	if from >= m.Next {
		return nil, nil
	}
	h, err := s.dir.acquire(s)
	if err != nil {
		return nil, err
	}
	defer s.dir.release(h)
	began, err := s.seek(h, &m, from)
	if err != nil {
		return nil, err
	}
	r := reader{segment: s, handle: h, meta: &m, hint: began, max: maxBytes, buf: (*buf)[:0], start: began.pos}
	frames, err := r.read(from)
	*buf = r.buf
	if len(frames) > 0 {
		s.keep(from, began, r.hint)
	}
	return frames, err
}

// seek returns the closest place at or before from.
func (s *Segment) seek(h *handle, m *Meta, from int64) (hint, error) {
	last, ok := s.hint(from)
	if ok && last.offset == from {
		return last, nil
	}
	lines, err := s.indexed(h)
	if err != nil {
		return hint{}, err
	}
	l := lineAt(lines, m, func(l *line) bool { return l.offset <= from })
	if ok && last.offset >= l.offset {
		return last, nil
	}
	return hint{place: place{l.offset, l.pos}}, nil
}

// reader is one Read under way.
type reader struct {
	segment *Segment
	handle  *handle
	meta    *Meta
	max     int
	hint    // behind the last frame looked at
	buf     []byte
	start   int64 // position of buf
}

// read finds the first frame that reaches beyond from, and takes it and those behind it.
func (r *reader) read(from int64) ([]byte, error) {
	ahead := r.ahead(from)
	for r.pos < r.meta.Length {
		if b := r.cached(); b != nil && b.header.Next() > from {
			return r.part(b, from), nil
		}
		b, err := r.bytes(frame.HeaderSize, ahead)
		if err != nil {
			return nil, err
		}
		h, wrong, err := r.segment.parse(b, r.place, r.meta)
		if err != nil {
			return nil, err
		}
		switch {
		case wrong != "":
			if err := r.passDamage(from, wrong); err != nil {
				return nil, err
			}
		case h.Next() <= from || h.Kind == frame.Pad:
			r.pass(&h)
		case h.Kind == frame.Block:
			return r.open(&h, from)
		default:
			return r.take(&h)
		}
	}
	return nil, nil
}

// ahead returns how much to read at once.
func (r *reader) ahead(from int64) int {
	n := min(max(r.max, r.size, minRead), maxRead)
	switch {
	case r.meta.Codec != 0: // one block at a time, and the next is about as large as the last
		n = min(max(r.size+r.size/4, indexStep), maxRead)
	case r.size > 0: // of frames of one size, no part is read to be read again
		n = max(n-n%r.size, r.size)
	}
	if r.offset < from {
		n += indexStep
	}
	return n
}

// take returns the frame at r.place, whose header is h, and those behind it that are there, fit and are whole.
func (r *reader) take(h *frame.Header) ([]byte, error) {
	b, err := r.bytes(h.Size(), 0)
	if err != nil {
		return nil, err
	}
	seed := r.segment.dir.id.Seed
	if err := h.CheckBody(b[frame.HeaderSize:][:h.BodyLen], seed); err != nil {
		end := place{h.Next(), r.pos + int64(h.Size())}
		return nil, r.segment.damage(place{h.Base, r.pos}, end, err.Error())
	}
	taken := h.Size()
	r.pass(h)
	for r.pos < r.meta.Length {
		h, _, size, err := frame.Next(b[taken:], seed)
		if err != nil || h.Kind == frame.Block || taken+size > r.max || r.segment.belongs(&h, r.place, r.meta) != "" {
			break
		}
		taken += size
		r.pass(&h)
	}
	return b[:taken:taken], nil
}

// passDamage moves behind the damage at r.place, if none of the offsets that are asked for is lost by it.
func (r *reader) passDamage(from int64, wrong string) error {
	if _, err := r.segment.indexed(r.handle); err != nil {
		return err
	}
	to, err := r.segment.past(r.handle, r.place, r.meta)
	if err != nil {
		return err
	}
	if to.offset > from {
		return r.segment.damage(r.place, to, wrong)
	}
	r.hint = hint{place: to}
	return nil
}

// pass moves behind a frame.
func (r *reader) pass(h *frame.Header) {
	r.hint = hint{place: place{h.Next(), r.pos + int64(h.Size())}, size: h.Size()}
}

// bytes returns what is buffered at r.place, at least n bytes, and reads them with as many behind them as ahead says if they are not.
func (r *reader) bytes(n, ahead int) ([]byte, error) {
	skip := int(r.pos - r.start)
	if skip+n <= len(r.buf) {
		return r.buf[skip:], nil
	}
	want := int(min(int64(max(n, ahead)), r.meta.Length-r.pos))
	have := r.buf[min(skip, len(r.buf)):]
	buf := r.buf[:0]
	if cap(buf) < want {
		buf = make([]byte, want)
	}
	buf = append(buf[:0], have...)
	got, err := readInto(r.handle.file, buf[len(have):want], r.pos+int64(len(have)))
	r.buf, r.start = buf[:len(have)+got], r.pos
	if err != nil {
		return nil, err
	}
	if len(r.buf) < n {
		return nil, r.segment.ended(r.place, r.meta, r.pos+int64(len(r.buf)))
	}
	return r.buf, nil
}
