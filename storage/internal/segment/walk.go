package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// walkWindow is how much a walker reads at once.
const walkWindow = 64 << 10

// walker goes from frame to frame of a segment by their headers. It does not look at bodies.
type walker struct {
	segment *Segment
	handle  *handle
	meta    *Meta // as of when the walk began
	at      place
	was     place // of the last frame, or of the damage that was there
	window  window
	buf     *[]byte // what the window reads into: walkWindow bytes, and empty
}

// walked is a frame that a walker came to.
type walked struct {
	frame.Header
	pos int64
	sum uint32 // of the header
}

// walk returns a walker that starts at a place where a frame starts. Who is done with it calls end.
func (s *Segment) walk(h *handle, m *Meta, at place) *walker {
	buf, _ := s.dir.walks.Get().(*[]byte)
	if buf == nil {
		b := make([]byte, 0, walkWindow)
		buf = &b
	}
	return &walker{segment: s, handle: h, meta: m, at: at, buf: buf, window: window{file: h.file, end: m.Length, size: walkWindow, buf: *buf}}
}

// end gives back the memory that the walker read into: what next returned is no part of it.
func (w *walker) end() { w.segment.dir.walks.Put(w.buf) }

// next returns the next frame, pads too, and io.EOF at the end of the segment. Behind damage, which is an error, it goes on with the call after it.
func (w *walker) next() (f walked, err error) {
	if w.at.pos >= w.meta.Length {
		return f, io.EOF
	}
	b, err := w.window.at(w.at.pos, frame.HeaderSize)
	if err != nil {
		return f, err
	}
	from := w.at
	w.was = from
	if len(b) < frame.HeaderSize {
		w.at = place{w.meta.Next, w.meta.Length}
		return f, w.segment.ended(from, w.meta, w.window.reached())
	}
	h, wrong, err := w.segment.parse(b, w.at, w.meta)
	if err != nil {
		return f, err
	}
	if wrong != "" {
		if w.at, err = w.segment.past(w.handle, from, w.meta); err != nil {
			return f, err
		}
		return f, w.segment.damage(from, w.at, wrong)
	}
	f = walked{Header: h, pos: from.pos, sum: binary.LittleEndian.Uint32(b)}
	w.at = place{f.Next(), f.pos + int64(f.Size())}
	return f, nil
}

// passed tells whether err, which next has just returned, is of damage that no offset is lost by.
func (w *walker) passed(err error) bool { return missing(err) && w.at.offset <= w.was.offset }

// parse reads the header at the start of b, which is at the place at, and checks that it belongs there. wrong says why not: then it is damage.
func (s *Segment) parse(b []byte, at place, m *Meta) (h frame.Header, wrong string, err error) {
	h, err = frame.Parse(b, s.dir.id.Seed)
	if errors.Is(err, frame.ErrVersion) {
		return h, "", fmt.Errorf("%w: %s, byte %d: %w", storage.ErrFormat, s.Name(), at.pos, err)
	}
	if err != nil {
		return h, err.Error(), nil
	}
	return h, s.belongs(&h, at, m), nil
}

// ended describes what is lost of a file that ends at end, within the frame at the place at.
func (s *Segment) ended(at place, m *Meta, end int64) error {
	return s.damage(at, place{m.Next, m.Length}, fmt.Sprintf("the file ends at %d", end))
}
