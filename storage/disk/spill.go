package disk

import (
	"errors"
	"fmt"
	"sort"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// spiller copies committed frames, unchanged, from memory to the segments of their partitions, and gives memory back (evict.go). It is used by one
// goroutine at a time.
type spiller struct {
	journal  *journal
	segments *segment.Dir
	parts    *histories
	limit    int64         // size of a segment
	epoch    uint32        // of this open
	nextFile atomic.Uint64 // ID of the next segment file
	graves   *graveyard
	sealings sealings

	buf     []byte
	changed map[*segment.Segment]struct{} // appended to since the last checkpoint took them

	cache   int64         // bytes of memory above which what is spilled is evicted
	fresh   int64         // bytes spilled since that was last looked at
	keeping []*core.Share // of topics that keep blocks of their own
	spills  atomic.Int64
}

// spillChunk is what is written to a segment at once, and what is held under a partition's lock to copy it.
const spillChunk = 256 << 10

// relieve spills the partitions with the most unspilled bytes first until at most target bytes are left.
func (s *spiller) relieve(target int64) error {
	dirty := s.journal.takeDirty()
	parts := make([]*core.Partition, 0, len(dirty))
	left := int64(0)
	for p, n := range dirty {
		parts = append(parts, p)
		left += n
	}
	sort.Slice(parts, func(a, b int) bool {
		if dirty[parts[a]] != dirty[parts[b]] {
			return dirty[parts[a]] > dirty[parts[b]]
		}
		return parts[a].ID < parts[b].ID
	})
	// Not beyond what was applied whole: else the next checkpoint could have a part of an entry.
	limit := s.journal.core.State.Applied()
	for _, p := range parts {
		if left <= target {
			return nil
		}
		n, err := s.partition(p, limit)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

const maxLSN = frame.LSN(1<<64 - 1)

// all spills everything that was committed with an LSN up to limit.
func (s *spiller) all(limit frame.LSN) error {
	dirty := s.journal.takeDirty()
	parts := make([]*core.Partition, 0, len(dirty))
	for p := range dirty {
		parts = append(parts, p)
	}
	sort.Slice(parts, func(a, b int) bool { return parts[a].ID < parts[b].ID })
	for _, p := range parts {
		if _, err := s.partition(p, limit); err != nil {
			return err
		}
	}
	return nil
}

// partition spills p's committed frames with an LSN up to limit, and returns how many bytes they were. It gives back memory meanwhile.
func (s *spiller) partition(p *core.Partition, limit frame.LSN) (spilled int64, err error) {
	spilled = s.skip(p, limit)
	for {
		n, err := s.chunk(p, limit)
		spilled += n
		if n == 0 || err != nil {
			return spilled, err
		}
		if s.fresh < int64(s.journal.pool.Usual()) {
			continue
		}
		if err := s.evict(); err != nil {
			return spilled, err
		}
	}
}

// chunk spills some of p's committed frames with an LSN up to limit, 0 bytes of them if there are none.
func (s *spiller) chunk(p *core.Partition, limit frame.LSN) (int64, error) {
	frames, hs, err := p.Spillable(s.buf[:0], limit, spillChunk)
	if len(hs) == 0 || err != nil {
		return 0, err
	}
	if cap(frames) <= 2*spillChunk {
		s.buf = frames
	}
	name := fmt.Sprintf("segments of partition %d", p.ID)
	s.journal.lanes.segments.enter(&name)
	done, err := s.append(p, frames, hs)
	s.journal.lanes.segments.leave()
	if done == 0 {
		return 0, err
	}
	n, memory := p.Spilled(done)
	s.journal.spilled(p, n, memory)
	s.fresh += memory
	s.spills.Add(1)
	return n, err
}

// skip passes over frames that need not be spilled, because their records are removed by now, and returns how many bytes they were.
func (s *spiller) skip(p *core.Partition, limit frame.LSN) int64 {
	n, behind := p.Expired(limit)
	if n == 0 {
		return 0
	}
	if !p.Dropped() {
		s.parts.of(p).pass(segmentBase{behind.Next, behind.Records, behind.Time})
	}
	bytes, memory := p.Spilled(n)
	s.journal.spilled(p, bytes, memory)
	return bytes
}

// reap takes away what was trimmed: frames with an LSN up to limit that wait to be spilled, and segments.
func (s *spiller) reap(limit frame.LSN) {
	for _, p := range s.journal.takeTrimmed() {
		s.skip(p, limit)
		if p.Dropped() {
			s.bury(p, s.parts.drop(p.ID))
			s.graves.buryNamed(doomed{partition: p.ID})
		} else if h := s.parts.find(p.ID); h != nil {
			s.bury(p, h.trim(p.Marks().First))
		}
	}
}

func (s *spiller) bury(p *core.Partition, gone []*segment.Segment) {
	for _, seg := range gone {
		delete(s.changed, seg)
	}
	s.graves.bury(p.ID, gone...)
}

// append writes frames to the active segment of p, or to a new one: where offsets leave a gap, so that within a segment they count. It returns how
// many were written.
func (s *spiller) append(p *core.Partition, frames []byte, hs []frame.Header) (done int, err error) {
	h := s.parts.of(p)
	for len(hs) > 0 {
		n, size := contiguous(hs, piece(p.Strategy()))
		seg, err := s.target(h, hs[0].Base, size)
		if err != nil {
			return done, err
		}
		err = seg.Append(frames[:size])
		if damaged(err) && seg.Meta().Count > 0 || errors.Is(err, segment.ErrSealed) { // nothing is added to it
			if seg, err = s.create(h, hs[0].Base); err == nil {
				err = seg.Append(frames[:size])
			}
		}
		if err != nil {
			return done, err
		}
		s.changed[seg] = struct{}{}
		frames, hs = frames[size:], hs[n:]
		done += n
	}
	return done, nil
}

// contiguous returns how many of the first frames follow each other without a gap and have at most so many bytes together, and their bytes. One
// always does.
func contiguous(hs []frame.Header, most int) (n int, size int) {
	for n < len(hs) && (n == 0 || hs[n].Base == hs[n-1].Next() && size+hs[n].Size() <= most) {
		size += hs[n].Size()
		n++
	}
	return n, size
}

// target returns the segment that size bytes from offset base on go to.
func (s *spiller) target(h *history, base int64, size int) (*segment.Segment, error) {
	a := h.active()
	if a == nil {
		return s.create(h, base)
	}
	m := a.Meta()
	switch {
	case m.Count > 0:
	case m.Base == base && m.Ordinal == h.reach().records:
		return a, nil
	default: // it was made for records that were removed before they came here: those that come have other offsets and ordinals
		h.remove(a)
		s.bury(h.part, []*segment.Segment{a})
		return s.create(h, base)
	}
	if m.Next == base && m.Length+int64(size) <= s.limit && !ripe(&m, int64(size), s.limit, h.part.Strategy()) {
		return a, nil
	}
	switch err := a.Seal(); {
	case err == nil:
		s.changed[a] = struct{}{}
		s.sealings.note(m.File, s.graves.newest())
	case vfs.NoSpace(err) && m.Next == base: // it grows beyond its size until there is space for a footer
		return a, nil
	case vfs.NoSpace(err): // it does without one
	case !damaged(err) && !errors.Is(err, segment.ErrSealed):
		return nil, err
	}
	return s.create(h, base)
}

// A segment that will be trimmed, rewritten or compacted is sealed sooner than others: what is appended to is left alone by all of these.
const (
	minRipe   = 64 << 10
	ripeParts = 8         // of what a policy keeps in one segment
	ripeAge   = time.Hour // of one that is to be rewritten

	plainParts = 4 // of the usual size may wait to be compressed in one segment; those that come of it are merged
)

// ripe tells whether a segment is sealed before size bytes more are added, though there is room for them.
func ripe(m *segment.Meta, size, limit int64, s *storage.Strategy) bool {
	if m.Length < minRipe {
		return false
	}
	c := &s.Cleanup
	age := time.Duration(m.MaxTime - m.MinTime)
	return c.MaxBytes > 0 && m.Length+size > c.MaxBytes/ripeParts ||
		c.MaxRecords > 0 && m.Count > c.MaxRecords/ripeParts ||
		s.Level == storage.Compressed && m.Length+size > limit/plainParts ||
		c.MaxAge > 0 && age > c.MaxAge/ripeParts ||
		(c.LatestByKey || s.Level == storage.Compressed) && age > ripeAge
}

// piece bounds what is added to a segment at once, so that ripe is asked often enough.
func piece(s *storage.Strategy) int {
	if most := s.Cleanup.MaxBytes; most > 0 {
		return int(max(minRipe, min(most/ripeParts, spillChunk)))
	}
	return spillChunk
}

func damaged(err error) bool {
	var damage *storage.DamageError
	return errors.As(err, &damage)
}

func (s *spiller) create(h *history, base int64) (*segment.Segment, error) {
	seg, err := s.segments.Create(h.part.ID, s.nextFile.Add(1)-1, base, h.reach().records, s.epoch)
	if err != nil {
		return nil, err
	}
	h.add(seg)
	s.changed[seg] = struct{}{}
	return seg, nil
}
