package segment

import (
	"container/list"
	"slices"
	"sync"

	"github.com/leatmq/leat/storage/internal/frame"
)

// maxBlocks bounds the bytes of expanded blocks that are kept for the next read.
const maxBlocks = 8 << 20

// blocks is the expanded blocks that were used last, of all segments of a Dir: readers that take a block in pieces need not expand it for each. Files' IDs
// are never used again, so what is in it is never wrong.
type blocks struct {
	mu    sync.Mutex
	by    map[blockKey]*list.Element // guarded by mu, as all below
	used  *list.List                 // of *block, the one used last at the back
	bytes int                        // of frames
	asked [32]blockKey               // of blocks that were expanded and not kept, the last ones
	next  int                        // in asked
}

type blockKey struct {
	file uint64
	pos  int64
}

// block is a block's frames, as they were before they were compressed, all sums checked. It is never changed.
type block struct {
	key    blockKey
	header frame.Header
	frames []byte
}

func (c *blocks) init() { c.by, c.used = map[blockKey]*list.Element{}, list.New() }

// get returns nil if the block is not there.
func (c *blocks) get(k blockKey) *block {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.by[k]
	if e == nil {
		return nil
	}
	c.used.MoveToBack(e)
	return e.Value.(*block)
}

// again tells whether the block was expanded lately, and notes that it was. Only what is wanted again is worth a copy: memory that nobody has touched yet costs
// more than the block that was read, and who reads here and there does not come back.
func (c *blocks) again(k blockKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.asked[:], k) {
		return true
	}
	c.asked[c.next] = k
	c.next = (c.next + 1) % len(c.asked)
	return false
}

// put keeps b, unless it is so large that it would be alone.
func (c *blocks) put(b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by[b.key] != nil || len(b.frames) > maxBlocks/2 {
		return
	}
	c.by[b.key] = c.used.PushBack(b)
	c.bytes += len(b.frames)
	for c.bytes > maxBlocks {
		oldest := c.used.Remove(c.used.Front()).(*block)
		delete(c.by, oldest.key)
		c.bytes -= len(oldest.frames)
	}
}

// expand appends to dst the frames of the block with the header h and the given body, which is at the place at. What is wrong with it is damage of
// exactly that block.
func (s *Segment) expand(dst []byte, h *frame.Header, body []byte, at place) ([]byte, error) {
	end := place{h.Next(), at.pos + int64(h.Size())}
	at.offset = h.Base
	if err := h.CheckBody(body, s.dir.id.Seed); err != nil {
		return dst, s.damage(at, end, err.Error())
	}
	codec, ok := s.dir.codecs.ByID(h.Codec)
	if !ok {
		return dst, s.damage(at, end, "a block of an unknown codec") // cannot be: frame.Parse lets none through
	}
	frames, err := frame.ExpandBlock(dst, h, body, codec, s.dir.id.Seed)
	if err != nil {
		return dst, s.damage(at, end, "a block that cannot be expanded: "+err.Error())
	}
	return frames, nil
}

// expandAt returns the frames of the block f, which a walker came to.
func (s *Segment) expandAt(h *handle, f *walked, m *Meta) ([]byte, error) {
	key := blockKey{m.File, f.pos}
	if b := s.dir.blocks.get(key); b != nil {
		return b.frames, nil
	}
	body, err := readAt(h.file, f.pos+frame.HeaderSize, int(f.BodyLen))
	if err != nil {
		return nil, err
	}
	if len(body) < int(f.BodyLen) {
		return nil, s.ended(place{f.Base, f.pos}, m, f.pos+frame.HeaderSize+int64(len(body)))
	}
	frames, err := s.expand(nil, &f.Header, body, place{f.Base, f.pos})
	if err != nil {
		return nil, err
	}
	s.dir.blocks.put(&block{key: key, header: f.Header, frames: frames})
	return frames, nil
}

func (r *reader) blockKey() blockKey { return blockKey{r.meta.File, r.pos} }

// cached returns the block at r.place if it was expanded lately.
func (r *reader) cached() *block {
	if r.meta.Codec == 0 {
		return nil
	}
	return r.segment.dir.blocks.get(r.blockKey())
}

// open expands the block at r.place, whose header is h, behind what was read, and returns its frames from the first that reaches beyond from on, as many as
// fit. A block is kept if it was expanded lately, too, and is not taken up to its end.
func (r *reader) open(h *frame.Header, from int64) ([]byte, error) {
	p, err := r.bytes(h.Size(), 0)
	if err != nil {
		return nil, err
	}
	start := len(r.buf)
	r.buf, err = r.segment.expand(r.buf, h, p[frame.HeaderSize:][:h.BodyLen], r.place)
	if err != nil {
		return nil, err
	}
	frames := r.buf[start:]
	b := block{header: *h, frames: frames}
	first, end := b.find(from, r.max)
	if end < len(frames) && r.segment.dir.blocks.again(r.blockKey()) {
		r.segment.dir.blocks.put(&block{key: r.blockKey(), header: *h, frames: append([]byte(nil), frames...)})
	}
	r.passPart(&b, end)
	return frames[first:end:end], nil
}

// part is open for a block that is there already.
func (r *reader) part(b *block, from int64) []byte {
	first, end := b.find(from, r.max)
	r.passPart(b, end)
	r.buf = append(r.buf[:0], b.frames[first:end]...)
	return r.buf
}

// passPart moves behind a block if all of it was taken, and else says that a part was.
func (r *reader) passPart(b *block, end int) {
	if end == len(b.frames) {
		r.pass(&b.header)
		return
	}
	r.hint = hint{place: place{b.header.Base, r.pos}, size: b.header.Size(), inside: b.header.Next()}
}

// find returns where the frames are that reach beyond from: the first one, and behind it those that fit maxBytes with it.
func (b *block) find(from int64, maxBytes int) (first, end int) {
	for {
		next, size := frame.Skim(b.frames[first:])
		if next > from || first+size == len(b.frames) {
			end = first + size
			break
		}
		first += size
	}
	for end < len(b.frames) {
		_, size := frame.Skim(b.frames[end:])
		if end+size-first > maxBytes {
			break
		}
		end += size
	}
	return first, end
}
