package core

import (
	"container/heap"
	"math"
	"runtime"

	"github.com/leatmq/leat/storage"
)

// claim takes room for the records of x, which are in memory only, within the bounds of their topics. All of it or, with an error, none.
func (c *Core) claim(x *Entry) error {
	for i := range x.Frames {
		f := &x.Frames[i]
		if err := c.claimFor(f.Part, int64(f.Header.Size()), x.MakesRoom); err != nil {
			x.unclaim(i)
			return x.tooLarge(f.Part.share, err)
		}
	}
	return nil
}

// unclaim gives back what the first n frames claimed.
func (e *Entry) unclaim(n int) {
	for i := range e.Frames[:n] {
		f := &e.Frames[i]
		f.Part.share.bytes.Add(-int64(f.Header.Size()))
	}
}

// tooLarge returns a better error if e would not fit even if its topic had nothing else.
func (e *Entry) tooLarge(s *Share, err error) error {
	var total int64
	for i := range e.Frames {
		if f := &e.Frames[i]; f.Part.share == s {
			total += int64(f.Header.Size())
		}
	}
	if most := s.bound(); total > most {
		return &storage.LimitError{What: "entry in the memory of a topic", Size: total, Max: most}
	}
	return err
}

func (c *Core) claimFor(p *Partition, n int64, makesRoom bool) error {
	s := p.share
	most := s.bound()
	if s.claim(n, most) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if freed(most, func() bool { return s.claim(n, most) }, func(part int64) bool { return c.forgetFinished(s, part) }) {
		return nil
	}
	if makesRoom {
		most += most / storage.SpareMemory
	}
	for tries := 0; !s.claim(n, most); {
		switch {
		case p.Strategy().Memory.WhenFull != storage.DropOldest || n > s.bound() || tries > maxTries:
			return NoRoom(nil)
		case !c.dropOldest(s): // all of it is claimed by entries that are about to be there
			tries++
			runtime.Gosched()
		}
	}
	return nil
}

const maxTries = 1000

// DropOldest drops the oldest batch of the topics of x that say that it is to be dropped for newer ones. It returns false if there is none.
func (c *Core) DropOldest(x *Entry) bool {
	for i := range x.Frames {
		p := x.Frames[i].Part
		if p == nil || !p.Volatile() || p.Strategy().Memory.WhenFull != storage.DropOldest {
			continue
		}
		p.share.mu.Lock()
		dropped := c.dropOldest(p.share)
		p.share.mu.Unlock()
		if dropped {
			return true
		}
	}
	return false
}

// bound is how many bytes of frames a topic in memory may have.
func (s *Share) bound() int64 {
	if n := (*s.parts.Load())[0][0].Strategy().Memory.Bytes; n > 0 {
		return n
	}
	return storage.DefaultMemoryBytes
}

// claim takes n bytes if all are at most so many then.
func (s *Share) claim(n, most int64) bool {
	for {
		held := s.bytes.Load()
		if held+n > most {
			return false
		}
		if s.bytes.CompareAndSwap(held, held+n) {
			return true
		}
	}
}

// finished notes that groups may have finished more of p.
func (s *Share) finished(p *Partition) {
	s.passedMu.Lock()
	defer s.passedMu.Unlock()
	if !p.passed {
		p.passed = true
		s.passed = append(s.passed, p)
	}
}

// forgotten is the part of a bound that is made free at a time: were it all that is finished, the pool would give most of the memory away, to make it anew at once.
const forgotten = 8

// freed has forget drop a part of what is finished, and then, if there is more and that is not enough, all of it. It tells whether it was enough.
func freed(bound int64, enough func() bool, forget func(most int64) (more bool)) bool {
	more := forget(bound / forgotten)
	switch {
	case enough():
		return true
	case !more:
		return false
	}
	forget(math.MaxInt64)
	return enough()
}

// ForgetFinished drops the oldest of what every group that has a cursor on it finished, in all partitions: a part of bound or, if that is not enough, all. It tells whether it was enough. It is for a
// backend that has nothing but memory.
func (c *Core) ForgetFinished(bound int64, enough func() bool) bool {
	return freed(bound, enough, func(most int64) (more bool) {
		floors := c.Floors()
		for id, floor := range floors {
			if p := c.Catalog.Partition(id); p != nil && floor.Read {
				more = c.forget(p, floor.Offset, most/int64(len(floors))) || more
			}
		}
		return more
	})
}

// forgetFinished drops the oldest of what every group that has a cursor on its partition finished, about so many bytes of the topic, spread over its partitions. It tells whether there is more.
func (c *Core) forgetFinished(s *Share, most int64) (more bool) {
	s.passedMu.Lock()
	ps := s.passed
	s.passed = nil
	for _, p := range ps {
		p.passed = false
	}
	s.passedMu.Unlock()
	holders := c.Catalog.holders()
	for _, p := range ps {
		if floor, _ := p.floor(holders); floor.Read && c.forget(p, floor.Offset, most/int64(len(ps))) {
			s.finished(p)
			more = true
		}
	}
	return more
}

// forget drops batches of p below floor, one at least and then up to so many bytes. It tells whether there are more.
func (c *Core) forget(p *Partition, floor, most int64) (more bool) {
	first, more := p.batchesBelow(floor, most)
	c.Begin(p, first)
	return more
}

// batchesBelow returns the offset behind the first batches that are whole below floor, one at least and then up to so many bytes, and whether there are more of them. What is in front of all
// that is in memory counts for nothing.
func (p *Partition) batchesBelow(floor, most int64) (next int64, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next = min(floor, p.end)
	front := p.tail.find(p.first)
	for i := front; i < p.tail.len(); i++ {
		f := p.tail.at(i)
		switch {
		case f.next() > floor:
			return min(next, f.base), false
		case most <= 0 && i > front:
			return f.base, true
		}
		most -= f.size()
	}
	return next, false
}

// front is the oldest batch of a partition.
type front struct {
	seq  uint64
	part *Partition
}

// fronts is a heap, the oldest batch of all on top. A partition's front may have gone since; what is there in its place is newer. A partition that was empty is
// missing: all that it has since is newer than known.
type fronts struct {
	heap  []front
	known uint64 // everything staged up to it is of a partition in the heap
}

// Len implements heap.Interface.
func (f *fronts) Len() int { return len(f.heap) }

// Less implements heap.Interface.
func (f *fronts) Less(i, j int) bool { return f.heap[i].seq < f.heap[j].seq }

// Swap implements heap.Interface.
func (f *fronts) Swap(i, j int) { f.heap[i], f.heap[j] = f.heap[j], f.heap[i] }

// Push implements heap.Interface; nothing is pushed.
func (f *fronts) Push(x any) { f.heap = append(f.heap, x.(front)) }

// Pop implements heap.Interface.
func (f *fronts) Pop() any {
	last := len(f.heap) - 1
	x := f.heap[last]
	f.heap = f.heap[:last]
	return x
}

// dropOldest drops the oldest batch of a topic in memory. It returns false if it has none. s.mu is held.
func (c *Core) dropOldest(s *Share) bool {
	for rebuilt := false; ; {
		if empty := s.fronts.Len() == 0; empty && rebuilt {
			return false
		} else if empty || !rebuilt && s.fronts.heap[0].seq > s.fronts.known {
			c.gatherFronts(s)
			rebuilt = true
			continue
		}
		top := &s.fronts.heap[0]
		seq, next, ok := top.part.front()
		switch {
		case !ok:
			heap.Pop(&s.fronts)
		case seq != top.seq:
			top.seq = seq
			heap.Fix(&s.fronts, 0)
		default:
			c.Begin(top.part, next)
			return true
		}
	}
}

func (c *Core) gatherFronts(s *Share) {
	s.fronts.known = c.staged.Load()
	s.fronts.heap = s.fronts.heap[:0]
	for _, ps := range *s.parts.Load() {
		for i := range ps {
			p := &ps[i]
			if seq, _, ok := p.front(); ok {
				s.fronts.heap = append(s.fronts.heap, front{seq, p})
			}
		}
	}
	heap.Init(&s.fronts)
}

// front returns the place of the oldest batch in the order of all that was staged in memory, and the offset behind it.
func (p *Partition) front() (seq uint64, next int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tail.len() == 0 {
		return 0, 0, false
	}
	f := p.tail.at(0)
	return uint64(f.lsn), f.next(), true
}
