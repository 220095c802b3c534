package core

import (
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// readTail copies frames out of memory, or reads them from where they are instead. It is called with p locked, and unlocks it.
func (c *Core) readTail(dst []storage.Record, into *[]byte, p *Partition, from int64, maxBytes int) ([]storage.Record, int64, error) {
	refs := c.takeRefs()
	defer c.giveRefs(refs)
	var left int
	*refs, left = p.gather(*refs, from, maxBytes)
	next := from
	if len(*refs) == 0 { // a gap up to the end
		next = p.end
	}
	p.mu.Unlock()
	defer releaseAll(*refs)
	k := copier{into: into}
	w := frameWindow{ahead: min(left+len(*refs)*2*frame.HeaderSize, maxScratch)}
	for rest := *refs; len(rest) > 0; {
		n, bodies, err := w.run(rest, p.ID)
		switch {
		case err != nil && len(rest) < len(*refs): // what is in front of it is returned without it
			return dst, next, nil
		case err != nil && !p.has(&rest[0]):
			return dst, from, errMoved
		case err != nil:
			return dst, from, err
		}
		bodies = k.copy(bodies, left)
		left -= len(bodies)
		for i := range rest[:n] {
			h, size := rest[i].header(), rest[i].bodyLen
			if dst, err = frame.DecodeRecords(dst, &h, bodies[:size:size], from); err != nil {
				return dst, from, undecodable("journal", &h, err)
			}
			bodies = bodies[size:]
		}
		next = rest[n-1].next()
		rest = rest[n:]
	}
	return dst, next, nil
}

// gather appends the frames to be read, and retains their blocks: each once for all frames of it that follow each other. bytes is how long their bodies are. p is locked.
func (p *Partition) gather(refs []tailFrame, from int64, maxBytes int) (_ []tailFrame, bytes int) {
	for i := p.tail.find(from); i < p.tail.len(); i++ {
		f := p.tail.at(i)
		if f.base >= p.end || bytes > 0 && bytes+int(f.bodyLen) > maxBytes {
			break
		}
		bytes += int(f.bodyLen)
		if n := len(refs); n == 0 || refs[n-1].block != f.block {
			f.block.Retain()
		}
		refs = append(refs, *f)
	}
	return refs, bytes
}

// run returns the bodies of the first frames of fs as they lie one behind the other: of as many as do so in memory, or of one that is in a file, which is valid until the next call.
func (w *frameWindow) run(fs []tailFrame, p storage.PartitionID) (n int, bodies []byte, err error) {
	first := &fs[0]
	if first.backed() {
		whole, err := w.frame(first, p)
		if err != nil {
			return 0, nil, err
		}
		return 1, whole[frame.HeaderSize:][:first.bodyLen], nil
	}
	end := first.body
	for n < len(fs) && fs[n].block == first.block && fs[n].body == end {
		end += fs[n].bodyLen
		n++
	}
	return n, first.block.Bytes(int(first.body), int(end-first.body)), nil
}

// copier copies bodies into memory of who reads.
type copier struct {
	into *[]byte // replaced if it is too small; nil: memory of the records' own
	buf  []byte  // with room for all that is left
}

// ownRun is from how many bytes on a copy has memory to itself: that is not cleared before it is written, and large copies are few.
const ownRun = 32 << 10

// copy returns a copy of bodies, behind which there are as many more as make up left.
func (k *copier) copy(bodies []byte, left int) []byte {
	if k.into == nil && (len(bodies) == left || len(bodies) >= ownRun) {
		return append([]byte(nil), bodies...)
	}
	if k.buf == nil {
		k.buf = room(k.into, left)
	}
	at := len(k.buf)
	k.buf = append(k.buf, bodies...)
	if k.into != nil {
		*k.into = k.buf
	}
	return k.buf[at:]
}

// has tells whether the frame is in the tail where it was.
func (p *Partition) has(f *tailFrame) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.tail.find(f.base)
	return i < p.tail.len() && p.tail.at(i).lsn == f.lsn && p.tail.at(i).block == f.block
}

// room returns memory for n bytes: that of into, which is replaced if it is too small, or without it new memory.
func room(into *[]byte, n int) []byte {
	if into == nil {
		return make([]byte, 0, n)
	}
	if cap(*into) < n {
		*into = make([]byte, 0, n)
	}
	return (*into)[:0]
}

// releaseAll gives up what gather retained.
func releaseAll(refs []tailFrame) {
	for i := range refs {
		if i == 0 || refs[i-1].block != refs[i].block {
			refs[i].block.Release()
		}
	}
}

func (c *Core) takeRefs() *[]tailFrame {
	if r, ok := c.refs.Get().(*[]tailFrame); ok {
		return r
	}
	return new([]tailFrame)
}

func (c *Core) giveRefs(r *[]tailFrame) {
	clear(*r)
	*r = (*r)[:0]
	c.refs.Put(r)
}
