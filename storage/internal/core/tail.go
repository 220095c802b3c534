package core

import (
	"slices"
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

// tail is the frames of a partition that are in memory, in offset order: a queue in a slice.
type tail struct {
	frames []tailFrame
	head   int
}

func (t *tail) len() int            { return len(t.frames) - t.head }
func (t *tail) at(i int) *tailFrame { return &t.frames[t.head+i] }
func (t *tail) push(f tailFrame)    { t.frames = append(t.frames, f) }

// reserve makes room for expected frames if there is none for n, and for at least as many again as there are: where many come at once, growing by less costs more than
// taking them.
func (t *tail) reserve(n, expected int) {
	if cap(t.frames)-len(t.frames) < n {
		t.frames = slices.Grow(t.frames, max(n, expected, len(t.frames), 16))
	}
}

// pop takes n frames off the front.
func (t *tail) pop(n int) {
	clear(t.frames[t.head : t.head+n])
	t.head += n
	switch {
	case t.head == len(t.frames):
		t.frames, t.head = t.frames[:0], 0
		if cap(t.frames) > 1024 {
			t.frames = nil
		}
	case t.head > 64 && t.head > len(t.frames)/2:
		kept := copy(t.frames, t.frames[t.head:])
		clear(t.frames[kept:])
		t.frames, t.head = t.frames[:kept], 0
	}
}

// find returns the index of the first frame that has offsets from from on.
func (t *tail) find(from int64) int {
	return sort.Search(t.len(), func(i int) bool { return t.at(i).next() > from })
}

// findTime returns the index of the first frame appended at or after the time.
func (t *tail) findTime(nanos int64) int {
	return sort.Search(t.len(), func(i int) bool { return t.at(i).time >= nanos })
}
