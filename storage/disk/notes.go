package disk

import (
	"github.com/leatmq/leat/storage/internal/frame"
)

// notes are the entries behind the checkpoint as a scan saw them, without the bodies of their batches, so that replay need not read the journal again. They are
// bounded: what comes behind is read again.
type notes struct {
	left  int64 // bytes that may still be taken
	pages []notePage
	end   scanState // behind the last entry that was taken
	full  bool
}

// notePage is frames that follow each other in a slot: of a batch the header, of another frame all.
type notePage struct {
	in   *slot
	from int64
	to   int64 // where the next frame would be
	b    []byte
}

// scanState is where a scan is, so that another can go on there.
type scanState struct {
	at    mark
	last  frame.LSN
	epoch uint32
}

const notePageBytes = 256 << 10

// take notes an entry that e has read. Nothing is noted of an entry whose body is lost in part: replay reads it again.
func (n *notes) take(e *entryReader, applied frame.LSN) {
	size := 0
	for i := range e.frames {
		size += noted(&e.frames[i].h)
	}
	n.full = n.full || int64(size) > n.left
	if n.full {
		return
	}
	for i := range e.frames {
		f := &e.frames[i]
		if f.h.LSN <= applied {
			continue
		}
		k := noted(&f.h)
		p := n.page(e.slot, e.start+int64(f.at), k)
		p.b = append(p.b, e.bytes[f.at:f.at+k]...)
		p.to += int64(f.h.Size())
		n.left -= int64(k)
	}
	n.end = e.scan.state()
}

// noted is how many bytes of a frame are kept.
func noted(h *frame.Header) int {
	if h.Kind == frame.Batch {
		return frame.HeaderSize
	}
	return h.Size()
}

// page returns the page that a frame of so many bytes at a place of a slot goes to.
func (n *notes) page(in *slot, at int64, bytes int) *notePage {
	if last := len(n.pages) - 1; last >= 0 {
		p := &n.pages[last]
		if p.in == in && p.to == at && len(p.b)+bytes <= cap(p.b) {
			return p
		}
	}
	n.pages = append(n.pages, notePage{in: in, from: at, to: at, b: make([]byte, 0, max(bytes, notePageBytes))})
	return &n.pages[len(n.pages)-1]
}

// recall applies what was noted, up to the frame stop.
func (r *replay) recall(n *notes, stop frame.LSN) error {
	for i := range n.pages {
		p := &n.pages[i]
		r.scan.in = p.in
		at := p.from
		for b := p.b; len(b) > 0; {
			h := frame.Checked(b)
			if h.LSN > stop {
				return nil
			}
			k := noted(&h)
			raw := b[:k]
			if h.Kind == frame.Batch {
				raw = nil
			}
			r.scan.place.from = at
			if err := r.frame(&h, raw); err != nil {
				return err
			}
			at += int64(h.Size())
			b = b[k:]
		}
		p.b = nil
	}
	return nil
}
