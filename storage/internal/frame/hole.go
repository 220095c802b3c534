package frame

import (
	"encoding/binary"

	"github.com/leatmq/leat/storage"
)

// Hole is a range of offsets of a partition whose records are lost, or were given up. A later one for the same range replaces it.
type Hole struct {
	First, Next int64 // offsets, half-open
	Ordinal     int64 // records of the partition before it
	Records     int64 // in it
	State       HoleState
	File        string // below the store's directory: where the damage was found
	From, To    int64  // bytes of the file
	Reason      string
}

// HoleState says what becomes of a reader that comes to a hole.
type HoleState uint8

// The states of a hole.
const (
	HoleOpen    HoleState = 1 // it is told, and stops
	HoleSkipped HoleState = 2 // it goes on behind
	HoleMended  HoleState = 3 // there is none any more
)

// MaxReason bounds Hole.Reason, in bytes; what is longer is cut.
const MaxReason = 1 << 10

// The body of a Gap frame. The partition stands in the header.
//
//	form       1 byte: 1
//	state      1 byte: 1 open, 2 skipped, 3 mended
//	first      uvarint
//	length     uvarint, at least 1
//	ordinal    uvarint
//	records    uvarint
//	from       uvarint
//	bytes      uvarint
//	file       uvarint length, bytes
//	reason     uvarint length, bytes
const holeForm = 1

// AppendHole appends h as the body of a Gap frame.
func AppendHole(dst []byte, h *Hole) []byte {
	dst = append(dst, holeForm, byte(h.State))
	for _, v := range [...]int64{h.First, h.Next - h.First, h.Ordinal, h.Records, h.From, h.To - h.From} {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	dst = appendBytes(dst, h.File)
	return appendBytes(dst, h.Reason[:min(len(h.Reason), MaxReason)])
}

// DecodeHole reads the body of a Gap frame. What it returns shares nothing with body.
func DecodeHole(body []byte) (Hole, error) {
	s := scanner{rest: body}
	form := s.byte()
	h := Hole{State: HoleState(s.byte()), First: s.int63()}
	h.Next = s.after(h.First, 1)
	h.Ordinal, h.Records, h.From = s.int63(), s.int63(), s.int63()
	h.To = s.after(h.From, 0)
	file, reason := s.bytes(), s.bytes()
	if err := s.ends(form, holeForm); err != nil {
		return Hole{}, err
	}
	if h.State < HoleOpen || h.State > HoleMended || h.Records > h.Next-h.First || h.Ordinal+h.Records < 0 ||
		len(file) > storage.MaxName || len(reason) > MaxReason {
		return Hole{}, ErrField
	}
	h.File, h.Reason = string(file), string(reason)
	return h, nil
}
