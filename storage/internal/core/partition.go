package core

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// Older is where the records of a partition are that are in memory no more. Its methods may be called concurrently.
type Older interface {
	// Next is the offset behind the last record here.
	Next() int64
	// ReadInto returns whole, verified frames, which are part of buf: see segment.Segment.ReadInto.
	ReadInto(buf *[]byte, from int64, maxBytes int) ([]byte, error)
	OffsetAt(nanos int64) (offset int64, ok bool, err error)
	// Ordinal counts the records of the partition below offset, those removed since included. It does not read the disk.
	Ordinal(offset int64) int64
}

// Partition is a log of records.
type Partition struct {
	ID       storage.PartitionID
	share    *Share                           // of its topic
	strategy atomic.Pointer[storage.Strategy] // its topic's; replaced, never changed
	leaving  atomic.Bool                      // its topic's deletion is staged, so nothing of it is staged any more; set under Core.gate
	dropped  atomic.Bool                      // its topic is deleted: not before this has committed, as its records may be wanted again until then

	// Who appends and who reads does so at the same time: what one of them changes all the time is not to be in a cache line of the other.
	_         [64]byte
	appending sync.Mutex // of one whose entries are committed in place: held, in front of mu, while one is; mu only to make it known

	_         [64]byte
	mu        sync.Mutex
	tail      tail  // guarded by mu, as all below
	first     int64 // no record below it is stored
	next      int64 // above every staged offset
	count     int64 // records ever staged
	end       int64 // above every committed offset. Invariant: end <= next
	records   int64 // records ever committed
	spilled   int   // frames at the front of tail that Older has, too
	kept      int   // of these, in blocks that the topic keeps. Invariant: kept <= spilled
	time      int64 // of the newest staged frame
	older     Older
	watches   []*storage.Watcher // replaced, never changed
	compacted compaction
	cursors   map[storage.GroupID]placed // of a volatile partition

	passed  bool   // it is on its share's list; guarded by Share.passedMu
	touched uint64 // serial of the newest block with frames of this partition; guarded by the backend's staging lock
	// Pending is the backend's, guarded by its staging lock: the bytes of frames that are staged and not spilled.
	Pending int64
	Listed  bool // the backend's, too: it is on the list of those with pending frames
	// Open is the backend's, guarded by its staging lock: which group commits next with records of this partition, and where in it.
	Open struct {
		Group uint64
		Index int
	}
}

// Strategy is how the partition's topic is stored now. It is not to be changed.
func (p *Partition) Strategy() *storage.Strategy { return p.strategy.Load() }

// Dropped tells whether the partition's topic was deleted.
func (p *Partition) Dropped() bool { return p.dropped.Load() }

// Restore sets what a partition was when it was last known. Before the store serves.
func (p *Partition) Restore(first, next, records, nanos int64, older Older) {
	p.first, p.next, p.end = first, next, next
	p.count, p.records = records, records
	p.time = nanos
	p.older = older
}

// Raise moves the next offset up, leaving a gap. Before the store serves.
func (p *Partition) Raise(next int64) {
	p.next = max(p.next, next)
	p.end = max(p.end, next)
}

// SetOlder gives the partition what it lacked so far.
func (p *Partition) SetOlder(o Older) {
	p.mu.Lock()
	p.older = o
	p.mu.Unlock()
}

// Marks is how far a partition has come.
type Marks struct{ First, Next, Records, Time int64 }

// Marks tells how far the committed records go. Time is the newest append time.
func (p *Partition) Marks() Marks {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Marks{First: p.first, Next: p.end, Records: p.records, Time: p.time}
}

// Share is what the partition's topic has in memory.
func (p *Partition) Share() *Share { return p.share }

func (p *Partition) bounds() storage.Bounds {
	p.mu.Lock()
	defer p.mu.Unlock()
	return storage.Bounds{First: p.first, Next: p.end, Records: p.records}
}

// push adds a staged frame to the tail; its size is counted already. The partition is locked.
func (p *Partition) push(h *frame.Header, b *Block, body int) {
	p.add(h, b, body)
	b.Unspilled.Add(1)
}

// add is push of a frame that the block does not count.
func (p *Partition) add(h *frame.Header, b *Block, body int) {
	p.tail.push(tailFrame{
		base: h.Base, ordinal: p.count, time: h.Time, lsn: h.LSN,
		block: b, body: uint32(body), bodyLen: h.BodyLen, span: h.Span, count: h.Count,
	})
	p.next = h.Next()
	p.count += int64(h.Count)
	p.time = h.Time
}

// ErrOrder says that a journal's frame does not follow what its partition has.
var ErrOrder = errors.New("storage: offsets do not follow each other")

// Recover adds frames that are committed and lie one behind the other in b from at on. It returns how many it has added: all, unless one does not follow. Before
// the store serves.
func (p *Partition) Recover(hs []frame.Header, b *Block, at int) (n int, err error) {
	for n < len(hs) {
		h := &hs[n]
		if h.Base < p.next {
			err = ErrOrder
			break
		}
		if b.backing == nil {
			p.share.bytes.Add(int64(h.Size()))
		}
		p.add(h, b, at+frame.HeaderSize)
		at += h.Size()
		n++
	}
	b.Unspilled.Add(int32(n))
	p.raise(p.next, p.count)
	return n, err
}

// Lose adds offsets whose records are lost behind what is committed. Before the store serves.
func (p *Partition) Lose(first, next, records, nanos int64) error {
	if first < p.next {
		return ErrOrder
	}
	p.next, p.count, p.time = next, p.count+records, max(p.time, nanos)
	p.raise(p.next, p.count)
	return nil
}

// Forget drops what Older has, too, from memory. Its blocks are not released: see Evict. Before the store serves.
func (p *Partition) Forget() {
	p.tail.pop(p.spilled)
	p.spilled = 0
}

// raise makes everything below next visible and returns whom to tell. The partition is locked.
func (p *Partition) raise(next, records int64) []*storage.Watcher {
	p.end = max(p.end, next)
	p.records = max(p.records, records)
	return p.watches
}

func (p *Partition) watch(w *storage.Watcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watches = append(slices.Clip(p.watches), w)
}

func (p *Partition) unwatch(w *storage.Watcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.watches, w); i >= 0 {
		p.watches = slices.Concat(p.watches[:i], p.watches[i+1:])
	}
}

// Spillable appends to dst the whole frames that are committed, not spilled, and have an LSN up to limit, as long as they
// fit maxBytes (one always does), and returns how many they are. They stay valid until Spilled. Of one goroutine at a time, which also evicts: so
// nothing moves while they are copied.
func (p *Partition) Spillable(dst []byte, limit frame.LSN, maxBytes int) ([]byte, []frame.Header, error) {
	frames, bytes := p.spillable(limit, maxBytes-len(dst))
	if len(frames) == 0 {
		return dst, nil, nil
	}
	hs := make([]frame.Header, 0, len(frames))
	w := frameWindow{ahead: min(maxBytes, 2*bytes)} // others' may lie between them
	for i := range frames {
		f := &frames[i]
		whole, err := f.read(&w, p.ID)
		if err != nil {
			return dst, hs, err
		}
		dst = append(dst, whole...)
		hs = append(hs, f.header())
	}
	return dst, hs, nil
}

// read returns the whole frame, from memory or through w.
func (f *tailFrame) read(w *frameWindow, p storage.PartitionID) ([]byte, error) {
	if f.backed() {
		return w.frame(f, p)
	}
	return f.whole(), nil
}

// spillable returns the first frames that may be spilled, of no more than most bytes together if they are more than one, and how many bytes they are.
func (p *Partition) spillable(limit frame.LSN, most int) (frames []tailFrame, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.spilled
	for ; n < p.tail.len(); n++ {
		f := p.tail.at(n)
		size := frame.Size(int(f.bodyLen))
		if f.base >= p.end || f.lsn > limit || n > p.spilled && bytes+size > most {
			break
		}
		bytes += size
	}
	return p.tail.copied(p.spilled, n), bytes
}

// Pins tells whether the oldest frame that is not spilled is in b.
func (p *Partition) Pins(b *Block) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spilled < p.tail.len() && p.tail.at(p.spilled).block == b
}

// Spilled says that Older has n frames more, and returns their bytes, and how many of these were in memory. Those of a topic that keeps nothing in
// memory are dropped, and those that never were in memory.
func (p *Partition) Spilled(n int) (bytes, memory int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	backed := 0
	for i := p.spilled; i < p.spilled+n; i++ {
		f := p.tail.at(i)
		f.block.Unspilled.Add(-1)
		bytes += int64(frame.Size(int(f.bodyLen)))
		memory += f.size()
		if f.backed() { // nothing is in front of them: the store did not serve yet when they came
			backed = i + 1
		}
	}
	p.spilled += n
	if !p.Cached() {
		backed = p.spilled
	}
	p.pop(backed)
	return bytes, memory
}

// Cached tells whether what is spilled may stay in memory.
func (p *Partition) Cached() bool {
	return p.Strategy().Level == storage.MemoryAndDisk && !p.dropped.Load()
}

// Evict drops the frames in b, which Older has, from memory.
func (p *Partition) Evict(b *Block) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < p.spilled && p.tail.at(n).block == b {
		n++
	}
	p.pop(n)
}

// Release gives back the memory of what was removed, for a partition that has nothing older: of all if it was dropped.
func (p *Partition) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.first
	if p.dropped.Load() {
		first = p.end
	}
	n := 0
	for n < p.tail.len() && p.tail.at(n).next() <= min(first, p.end) {
		f := p.tail.at(n)
		n++
		if n == p.tail.len() || p.tail.at(n).block != f.block {
			f.block.Release()
		}
	}
	p.pop(n)
}

// Begin removes what lies below first from view. It returns false if that was so already. What memory and Older have of it is the backend's to
// take away: see Backend.Trimmed.
func (p *Partition) Begin(first int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if first <= p.first {
		return false
	}
	p.first = first
	return true
}

// Expired returns how many frames at the front of those that are not spilled, with an LSN up to limit, need not be, since all their records
// are removed; and the marks behind them.
func (p *Partition) Expired(limit frame.LSN) (n int, behind Marks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := p.dropped.Load()
	behind.First = p.first
	for i := p.spilled; i < p.tail.len(); i++ {
		f := p.tail.at(i)
		if f.base >= p.end || f.lsn > limit || !gone && f.next() > p.first {
			break
		}
		n++
		behind.Next, behind.Records, behind.Time = f.next(), f.ordinal+int64(f.count), f.time
	}
	return n, behind
}

// last returns the block of the newest frame in memory, nil if there is none. The partition is locked.
func (p *Partition) last() *Block {
	if n := p.tail.len(); n > 0 {
		return p.tail.at(n - 1).block
	}
	return nil
}
