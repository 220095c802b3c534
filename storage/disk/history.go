package disk

import (
	"math"
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
	part  *core.Partition
	first int64 // no record below it is stored

	mu       sync.Mutex
	segments []*segment.Segment // guarded by mu; replaced, never changed
	base     segmentBase        // what was before the first segment, and gaps behind the last
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
	b := h.base
	if l := h.list(); len(l) > 0 {
		m := l[len(l)-1].Meta()
		b.next, b.records, b.time = max(b.next, m.Next), max(b.records, m.Ordinal+m.Count), max(b.time, m.MaxTime)
	}
	return b
}

// Read implements core.Older.
func (h *history) Read(from int64, maxBytes int) ([]byte, error) {
	from, end, err := h.passHoles(from)
	if err != nil {
		return nil, err
	}
	l := h.list()
	for _, s := range l[h.find(l, from):] {
		if s.Meta().Base >= end {
			break
		}
		frames, err := s.Read(from, maxBytes)
		if err != nil || len(frames) > 0 {
			return frames, err
		}
	}
	if end < math.MaxInt64 {
		_, _, err = h.passHoles(end)
	}
	return nil, err
}

// find returns the index of the first segment that has offsets from from on.
func (h *history) find(l []*segment.Segment, from int64) int {
	return sort.Search(len(l), func(i int) bool { return l[i].Meta().Next > from })
}

// OffsetAt implements core.Older.
func (h *history) OffsetAt(nanos int64) (int64, bool, error) {
	l := h.list()
	i := sort.Search(len(l), func(i int) bool { return l[i].Meta().MaxTime >= nanos })
	for _, s := range l[i:] {
		offset, ok, err := s.OffsetAt(nanos)
		if err != nil || ok {
			return offset, ok, err
		}
	}
	return 0, false, nil
}

// Ordinal implements core.Older.
func (h *history) Ordinal(offset int64) (int64, error) {
	l := h.list()
	if g := h.hole(offset); g != nil {
		return g.Ordinal + min(max(offset-g.First, 0), g.Records), nil
	}
	i := h.find(l, offset)
	if i == len(l) {
		return h.reach().records, nil
	}
	m := l[i].Meta()
	return l[i].Ordinal(min(max(offset, m.Base), m.Next))
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
		m := p.Marks()
		h = &history{part: p, base: segmentBase{next: m.First}}
		hs.by[p.ID] = h
		p.SetOlder(h)
	}
	return h
}

// find returns nil if the partition has none.
func (hs *histories) find(id storage.PartitionID) *history {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.by[id]
}

// count counts all segments.
func (hs *histories) count() (n int64) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, h := range hs.by {
		n += int64(len(h.list()))
	}
	return n
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
