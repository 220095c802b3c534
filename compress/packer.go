package compress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// Packer compresses blocks of which each says how it is stored, leaves alone what does not shrink, and counts what that takes and brings. It is safe for concurrent use.
type Packer struct {
	selector Selector
	set      Set
	figures  figures
}

// NewPacker returns a packer that compresses what s selects, and expands what is of set; the zero Set has all codecs.
func NewPacker(s Selector, set Set) *Packer {
	if !set.listed {
		set, _ = NewSet() // of none it makes one of all
	}
	return &Packer{selector: s, set: set}
}

// worth tells whether it is worth an expansion that in bytes became out: if they are a sixteenth less, or better.
func worth(in, out int) bool { return out <= in-max(1, in/16) }

// Append appends s.Data to dst, compressed, and returns the codec's number; or it returns dst as it was and 0, if the selector selects none that this package knows, or if the data did not shrink by a
// sixteenth. s.Data must not overlap what is behind dst's end.
func (p *Packer) Append(dst []byte, s Sample) ([]byte, ID) {
	c := p.selector.Select(s)
	if c == nil || !c.ID().Known() {
		p.figures.left.Add(1)
		return dst, 0
	}
	began := time.Now()
	out, err := c.AppendCompress(dst, s.Data)
	took := time.Since(began)
	size := len(out) - len(dst)
	if err != nil || !worth(len(s.Data), size) {
		p.figures.inVain.Add(1)
		p.figures.inVainTime.Add(int64(took))
		return dst, 0
	}
	p.figures.packed(c.ID(), len(s.Data), size, took)
	return out, c.ID()
}

// ErrUnknown says that a block was made with a codec that the Set does not have.
var ErrUnknown = errors.New("compress: unknown codec")

// Expand appends to dst what src was before. size is how much that is, as whoever packed it declared; negative: it is not known. most is a bound that is not the packer's: more is ErrTooLarge, before
// anything is expanded if size says so, and never more than the lesser of both is made. What comes to another size than declared is ErrCorrupt. ErrUnknown for a codec that is not in
// the Set. With an error dst is returned as it was.
func (p *Packer) Expand(dst, src []byte, id ID, size, most int) ([]byte, error) {
	c, ok := p.set.ByID(id)
	if !ok {
		p.figures.refused.Add(1)
		return dst, fmt.Errorf("%w: %v", ErrUnknown, id)
	}
	out, err := p.expand(dst, src, c, size, max(most, 0))
	if err != nil {
		p.figures.refused.Add(1)
		return dst, err
	}
	return out, nil
}

func (p *Packer) expand(dst, src []byte, c Codec, size, most int) ([]byte, error) {
	if size > most {
		return dst, fmt.Errorf("%w: %d bytes are declared, the bound is %d", ErrTooLarge, size, most)
	}
	bound := most
	if size >= 0 {
		bound = size
	}
	began := time.Now()
	out, err := c.AppendExpand(dst, src, bound)
	took := time.Since(began)
	got := len(out) - len(dst)
	switch {
	case err != nil && errors.Is(err, ErrTooLarge) && bound < most:
		return dst, corrupt(c.ID(), fmt.Errorf("more than the %d bytes that are declared", size))
	case err != nil:
		return dst, err
	case size >= 0 && got != size:
		return dst, corrupt(c.ID(), fmt.Errorf("%d bytes, %d are declared", got, size))
	}
	p.figures.expanded(c.ID(), len(src), got, took)
	return out, nil
}

// AppendFrame appends s.Data as a frame, which says what it is: compressed if that is worth it, else as it is.
//
//	codec   1 byte, 0: the data is as it is
//	size    uvarint, of the data before it was compressed
//	data    up to the end
func (p *Packer) AppendFrame(dst []byte, s Sample) []byte {
	at := len(dst)
	dst = binary.AppendUvarint(append(dst, 0), uint64(len(s.Data)))
	out, id := p.Append(dst, s)
	if id == 0 {
		return append(dst, s.Data...)
	}
	out[at] = byte(id)
	return out
}

// ExpandFrame appends the data of a frame to dst, at most most bytes: more is ErrTooLarge, before anything is allocated for it. Other errors are ErrCorrupt and ErrUnknown. With an error dst is
// returned as it was.
func (p *Packer) ExpandFrame(dst, frame []byte, most int) ([]byte, error) {
	most = max(most, 0)
	if len(frame) < 2 {
		return dst, fmt.Errorf("%w: a frame of %d bytes", ErrCorrupt, len(frame))
	}
	size, n := binary.Uvarint(frame[1:])
	data := frame[1+max(n, 0):]
	switch {
	case n <= 0:
		return dst, fmt.Errorf("%w: the size of a frame", ErrCorrupt)
	case size > math.MaxInt || int(size) > most:
		return dst, fmt.Errorf("%w: a frame of %d bytes, the bound is %d", ErrTooLarge, size, most)
	case frame[0] != 0:
		return p.Expand(dst, data, ID(frame[0]), int(size), most)
	case int(size) != len(data):
		return dst, fmt.Errorf("%w: a frame that is to have %d bytes has %d", ErrCorrupt, size, len(data))
	}
	return append(dst, data...), nil
}
