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

// notePage is frames that follow each other in a slot.
type notePage struct {
	in     *slot
	from   int64
	to     int64     // where the next frame would be
	first  frame.LSN // of the first; the others count up from there
	frames []note
	others []byte // the frames that are neither batches nor pads, whole
}

// note is a frame: of a batch what its header says, of another where it is. Memory that was not touched before is most of what a note costs, so it is small.
type note struct {
	base, time  int64 // base: of a frame that is no batch, where it begins in others, or padBase
	body        uint32
	partition   uint32
	span, count uint32 // count: 0 of a frame that is no batch
}

const noteBytes = 32

// padBase is the base of a pad's note: nothing of it is kept, since it means nothing, and where each group is synced there is one for each.
const padBase = -1

// header is what a batch's header says, as far as a replay wants to know.
func (n *note) header(l frame.LSN) frame.Header {
	return frame.Header{
		Kind: frame.Batch, LSN: l, BodyLen: n.body, Base: n.base, Partition: n.partition, Span: n.span, Count: n.count, Time: n.time,
	}
}

// scanState is where a scan is, so that another can go on there.
type scanState struct {
	at    mark
	last  frame.LSN
	epoch uint32
}

const notePageFrames = 8 << 10

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
		p := n.page(e.slot, e.start+int64(f.at), f.h.LSN)
		p.add(&f.h, e.bytes[f.at:f.at+f.h.Size()])
		n.left -= int64(noted(&f.h))
	}
	n.end = e.scan.state()
}

// noted is how many bytes the note of a frame takes.
func noted(h *frame.Header) int {
	if h.Kind == frame.Batch || h.Kind == frame.Pad {
		return noteBytes
	}
	return noteBytes + h.Size()
}

// page returns the page that a frame at a place of a slot goes to.
func (n *notes) page(in *slot, at int64, l frame.LSN) *notePage {
	if last := len(n.pages) - 1; last >= 0 {
		p := &n.pages[last]
		if p.in == in && p.to == at && p.first+frame.LSN(len(p.frames)) == l && len(p.frames) < cap(p.frames) {
			return p
		}
	}
	n.pages = append(n.pages, notePage{in: in, from: at, to: at, first: l, frames: make([]note, 0, notePageFrames)})
	return &n.pages[len(n.pages)-1]
}

func (p *notePage) add(h *frame.Header, raw []byte) {
	switch h.Kind {
	case frame.Batch:
		p.frames = append(p.frames, note{base: h.Base, time: h.Time, body: h.BodyLen, partition: h.Partition, span: h.Span, count: h.Count})
	case frame.Pad:
		p.frames = append(p.frames, note{base: padBase, body: h.BodyLen})
	default:
		p.frames = append(p.frames, note{base: int64(len(p.others)), body: h.BodyLen})
		p.others = append(p.others, raw...)
	}
	p.to += int64(len(raw))
}

// recall applies what was noted, up to the frame stop.
func (r *replay) recall(n *notes, stop frame.LSN) error {
	for i := range n.pages {
		p := &n.pages[i]
		if p.first > stop {
			return nil
		}
		r.scan.in = p.in
		if err := r.page(p, p.frames[:min(uint64(len(p.frames)), uint64(stop-p.first)+1)]); err != nil {
			return err
		}
		p.frames, p.others = nil, nil
	}
	return nil
}

// page applies the first frames of a page.
func (r *replay) page(p *notePage, frames []note) error {
	at, l := p.from, p.first
	for len(frames) > 0 {
		var err error
		switch r.hs = run(r.hs[:0], frames, l); {
		case len(r.hs) > 0:
			err = r.noted(r.hs, at)
		case frames[0].base == padBase:
			r.st.core.State.SetApplied(l)
		default:
			err = r.other(p.others[frames[0].base:], at)
		}
		if err != nil {
			return err
		}
		n := max(len(r.hs), 1)
		for i := range frames[:n] {
			at += int64(frame.Size(int(frames[i].body)))
		}
		l += frame.LSN(n)
		frames = frames[n:]
	}
	return nil
}

// runMost is how many batches are applied together: what is done for each of them alone, as locking, costs as much as the rest.
const runMost = 64

// run appends the headers of the batches of one partition at the front of notes that begin with the frame l to hs.
func run(hs []frame.Header, notes []note, l frame.LSN) []frame.Header {
	for i := range notes[:min(len(notes), runMost)] {
		n := &notes[i]
		if n.count == 0 || n.partition != notes[0].partition {
			break
		}
		hs = append(hs, n.header(l+frame.LSN(i)))
	}
	return hs
}

// other applies the frame at the front of raw, which is no batch and begins at a byte.
func (r *replay) other(raw []byte, at int64) error {
	h := frame.Checked(raw)
	r.scan.place.from = at
	return r.frame(&h, raw[:h.Size()])
}

// noted applies batches of one partition that lie one behind the other from a byte on.
func (r *replay) noted(hs []frame.Header, from int64) error {
	last := &hs[len(hs)-1]
	r.strict = r.strict || last.LSN > r.certain && r.guarded(last)
	if n, err := r.index(hs, from); err != nil {
		return replaying(&hs[n], err)
	}
	r.st.core.State.SetApplied(last.LSN)
	return nil
}
