package disk

import (
	"errors"
	"maps"
	"math"
	"slices"
	"sort"
	"sync"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
)

// history is the segments of a partition, oldest first: what core reads from when records are not in memory. The keeper adds to it;
// readers come at any time.
type history struct {
	part *core.Partition

	mu       sync.Mutex
	segments []*segment.Segment // guarded by mu; replaced, never changed
	base     segmentBase        // guarded by mu: how far it had come without its segments: those removed since, and gaps
	gone     []frame.Hole       // what is lost, ascending; guarded by mu; replaced, never changed
}

// segmentBase is how far a partition has come without its segments.
type segmentBase struct{ next, records, time int64 }

var _ core.Older = (*history)(nil)

func (h *history) list() []*segment.Segment {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.segments
}

func (h *history) add(s *segment.Segment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.segments = append(h.segments[:len(h.segments):len(h.segments)], s)
}

// active returns the segment that is appended to, nil if there is none.
func (h *history) active() *segment.Segment {
	l := h.list()
	if len(l) == 0 || l[len(l)-1].Meta().Sealed {
		return nil
	}
	return l[len(l)-1]
}

// Next implements core.Older.
func (h *history) Next() int64 {
	next := int64(0)
	if l := h.list(); len(l) > 0 {
		next = l[len(l)-1].Meta().Next
	}
	if g := h.holes(); len(g) > 0 {
		next = max(next, g[len(g)-1].Next)
	}
	return next
}

// reach is how far the partition has come in segments, gaps included.
func (h *history) reach() segmentBase {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reachLocked()
}

func (h *history) reachLocked() segmentBase {
	b := h.base
	if l := h.segments; len(l) > 0 {
		m := l[len(l)-1].Meta()
		b = b.max(segmentBase{m.Next, m.Ordinal + m.Count, m.MaxTime})
	}
	return b
}

func (b segmentBase) max(c segmentBase) segmentBase {
	return segmentBase{max(b.next, c.next), max(b.records, c.records), max(b.time, c.time)}
}

// pass notes how far the partition has come without segments.
func (h *history) pass(b segmentBase) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.base = h.base.max(b)
}

// trim takes away the segments whose records are all below first, and returns them.
func (h *history) trim(first int64) []*segment.Segment {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.base = h.reachLocked()
	h.gone = slices.DeleteFunc(slices.Clone(h.gone), func(g frame.Hole) bool { return g.Next <= first })
	n := sort.Search(len(h.segments), func(i int) bool { return h.segments[i].Meta().Next > first })
	gone := h.segments[:n]
	h.segments = h.segments[n:len(h.segments):len(h.segments)]
	return gone
}

// remove takes one segment away.
func (h *history) remove(s *segment.Segment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.base = h.reachLocked()
	h.segments = slices.DeleteFunc(slices.Clone(h.segments), func(x *segment.Segment) bool { return x == s })
}

// swap puts segments in the place of those whose files are old, which must follow each other. It returns those taken away; ok is false, and nothing
// changed, if the old ones are not there as they should be.
func (h *history) swap(old []uint64, by []*segment.Segment) (gone []*segment.Segment, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(old) == 0 {
		return nil, h.insertLocked(by)
	}
	at := slices.IndexFunc(h.segments, func(s *segment.Segment) bool { return s.Meta().File == old[0] })
	if at < 0 || at+len(old) > len(h.segments) {
		return nil, false
	}
	gone = h.segments[at : at+len(old)]
	for i, s := range gone {
		if s.Meta().File != old[i] {
			return nil, false
		}
	}
	h.base = h.reachLocked()
	h.segments = slices.Concat(h.segments[:at], by, h.segments[at+len(old):])
	return gone, true
}

// insertLocked puts segments where there is nothing of their offsets.
func (h *history) insertLocked(by []*segment.Segment) bool {
	first, last := by[0].Meta(), by[len(by)-1].Meta()
	at := sort.Search(len(h.segments), func(i int) bool { return h.segments[i].Meta().Next > first.Base })
	if at < len(h.segments) && h.segments[at].Meta().Base < last.Next {
		return false
	}
	h.base = h.reachLocked()
	h.segments = slices.Concat(h.segments[:at], by, h.segments[at:])
	return true
}

// ReadInto implements core.Older.
func (h *history) ReadInto(buf *[]byte, from int64, maxBytes int) ([]byte, error) {
	from, end, err := h.passHoles(from)
	if err != nil {
		return nil, err
	}
	for {
		frames, err := h.readFrom(buf, h.list(), from, end, maxBytes)
		if !errors.Is(err, segment.ErrDiscarded) { // else there is another list by now
			return frames, err
		}
	}
}

func (h *history) readFrom(buf *[]byte, l []*segment.Segment, from, end int64, maxBytes int) ([]byte, error) {
	for _, s := range l[h.find(l, from):] {
		if s.Meta().Base >= end {
			break
		}
		frames, err := s.ReadInto(buf, from, maxBytes)
		if err != nil || len(frames) > 0 {
			return frames, err
		}
	}
	if end == math.MaxInt64 {
		return nil, nil
	}
	_, _, err := h.passHoles(end)
	return nil, err
}

// find returns the index of the first segment that has offsets from from on.
func (h *history) find(l []*segment.Segment, from int64) int {
	return sort.Search(len(l), func(i int) bool { return l[i].Meta().Next > from })
}

// OffsetAt implements core.Older.
func (h *history) OffsetAt(nanos int64) (int64, bool, error) {
	for {
		offset, ok, err := h.offsetIn(h.list(), nanos)
		if !errors.Is(err, segment.ErrDiscarded) {
			return offset, ok, err
		}
	}
}

func (h *history) offsetIn(l []*segment.Segment, nanos int64) (int64, bool, error) {
	i := sort.Search(len(l), func(i int) bool {
		m := l[i].Meta()
		return m.MaxTime >= nanos || m.Next == m.Base // the last one is empty for a moment
	})
	for _, s := range l[i:] {
		offset, ok, err := s.OffsetAt(nanos)
		if err != nil || ok {
			return offset, ok, err
		}
	}
	return 0, false, nil
}

// Ordinal implements core.Older. Inside a segment offsets count: it ends where they leave a gap. All of it is as of one moment, since what comes to a new segment
// behind a gap meanwhile is not below an offset in the gap.
func (h *history) Ordinal(offset int64) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.reachLocked().records
	if i := h.find(h.segments, offset); i < len(h.segments) {
		m := h.segments[i].Meta()
		n = m.Ordinal + max(0, offset-m.Base)
	}
	if g := holeFrom(h.gone, offset); g != nil && g.First > offset { // nor are those that are lost behind it
		n = min(n, g.Ordinal)
	} else if g != nil {
		n = g.Ordinal + min(offset-g.First, g.Records)
	}
	return n
}

// histories is all partitions' histories, by partition.
type histories struct {
	mu sync.Mutex
	by map[storage.PartitionID]*history // guarded by mu
}

// of returns the history of p, made at the first call.
func (hs *histories) of(p *core.Partition) *history {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.by[p.ID]
	if h == nil {
		h = &history{part: p}
		hs.by[p.ID] = h
		p.SetOlder(h)
	}
	return h
}

// drop forgets a partition and returns the segments that it had.
func (hs *histories) drop(id storage.PartitionID) (gone []*segment.Segment) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.by[id]
	if h == nil {
		return nil
	}
	delete(hs.by, id)
	h.mu.Lock()
	defer h.mu.Unlock()
	gone, h.segments = h.segments, nil
	return gone
}

// find returns nil if the partition has none.
func (hs *histories) find(id storage.PartitionID) *history {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.by[id]
}

// count counts all segments, and their bytes.
func (hs *histories) count() (n, bytes int64) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, h := range hs.by {
		l := h.list()
		n += int64(len(l))
		for _, s := range l {
			bytes += s.Meta().Length
		}
	}
	return n, bytes
}

// files returns the IDs of all segments' files.
func (hs *histories) files() map[uint64]bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	ids := map[uint64]bool{}
	for _, h := range hs.by {
		for _, s := range h.list() {
			ids[s.Meta().File] = true
		}
	}
	return ids
}

// all returns the histories by partition, for as long as the store does not serve.
func (hs *histories) all() map[storage.PartitionID]*history {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return maps.Clone(hs.by)
}
