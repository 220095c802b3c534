package disk

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
)

// A hole is offsets of a partition whose records are lost. A reader that comes to one is told and stops there, unless someone has
// decided that readers go on behind it (Store.Skip). Holes stay known, in the checkpoint, until their records are back.

// holes returns the holes of h.
func (h *history) holes() []frame.Hole {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gone
}

// holeFrom returns the first hole that has offsets from from on, nil if there is none.
func holeFrom(holes []frame.Hole, from int64) *frame.Hole {
	i := sort.Search(len(holes), func(i int) bool { return holes[i].Next > from })
	if i == len(holes) {
		return nil
	}
	return &holes[i]
}

// passHoles moves from behind the holes that readers skip, and returns where the next one begins that they do not. If from
// is in such a one, the error is a *storage.DamageError.
func (h *history) passHoles(from int64) (at, end int64, err error) {
	g := h.holes()
	end = math.MaxInt64
	for i := sort.Search(len(g), func(i int) bool { return g[i].Next > from }); i < len(g); i++ {
		inside := g[i].First <= from
		switch {
		case inside && g[i].State == frame.HoleSkipped:
			from = g[i].Next
		case inside:
			return from, end, damageOf(h.part.ID, &g[i], from)
		case g[i].State == frame.HoleOpen:
			return from, g[i].First, nil
		}
	}
	return from, end, nil
}

// damageOf describes what is lost of a hole from an offset on.
func damageOf(p storage.PartitionID, g *frame.Hole, from int64) *storage.DamageError {
	first := max(from, g.First)
	return &storage.DamageError{
		File: g.File, From: g.From, To: g.To, Partition: p, First: first, Next: g.Next, Records: min(g.Records, g.Next-first), Reason: g.Reason,
		Skipped: g.State == frame.HoleSkipped,
	}
}

// punch adds a hole, in place of whatever holes it covers; a mended one only takes them away.
func (h *history) punch(g frame.Hole) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []frame.Hole
	for _, old := range h.gone {
		all = append(all, without(old, g.First, g.Next)...)
	}
	if g.State != frame.HoleMended {
		all = append(all, g)
		h.base.next = max(h.base.next, g.Next)
		h.base.records = max(h.base.records, g.Ordinal+g.Records)
	}
	slices.SortFunc(all, func(a, b frame.Hole) int {
		if a.First < b.First {
			return -1
		}
		return 1
	})
	h.gone = all
}

// without returns what is left of a hole without the offsets from first up to next. Within a hole, offsets count.
func without(g frame.Hole, first, next int64) (left []frame.Hole) {
	if next <= g.First || first >= g.Next {
		return []frame.Hole{g}
	}
	if first > g.First {
		l := g
		l.Next = first
		l.Records = min(g.Records, l.Next-l.First)
		left = append(left, l)
	}
	if next < g.Next {
		r := g
		r.First = next
		r.Records = min(g.Records, r.Next-r.First)
		r.Ordinal = g.Ordinal + g.Records - r.Records
		left = append(left, r)
	}
	return left
}

// lose is replay of a batch whose body is lost: a hole in its partition, behind everything before it.
func (r *replay) lose(h *frame.Header, at place) error {
	p, err := r.partition(h)
	if p == nil {
		return err
	}
	if h, raw, err := r.spilledCopy(h); raw != nil || err != nil {
		if err != nil {
			return err
		}
		return r.batch(h, raw)
	}
	reason := fmt.Sprintf("the body of frame %x of the journal does not match its sum", uint64(h.LSN))
	if !r.st.readOnly {
		reason += "; a copy is kept in " + asideFrame(h.LSN)
	}
	return r.st.lose(p, &frame.Hole{
		First: h.Base, Next: h.Next(), Records: int64(h.Count), State: frame.HoleOpen, File: at.file, From: at.from, To: at.to, Reason: reason,
	}, h.Time)
}

// spilledCopy returns the same frame as a segment has it, nil if none has.
func (r *replay) spilledCopy(h *frame.Header) (*frame.Header, []byte, error) {
	if r.spilled == nil {
		return nil, nil, nil
	}
	copied, raw, err := r.spilled.find(storage.PartitionID(h.Partition), h.Base)
	if err != nil || raw == nil || copied.LSN != h.LSN {
		return nil, nil, err
	}
	return &copied, raw, nil
}

// lose adds a hole behind what p has. Before the store serves.
func (st *Store) lose(p *core.Partition, g *frame.Hole, nanos int64) error {
	if _, err := st.keeper.partition(p, maxLSN); err != nil { // segments behind the hole must not count what is before it as theirs
		return err
	}
	g.Ordinal = p.Marks().Records
	if err := p.Lose(g.First, g.Next, g.Records, nanos); err != nil {
		return err
	}
	st.keeper.parts.of(p).punch(*g)
	st.holed[p] = true
	return nil
}

// exposeHoles takes the frames in front of holes out of memory, since they are in segments: what is in memory has no holes.
func (st *Store) exposeHoles() {
	for p := range st.holed {
		p.Forget()
	}
	st.holed = nil
}

// damages lists the holes of all partitions.
func (st *Store) damages() (all []*storage.DamageError) {
	for _, p := range st.core.Catalog.Partitions() {
		if p == nil {
			continue
		}
		h := st.keeper.parts.find(p.ID)
		if h == nil {
			continue
		}
		for _, g := range h.holes() {
			all = append(all, damageOf(p.ID, &g, g.First))
		}
	}
	return all
}
