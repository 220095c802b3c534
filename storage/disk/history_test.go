package disk

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestOrdinalInAGap asks how many records lie below an offset in a gap, again and again, while the first records behind the gap come to a segment of their own: it is
// the same number before and after, or a cursor that ends in the gap says for ever that it has passed what it has not seen.
func TestOrdinalInAGap(t *testing.T) {
	dir := segment.NewDir(memfs.New(), segment.Identity{Seed: frame.Seed(1)}, 0)
	const front, behind, gap = 11, 7, 1 << 20
	old := dir.Open(1, segment.Meta{File: 1, Next: front, Count: front, Length: 8192})
	for round := range 500 {
		h := &history{segments: []*segment.Segment{old}}
		next := dir.Open(1, segment.Meta{File: 2, Base: gap, Next: gap + behind, Ordinal: front, Count: behind, Length: 8192})
		var asking atomic.Bool
		go func() {
			for !asking.Load() {
				runtime.Gosched()
			}
			h.add(next)
		}()
		asking.Store(true)
		for added := false; !added; {
			runtime.Gosched()
			added = len(h.list()) > 1
			if n := h.Ordinal(gap / 2); n != front {
				t.Fatalf("round %d: %d records are said to lie below an offset in a gap, want %d", round, n, front)
			}
		}
	}
}

// TestOrdinalAroundAHole asks for places around a hole that stands between two gaps: what is lost in it counts behind it, and not in front.
func TestOrdinalAroundAHole(t *testing.T) {
	dir := segment.NewDir(memfs.New(), segment.Identity{Seed: frame.Seed(1)}, 0)
	front := dir.Open(1, segment.Meta{File: 1, Next: 11, Count: 11, Length: 8192})
	behind := dir.Open(1, segment.Meta{File: 2, Base: 300, Next: 305, Ordinal: 18, Count: 5, Length: 8192})
	for _, all := range [][]*segment.Segment{{front}, {front, behind}} {
		h := &history{segments: all}
		h.punch(frame.Hole{First: 200, Next: 207, Ordinal: 11, Records: 7, State: frame.HoleOpen})
		for offset, want := range map[int64]int64{0: 0, 10: 10, 11: 11, 199: 11, 200: 11, 203: 14, 207: 18, 299: 18, 300: 18} {
			if got := h.Ordinal(offset); got != want {
				t.Errorf("%d segments: %d records are said to lie below offset %d, want %d", len(all), got, offset, want)
			}
		}
	}
}
