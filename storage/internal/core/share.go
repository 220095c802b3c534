package core

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leatmq/leat/storage/internal/frame"
)

// Share is what the partitions of a topic have in memory together. The topic keeps the newest of it in blocks of its own, when the
// block that it was staged in is given back.
type Share struct {
	parts atomic.Pointer[[][]Partition] // of the topic, in their order: what it was made with, and then what it was given each time. Replaced under Catalog.mu
	bytes atomic.Int64                  // of the frames in their tails: who pushes one adds to it, each pop takes from it
	kept  []*Block                      // oldest first, of one evicting goroutine at a time. Invariant: tails have their frames in this order, in front of all others

	mu     sync.Mutex // of a topic in memory: held while room is made, in front of the partitions
	fronts fronts     // guarded by mu

	passedMu sync.Mutex
	passed   []*Partition // guarded by passedMu: those on which cursors moved since that was last looked at
}

// add notes partitions that the topic has from now on.
func (s *Share) add(made []Partition) {
	var all [][]Partition
	if p := s.parts.Load(); p != nil {
		all = slices.Clone(*p)
	}
	all = append(all, made)
	s.parts.Store(&all)
}

// Bytes is the size of the frames that the topic has in memory, spilled or not.
func (s *Share) Bytes() int64 { return s.bytes.Load() }

// Keeps tells whether the topic has blocks of its own. Of the evicting goroutine, as all below.
func (s *Share) Keeps() bool { return len(s.kept) > 0 }

// Owner is a partition with frames in the blocks that the topic keeps.
func (s *Share) Owner() *Partition { return s.kept[0].parts[0] }

// Shrink drops the oldest of the topic's own blocks until it has no more than limit bytes in memory, and tells whether that is so then.
// If not, it has no blocks of its own.
func (s *Share) Shrink(limit int64) bool {
	for s.bytes.Load() > limit {
		if len(s.kept) == 0 {
			return false
		}
		b := s.kept[0]
		s.kept[0] = nil
		s.kept = s.kept[1:]
		for _, p := range b.parts {
			p.Evict(b)
		}
		b.Release()
	}
	return true
}

// leastKept is the size of the smallest block that a topic keeps.
const leastKept = 512

// room returns the topic's newest own block if it has room for n more bytes, else a new one: they grow with the topic, but a few always make up
// its limit.
func (s *Share) room(pool *Pool, n int, limit int64) *Block {
	size := leastKept
	if last := len(s.kept) - 1; last >= 0 {
		if s.kept[last].Room(n) {
			return s.kept[last]
		}
		size = 2 * s.kept[last].Cap()
	}
	size = max(n, min(size, pool.Usual(), int(limit/4)))
	var b *Block
	if size == pool.Usual() {
		b = pool.Get(size)
	} else {
		b = pool.GetSmall(size)
	}
	s.kept = append(s.kept, b)
	return b
}

// Keep moves what p has in from, which is spilled, to blocks that its topic keeps: to copy it once is what it costs to let the block go, and
// those of other topics that fill it.
func (s *Share) Keep(p *Partition, from *Block, pool *Pool, limit int64) {
	var to *Block
	for next := p.move(from, to); next > 0; next = p.move(from, to) {
		to = s.room(pool, next, limit)
	}
}

// moveChunk bounds what is copied at once under the lock of a partition.
const moveChunk = 256 << 10

// move copies the bodies of p's frames in from, oldest first, to the end of to, as many as fit, and returns the length of the next one, 0 if none is
// left. All of them are spilled, and those in front of them are in blocks that the topic keeps.
func (p *Partition) move(from, to *Block) (next int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	moved := 0
	for ; p.kept < p.spilled; p.kept++ {
		f := p.tail.at(p.kept)
		if f.block != from {
			break
		}
		if to == nil || !to.Room(int(f.bodyLen)) || moved > moveChunk {
			return max(1, int(f.bodyLen))
		}
		f.body = uint32(to.Put(f.bytes()))
		f.block = to
		moved += int(f.bodyLen)
		if n := len(to.parts); n == 0 || to.parts[n-1] != p {
			to.parts = append(to.parts, p)
		}
	}
	return 0
}

// pop drops n frames from the front of the tail. p is locked.
func (p *Partition) pop(n int) {
	var bytes int64
	for i := range n {
		bytes += p.tail.at(i).size()
	}
	p.tail.pop(n)
	p.spilled = max(0, p.spilled-n)
	p.kept = max(0, p.kept-n)
	p.share.bytes.Add(-bytes)
}

// size is what a frame counts for: header and padding stand for what it costs to know of it. One that is in a file takes no memory.
func (f *tailFrame) size() int64 {
	if f.backed() {
		return 0
	}
	return int64(frame.Size(int(f.bodyLen)))
}
