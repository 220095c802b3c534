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
	window  []byte
	from    int64 // position of window
}

// walked is a frame that a walker came to.
type walked struct {
	frame.Header
	pos int64
	sum uint32 // of the header
}

// walk returns a walker that starts at a place where a frame starts.
func (s *Segment) walk(h *handle, m *Meta, at place) *walker {
	return &walker{segment: s, handle: h, meta: m, at: at}
}

// next returns the next frame, pads too, and io.EOF at the end of the segment.
func (w *walker) next() (f walked, err error) {
	if w.at.pos >= w.meta.Length {
		return f, io.EOF
	}
	b, err := w.peek()
	if err != nil {
		return f, err
	}
	f.pos = w.at.pos
	if f.Header, err = w.segment.parse(b, w.at, w.meta); err != nil {
		return f, err
	}
	f.sum = binary.LittleEndian.Uint32(b)
	w.at = place{f.Next(), f.pos + int64(f.Size())}
	return f, nil
}

// peek returns the bytes at w.at, at least a header's.
func (w *walker) peek() ([]byte, error) {
	skip := w.at.pos - w.from
	if skip+frame.HeaderSize <= int64(len(w.window)) {
		return w.window[skip:], nil
	}
	var err error
	w.from = w.at.pos
	w.window, err = readAt(w.handle.file, w.from, int(min(walkWindow, w.meta.Length-w.from)))
	if err != nil {
		return nil, err
	}
	if len(w.window) < frame.HeaderSize {
		return nil, w.segment.ended(w.at, w.meta, w.from+int64(len(w.window)))
	}
	return w.window, nil
}

// parse reads the header at the start of b, which is at the place at, and checks that it belongs there. If not it is damage up to the next place that is known.
func (s *Segment) parse(b []byte, at place, m *Meta) (frame.Header, error) {
	h, err := frame.Parse(b, s.dir.id.Seed)
	if errors.Is(err, frame.ErrVersion) {
		return h, fmt.Errorf("%w: %s, byte %d: %w", storage.ErrFormat, s.Name(), at.pos, err)
	}
	if err != nil {
		return h, s.damage(at, s.behind(at.pos, m), err.Error())
	}
	if reason := s.belongs(&h, at, m); reason != "" {
		return h, s.damage(at, s.behind(at.pos, m), reason)
	}
	return h, nil
}

// ended describes what is lost of a file that ends at end, within the frame at the place at.
func (s *Segment) ended(at place, m *Meta, end int64) error {
	return s.damage(at, place{m.Next, m.Length}, fmt.Sprintf("the file ends at %d", end))
}
