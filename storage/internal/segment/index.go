package segment

import (
	"encoding/binary"
	"io"
	"slices"
	"sort"
)

// indexStep is how many bytes lie between two lines of the index, at least.
const indexStep = 64 << 10

// maxHints is how many readers of a segment go on where they stopped without a look into the index.
const maxHints = 8

// index is the sparse index of a segment: all of it is guarded by Segment.mu. It is a cache: of an unsealed segment it grows with each Append, and
// what a process before this one appended is read off the frames when it is first needed; of a sealed one it is read from the footer, and forgotten
// when the file is closed.
type index struct {
	lines     []line // ascending; elements never change, so readers keep the slice
	unindexed int64  // the frames before this position are not in lines yet; 0 if all are
	digest    uint64 // of the frames from unindexed on
	hints     []hint
	nextHint  int    // which one the next reader that came by the index replaces
	rifts     []rift // where frames do not change their places, so they stay true
}

// hint is where a reader stopped, and the size of the last frame it took: the next one is likely of that size too. If it stopped within a block, the
// place is that of the block, and inside is the offset behind it.
type hint struct {
	place
	size   int
	inside int64
}

// line is where a frame starts that lies at least indexStep behind the one before. ordinal counts the records of the partition before it.
type line struct{ offset, pos, time, ordinal int64 }

// stamp is a frame's share in the digest: the digest of a segment is the sum of those of all frames. It binds a header's sum to a position.
func stamp(sum uint32, pos int64) uint64 {
	x := uint64(pos)<<32 ^ uint64(sum)
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// stampOf is stamp of the frame at the start of b.
func stampOf(b []byte, pos int64) uint64 { return stamp(binary.LittleEndian.Uint32(b), pos) }

// lastLine is the position of the last line, so far back if there is none that the next frame gets one.
func (x *index) lastLine() int64 {
	if len(x.lines) == 0 {
		return -indexStep
	}
	return x.lines[len(x.lines)-1].pos
}

// forget drops what can be read again: the index of a sealed segment.
func (s *Segment) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.meta.Sealed {
		s.lines, s.unindexed = nil, s.meta.Length
	}
}

// indexed returns the index of the whole segment, which it loads if need be.
func (s *Segment) indexed(h *handle) ([]line, error) {
	if lines, ok := s.known(); ok {
		return lines, nil
	}
	s.lazy.Lock()
	defer s.lazy.Unlock()
	if lines, ok := s.known(); ok {
		return lines, nil
	}
	lines, digest, err := s.load(h)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(lines, s.lines...)
	s.unindexed, s.digest = 0, s.digest+digest
	return s.lines, nil
}

func (s *Segment) known() ([]line, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines, s.unindexed == 0
}

// load reads the lines of the frames that are not indexed: from the footer if there is a good one, else from the headers of the frames. Behind damage, how many
// records there were is known only if offsets tell.
func (s *Segment) load(h *handle) (lines []line, digest uint64, err error) {
	m := s.Meta()
	if m.Sealed && !m.Retired {
		if lines, ok, err := s.readFooter(h, &m); ok || err != nil {
			return lines, 0, err
		}
	}
	s.mu.Lock()
	m.Length = s.unindexed
	s.mu.Unlock()
	w := s.walk(h, &m, place{m.Base, blockSize})
	defer w.end()
	count, last := int64(0), int64(-indexStep)
	for {
		f, err := w.next()
		switch {
		case err == nil:
		case missing(err) && m.dense(): // the reader of the damaged place is told
			continue
		case err == io.EOF || missing(err):
			return slices.Clip(lines), digest, nil
		default:
			return nil, 0, err
		}
		if m.dense() {
			count = f.Base - m.Base
		}
		if f.pos-last >= indexStep {
			lines = append(lines, line{f.Base, f.pos, f.Time, m.ordinalAt(f.Base, count)})
			last = f.pos
		}
		digest += stamp(f.sum, f.pos)
		count += int64(f.Count)
	}
}

// lineAt returns the last of the lines for which before is true, as before is for all up to some line, or the start of the segment.
func lineAt(lines []line, m *Meta, before func(*line) bool) line {
	n := sort.Search(len(lines), func(i int) bool { return !before(&lines[i]) })
	if n == 0 {
		return line{offset: m.Base, pos: blockSize, time: m.MinTime, ordinal: m.Ordinal}
	}
	return lines[n-1]
}

// behind returns the first place after pos that the index knows, or the end.
func (s *Segment) behind(pos int64, m *Meta) place {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := sort.Search(len(s.lines), func(i int) bool { return s.lines[i].pos > pos })
	if n < len(s.lines) && s.lines[n].pos < m.Length {
		return place{s.lines[n].offset, s.lines[n].pos}
	}
	return place{m.Next, m.Length}
}

// hint returns the closest place at or before offset where a reader stopped.
func (s *Segment) hint(offset int64) (best hint, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hints {
		if h.offset <= offset && (!ok || h.offset > best.offset) {
			best, ok = h, true
		}
	}
	return best, ok
}

// keep notes where a reader from an offset stopped, in place of the hint it went on from, if that was its own.
func (s *Segment) keep(from int64, began, stopped hint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.hints, began); i >= 0 && (began.offset == from || from < began.inside) {
		s.hints[i] = stopped
		return
	}
	if len(s.hints) < maxHints {
		s.hints = append(s.hints, stopped)
		return
	}
	s.hints[s.nextHint] = stopped
	s.nextHint = (s.nextHint + 1) % maxHints
}
