package segment

import (
	"encoding/binary"
	"io"

	"github.com/leatmq/leat/storage/internal/frame"
)

// searchWindow is how much a search reads at once.
const searchWindow = 64 << 10

// search looks for the place where frames go on behind a header that cannot be believed: for readers and for Verify alike, so that both name the same bytes.
//
// What is found must be certain, for a payload may hold frames: of this store, of this partition, with good sums, if somebody publishes what he has read from a copy of
// the directory. So a frame counts if it stands where the damaged one ends, as the sum of that one's body proves; or else if it is whole and from it on each frame stands exactly
// behind the one before, with ascending offsets, up to a place that is known. Frames inside a payload end within it, or lead beside what is known.
type search struct {
	segment *Segment
	meta    *Meta
	known   place  // where a frame starts for certain, or the end
	near    window // for going on step by step
	far     window // for going ahead
	broken  map[int64]struct{}
}

// search returns a search in a file of s, up to a known place behind.
func (s *Segment) search(file io.ReaderAt, m *Meta, known place, pace func(int) error) *search {
	w := window{file: file, end: m.Length, size: searchWindow, pace: pace}
	return &search{segment: s, meta: m, known: known, near: w, far: w, broken: map[int64]struct{}{}}
}

// behind returns where frames go on behind the one at the place at. With an error of the file system, it is the known place.
func (x *search) behind(at place) (place, error) {
	for {
		end, err := x.endOf(at.pos)
		if err != nil || end == x.known.pos {
			return x.known, err
		}
		if end == 0 {
			return x.step(at)
		}
		at.pos = end
		h, ok, _, err := x.header(&x.near, at)
		if err != nil {
			return x.known, err
		}
		if ok {
			return place{h.Base, end}, nil
		}
	}
}

// endOf returns where the frame at pos ends whose header is damaged, if its length and the sum of its body are not: the body tells. Else it returns 0.
func (x *search) endOf(pos int64) (int64, error) {
	b, err := x.near.at(pos, frame.HeaderSize)
	if err != nil || len(b) < frame.HeaderSize {
		return 0, err
	}
	n, want := int64(binary.LittleEndian.Uint32(b[4:])), binary.LittleEndian.Uint32(b[8:])
	if n == 0 || n > frame.MaxBody || pos+int64(frame.Size(int(n))) > x.known.pos {
		return 0, nil
	}
	whole, err := x.sumIs(pos+frame.HeaderSize, n, want)
	if !whole {
		return 0, err
	}
	return pos + int64(frame.Size(int(n))), nil
}

// sumIs compares n bytes at pos with their sum, without having them all in memory: n may be anything.
func (x *search) sumIs(pos, n int64, want uint32) (bool, error) {
	sum := x.segment.dir.id.Seed
	for end := pos + n; pos < end; {
		b, err := x.far.at(pos, 1)
		if err != nil || len(b) == 0 {
			return false, err
		}
		b = b[:min(int64(len(b)), end-pos)]
		sum = frame.Seed(sum.Sum(b))
		pos += int64(len(b))
	}
	return uint32(sum) == want, nil
}

// header returns the header at a place, if one of this segment is there. ended says that the file ends before.
func (x *search) header(w *window, at place) (h frame.Header, ok, ended bool, err error) {
	b, err := w.at(at.pos, frame.HeaderSize)
	if err != nil || len(b) < frame.HeaderSize {
		return h, false, true, err
	}
	if binary.LittleEndian.Uint32(b[32:]) != uint32(x.segment.partition) {
		return h, false, false, nil
	}
	h, err = frame.Parse(b, x.segment.dir.id.Seed)
	return h, err == nil && x.segment.belongs(&h, at, x.meta) == "", false, nil
}

// step looks at every place behind at where a frame could start.
func (x *search) step(at place) (place, error) {
	for pos := at.pos + 8; pos < x.known.pos; pos += 8 {
		h, ok, ended, err := x.header(&x.near, place{at.offset, pos})
		if err != nil || ended {
			return x.known, err
		}
		if ok {
			ok, err = x.certain(&h, pos)
		}
		if err != nil {
			return x.known, err
		}
		if ok {
			return place{h.Base, pos}, nil
		}
	}
	return x.known, nil
}

// certain tells whether the frame at pos is whole, and frames lead from it to the known place.
func (x *search) certain(h *frame.Header, pos int64) (bool, error) {
	if whole, err := x.sumIs(pos+frame.HeaderSize, int64(h.BodyLen), h.BodySum); !whole {
		return false, err
	}
	var passed []int64
	at := place{h.Base, pos}
	for at.pos < x.known.pos {
		if _, broken := x.broken[at.pos]; broken {
			break
		}
		h, ok, _, err := x.header(&x.far, at)
		if err != nil {
			return false, err
		}
		if !ok {
			break
		}
		passed = append(passed, at.pos)
		at = place{h.Next(), at.pos + int64(h.Size())}
	}
	if at.pos == x.known.pos && at.offset <= x.known.offset {
		return true, nil
	}
	for _, pos := range passed {
		x.broken[pos] = struct{}{}
	}
	return false, nil
}

// rift is a damaged stretch of a segment that a search has measured.
type rift struct{ from, to place }

// maxRifts is how many of them are remembered for each segment: whoever stands in front of damage asks again and again.
const maxRifts = 8

// past returns where frames go on behind the one at the place at, whose header cannot be believed.
func (s *Segment) past(h *handle, at place, m *Meta) (place, error) {
	known := s.behind(at.pos, m)
	s.mu.Lock()
	for _, r := range s.rifts {
		if r.from.pos == at.pos && r.to.pos <= known.pos {
			s.mu.Unlock()
			return r.to, nil
		}
	}
	s.mu.Unlock()
	to, err := s.search(h.file, m, known, nil).behind(at)
	if err != nil {
		return to, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rifts) == maxRifts {
		s.rifts = s.rifts[1:]
	}
	s.rifts = append(s.rifts[:len(s.rifts):len(s.rifts)], rift{at, to})
	return to, nil
}
