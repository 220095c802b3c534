package core

import (
	"sync"
	"sync/atomic"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// BlockSize is the usual size of a block where there is memory for many. A frame that is larger has a block of its own.
const BlockSize = 1 << 20

// minBlock is the usual size where memory is short.
const minBlock = 64 << 10

// Block is memory in which frames lie one behind the other. It goes back to its pool when the last user released it: the tails that refer
// to it count as one user, each read in progress as another.
type Block struct {
	buf  []byte // never another; written by one goroutine at a time, before what it wrote is made known under a lock
	used int    // of buf; known to who writes alone
	refs atomic.Int32
	lost atomic.Bool // somebody may read in it for ever
	pool *Pool

	backing *Backing // where the frames are, of a block that is not in memory; nil of all others

	// Unspilled counts frames that only memory and the journal hold.
	Unspilled atomic.Int32
	serial    uint64       // never the same for two uses of the memory
	parts     []*Partition // that have frames here; guarded by the backend's staging lock, or, of a block that a topic keeps, the evicting goroutine's
	cached    bool         // some of them may stay in memory when they are spilled; guarded as parts
}

// Room tells whether n more bytes fit.
func (b *Block) Room(n int) bool { return len(b.buf)-b.used >= n }

// Put copies p to the end of the block and returns where it begins.
func (b *Block) Put(p []byte) (pos int) {
	pos = b.used
	b.used += copy(b.buf[pos:], p)
	return pos
}

// Encode has the records of a batch at the end of the block, n bytes of them, and returns where they begin.
func (b *Block) Encode(records []storage.Record, n int) (pos int) {
	pos = b.used
	dst := b.buf[pos : pos : pos+n]
	for i := range records {
		dst = frame.AppendRecord(dst, &records[i])
	}
	b.used += len(dst)
	return pos
}

// Bytes returns n bytes from pos on.
func (b *Block) Bytes(pos, n int) []byte { return b.buf[pos : pos+n : pos+n] }

// Cap is the memory that the block takes.
func (b *Block) Cap() int { return len(b.buf) }

// Retain adds a user, which must know that there is one already.
func (b *Block) Retain() { b.refs.Add(1) }

// Release takes a user away.
func (b *Block) Release() {
	if b.refs.Add(-1) == 0 {
		b.pool.put(b)
	}
}

// Touch notes that p has frames in the block.
func (b *Block) Touch(p *Partition) {
	if p.touched == b.serial {
		return
	}
	p.touched = b.serial
	b.parts = append(b.parts, p)
	b.cached = b.cached || p.Cached()
}

// Cached tells whether it has frames that may stay in memory when they are spilled.
func (b *Block) Cached() bool { return b.cached }

// Parts returns the partitions that have frames in the block.
func (b *Block) Parts() []*Partition { return b.parts }

// Pool hands out blocks and takes them back, since fresh memory costs far more than used memory. Safe for concurrent use.
type Pool struct {
	mu   sync.Mutex
	free []*Block // guarded by mu
	keep int
	size int // of the usual block
	live atomic.Int64
	uses atomic.Uint64
}

// NewPool returns a pool for a store with so many bytes of memory. It keeps a quarter of them for later.
func NewPool(memoryBytes int64) *Pool {
	size := max(minBlock, min(memoryBytes/64, BlockSize))
	return &Pool{size: int(size), keep: int(min(memoryBytes/4, maxKeep) / size)}
}

// maxKeep bounds the memory that a pool keeps for later.
const maxKeep = 64 << 20

// Usual is the usual size of a block.
func (p *Pool) Usual() int { return p.size }

// Get returns an empty block with room for n bytes and one user.
func (p *Pool) Get(n int) *Block {
	b := p.take(n)
	if b == nil {
		b = &Block{buf: make([]byte, max(n, p.size)), pool: p}
	}
	p.start(b)
	return b
}

// GetSmall returns an empty block of exactly n bytes that is not kept for later.
func (p *Pool) GetSmall(n int) *Block {
	b := &Block{buf: make([]byte, n), pool: p}
	p.start(b)
	return b
}

// firstBlock is the size of the first block of a partition that has blocks of its own.
const firstBlock = 4 << 10

// Grow returns a new block for a partition's next n bytes, behind its last block, nil if it has none: blocks grow with the partition, so that an idle one takes nothing and a busy one few. None is larger than
// most, unless n is.
func (p *Pool) Grow(part *Partition, last *Block, n, most int) *Block {
	size := firstBlock
	if last != nil {
		size = min(2*last.Cap(), p.size)
	}
	if part.Volatile() {
		most = min(most, int(part.share.bound()/8))
	}
	if size = max(n, min(size, most)); size == p.size {
		return p.Get(size)
	}
	return p.GetSmall(size)
}

func (p *Pool) start(b *Block) {
	b.serial = p.uses.Add(1)
	b.refs.Store(1)
	p.live.Add(int64(b.Cap()))
}

func (p *Pool) take(n int) *Block {
	if n > p.size {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.free) - 1
	if last < 0 {
		return nil
	}
	b := p.free[last]
	p.free = p.free[:last]
	return b
}

func (p *Pool) put(b *Block) {
	p.live.Add(-int64(b.Cap()))
	if b.Cap() != p.size || b.lost.Load() {
		return
	}
	b.used, b.cached = 0, false
	clear(b.parts)
	b.parts = b.parts[:0]
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < p.keep {
		p.free = append(p.free, b)
	}
}

// Live is the memory of all blocks in use.
func (p *Pool) Live() int64 { return p.live.Load() }
