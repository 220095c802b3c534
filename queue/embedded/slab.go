package embedded

import (
	"errors"
	"slices"

	"github.com/leatmq/leat/storage"
)

// The next read goes behind the last if at least slabRoom is left: more than it takes but where one message is larger. So what a message keeps from being used again is filled to half at least.
const (
	slabBytes = 4 * readBytes
	slabRoom  = 2 * readBytes
)

// slab is memory in which messages lie for handlers that borrow (queue.Group.Borrowed): the store's own, where it is in memory only, or what reads are written to one behind the other, and that is used again when no
// message is left in it. All of it is guarded by group.mu, but for what a read writes.
type slab struct {
	buf     []byte       // what is used of it
	loan    storage.Loan // of memory of the store: then there is no buf
	held    int          // messages whose bytes are in it
	reading bool         // a read is under way into it
	lost    bool         // who had one of them may use its bytes for ever
	refused bool         // the partition is not in memory only
}

// slab returns memory to read into for m, nil for memory of the messages' own: what is compressed needs more than is taken of it, so that it would fill a slab with what nobody reads. The
// read is to end with shelve.
func (p *partition) slab(m *member) (s *slab) {
	g := p.group
	switch last := len(g.slabs) - 1; {
	case m == nil || !m.Group.Borrowed:
		return nil
	case !p.copied:
		s = g.engine.empties.Get().(*slab)
	case p.topic.manner.Load().strategy.Level == storage.Compressed:
		return nil
	case last < 0:
		s = g.engine.slabs.Get().(*slab)
	default:
		s, g.slabs[last] = g.slabs[last], nil
		g.slabs = g.slabs[:last]
	}
	s.reading = true
	return s
}

// readInto reads into a slab, or, if that is nil, into memory of the records' own. It returns the slab in which they are.
func (p *partition) readInto(dst []storage.Record, s *slab, from int64) (rs []storage.Record, in *slab, next int64, err error) {
	store := p.group.engine.store
	if s == nil {
		rs, next, err = store.Read(dst, p.id, from, readBytes)
		return rs, nil, next, err
	}
	if s.buf != nil {
		buf := s.room()
		rs, next, err = store.ReadInto(dst, &buf, p.id, from, readBytes)
		return rs, s.took(buf), next, err
	}
	if s.loan != nil { // of a read whose records were removed meanwhile
		s.loan.Return()
		s.loan = nil
	}
	err = errors.ErrUnsupported
	if l, ok := store.(storage.Lender); ok {
		rs, next, s.loan, err = l.ReadInPlace(dst, p.id, from, readBytes)
	}
	if s.refused = errors.Is(err, errors.ErrUnsupported); s.refused {
		return p.readInto(dst, nil, from)
	}
	return rs, s, next, err
}

// room returns where the next read goes.
func (s *slab) room() []byte { return s.buf[len(s.buf):] }

// took takes note that a read used buf, which was its room, or is larger memory in its place. It returns the slab that buf is part of.
func (s *slab) took(buf []byte) *slab {
	at := s.room()
	if cap(at) == 0 || cap(buf) != cap(at) || &buf[:1][0] != &at[:1][0] {
		return &slab{buf: buf, reading: true}
	}
	s.buf = s.buf[:len(s.buf)+len(buf)]
	return s
}

// shelve ends a read for which lent was taken, nil if none was, and whose records are in used: in that, in another, or in none.
func (p *partition) shelve(lent, used *slab) {
	if used != nil {
		used.reading = false
	}
	if lent == nil {
		return
	}
	lent.reading = false
	p.copied = p.copied || lent.refused
	g := p.group
	switch {
	case lent.held == 0:
		g.engine.reuse(lent)
	case cap(lent.room()) >= slabRoom:
		g.slabs = append(g.slabs, lent)
	}
}

// giveUp takes note that the record's bytes are needed no more by us; nor, unless lost is true, by who had it in hand.
func (m *message) giveUp(lost bool) {
	s := m.slab
	if s == nil {
		return
	}
	m.slab = nil
	s.lost = s.lost || lost
	if s.held--; s.held > 0 || s.reading {
		return
	}
	g := m.partition.group
	if i := slices.Index(g.slabs, s); i >= 0 {
		g.slabs = slices.Delete(g.slabs, i, i+1)
	}
	g.engine.reuse(s)
}

// freed is the end of a message that may not have been in anybody's hand.
func (m *message) freed() { m.giveUp(false) }

// reuse gives a slab in which no message is any more to who reads next, unless somebody may still read in it, or it is not a whole one.
func (e *engine) reuse(s *slab) {
	switch {
	case s.loan != nil && s.lost:
		s.loan.Abandon()
	case s.loan != nil:
		s.loan.Return()
	}
	switch {
	case s.buf == nil:
		*s = slab{}
		e.empties.Put(s)
	case cap(s.buf) == slabBytes && !s.lost:
		s.buf = s.buf[:0]
		e.slabs.Put(s)
	}
}
