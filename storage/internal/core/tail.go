package core

import (
	"sort"

	"github.com/leatmq/leat/storage/internal/frame"
)

// tailFrame is a frame in memory.
type tailFrame struct {
	base    int64
	ordinal int64 // records of the partition before it
	time    int64
	lsn     frame.LSN
	block   *Block
	body    uint32 // where its body begins in the block; the header is in front of it, where there is one
	bodyLen uint32
	span    uint32
	count   uint32
}

func (f *tailFrame) next() int64 { return f.base + int64(f.span) }

func (f *tailFrame) header() frame.Header {
	return frame.Header{Kind: frame.Batch, BodyLen: f.bodyLen, LSN: f.lsn, Base: f.base, Span: f.span, Count: f.count, Time: f.time}
}

func (f *tailFrame) bytes() []byte { return f.block.Bytes(int(f.body), int(f.bodyLen)) }

// whole returns the frame with header and padding.
func (f *tailFrame) whole() []byte {
	return f.block.Bytes(int(f.body)-frame.HeaderSize, frame.Size(int(f.bodyLen)))
}

// tail is the frames of a partition that are in memory, in offset order: a queue of chunks, so that what is in a full one never moves, however many come and go.
type tail struct {
	chunks [][]tailFrame // all full but the newest
	head   int           // how many frames of the oldest are gone
	n      int
}

const (
	chunkFrames = 256
	fewFrames   = 8  // the room that the first chunk begins with, and doubles: most partitions never have more than a few
	keptFrames  = 64 // the room that a chunk may have that stays when all frames are gone
)

func (t *tail) len() int { return t.n }

// at returns the frame i behind the oldest, valid while the partition is locked.
func (t *tail) at(i int) *tailFrame {
	i += t.head
	return &t.chunks[i/chunkFrames][i%chunkFrames]
}

func (t *tail) push(f tailFrame) {
	c := len(t.chunks) - 1
	if c < 0 || len(t.chunks[c]) == cap(t.chunks[c]) {
		c = t.grow()
	}
	t.chunks[c] = append(t.chunks[c], f)
	t.n++
}

// grow makes room for a frame, and returns the chunk that has it.
func (t *tail) grow() int {
	c := len(t.chunks) - 1
	switch {
	case c < 0:
		t.chunks = append(t.chunks, make([]tailFrame, 0, fewFrames))
	case cap(t.chunks[c]) < chunkFrames && t.n <= cap(t.chunks[c])/2: // half of it is gone
		left := t.chunks[c][:copy(t.chunks[c], t.chunks[c][t.head:])]
		clear(t.chunks[c][len(left):])
		t.chunks[c], t.head = left, 0
		return c
	case cap(t.chunks[c]) < chunkFrames:
		t.chunks[c] = append(make([]tailFrame, 0, 2*cap(t.chunks[c])), t.chunks[c]...)
		return c
	default:
		t.chunks = append(t.chunks, make([]tailFrame, 0, chunkFrames))
	}
	return c + 1
}

// pop takes n frames off the front.
func (t *tail) pop(n int) {
	t.n -= n
	for n > 0 {
		c := t.chunks[0]
		k := min(n, len(c)-t.head)
		clear(c[t.head : t.head+k])
		t.head += k
		n -= k
		if t.head == chunkFrames {
			t.chunks[0] = nil
			t.chunks = t.chunks[1:]
			t.head = 0
		}
	}
	if t.n == 0 && len(t.chunks) > 0 {
		t.reset()
	}
}

// reset begins anew when no frame is left: in the chunk that there is, if it is small.
func (t *tail) reset() {
	t.head = 0
	if c := t.chunks[0]; cap(c) <= keptFrames {
		t.chunks[0] = c[:0]
		return
	}
	t.chunks = nil
}

// copied returns frames from to to as they are now.
func (t *tail) copied(from, to int) []tailFrame {
	fs := make([]tailFrame, 0, to-from)
	for i := from; i < to; i++ {
		fs = append(fs, *t.at(i))
	}
	return fs
}

// find returns the index of the first frame that has offsets from from on.
func (t *tail) find(from int64) int {
	return sort.Search(t.len(), func(i int) bool { return t.at(i).next() > from })
}

// findTime returns the index of the first frame appended at or after the time.
func (t *tail) findTime(nanos int64) int {
	return sort.Search(t.len(), func(i int) bool { return t.at(i).time >= nanos })
}
