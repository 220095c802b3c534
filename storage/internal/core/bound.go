package core

import (
	"container/heap"
	"runtime"

	"github.com/leatmq/leat/storage"
)

// claim takes room for the records of x, which are in memory only, within the bounds of their topics. All of it or, with an error, none.
func (c *Core) claim(x *Entry) error {
	for i := range x.Frames {
		f := &x.Frames[i]
		if err := c.claimFor(f.Part, int64(f.Header.Size())); err != nil {
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

func (c *Core) claimFor(p *Partition, n int64) error {
	s := p.share
	if s.claim(n) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.forgetFinished(s)
	for tries := 0; !s.claim(n); {
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
	if n := s.parts[0].Strategy().Memory.Bytes; n > 0 {
		return n
	}
	return storage.DefaultMemoryBytes
}

// claim takes n bytes if they are within the bound.
func (s *Share) claim(n int64) bool {
	most := s.bound()
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

// forgetFinished drops what every group that has a cursor on its partition finished.
func (c *Core) forgetFinished(s *Share) {
	s.passedMu.Lock()
	ps := s.passed
	s.passed = nil
	for _, p := range ps {
		p.passed = false
	}
	s.passedMu.Unlock()
	for _, p := range ps {
		if floor, ok := p.floor(); ok {
			c.Begin(p, p.batchAt(floor))
		}
	}
}

// ForgetFinished drops what every group that has a cursor on it finished, in all partitions: for a backend that has nothing but memory.
func (c *Core) ForgetFinished() {
	for id, floor := range c.Floors() {
		if p := c.Catalog.Partition(id); p != nil {
			c.Begin(p, p.batchAt(floor))
		}
	}
}

// batchAt returns the first offset of the batch that has offset, so that batches go whole.
func (p *Partition) batchAt(offset int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := p.tail.find(offset); i < p.tail.len() {
		return min(offset, p.tail.at(i).base)
	}
	return min(offset, p.end)
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
	for i := range s.parts {
		p := &s.parts[i]
		if seq, _, ok := p.front(); ok {
			s.fronts.heap = append(s.fronts.heap, front{seq, p})
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
