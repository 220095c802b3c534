package embedded

import (
	"encoding/binary"
	"errors"

	"github.com/leatmq/leat/storage"
)

// parkHeader is the first header of a record that is parked, and none that anybody sees. Its value is what the record's place says no more:
//
//	form      1 byte: 1
//	flags     1 byte: 1: those behind it of its key do not wait for it
//	origin    uvarint: the offset at which it was published
//	appended  varint: when that was, in nanoseconds of Unix time
//	attempts  uvarint: failed ones
//	due       varint: not again before this wall time, in nanoseconds of Unix time; 0: at once
//	note      the rest: as storage.Failure.Note
const (
	parkHeader    = libraryHeaders + "parked"
	parkedForm    = 1
	parkedPasses  = 1
	maxParkHeader = 512 // of the header, with a note of the most that there can be
)

// parkedState is what the header says.
type parkedState struct {
	origin, appended int64
	passes           bool
	attempts         uint32
	due              int64
	note             string
}

var errParked = errors.New("queue: a parked message without what was known of it")

// appendParked appends the headers of a parked record: the state's, and its own.
func appendParked(dst storage.Headers, s *parkedState, own storage.Headers) storage.Headers {
	b := make([]byte, 2, maxParkHeader)
	b[0] = parkedForm
	if s.passes {
		b[1] |= parkedPasses
	}
	b = binary.AppendUvarint(b, uint64(s.origin))
	b = binary.AppendVarint(b, s.appended)
	b = binary.AppendUvarint(b, uint64(s.attempts))
	b = binary.AppendVarint(b, s.due)
	return append(storage.AppendHeader(dst, parkHeader, append(b, s.note...)), own...)
}

// splitParked is decodeParked, and returns the headers of the message itself, too.
func splitParked(encoded storage.Headers) (s parkedState, own storage.Headers, err error) {
	if s, err = decodeParked(encoded); err == nil {
		for key, value := range encoded.All() {
			own = encoded[len(storage.AppendHeader(nil, key, value)):]
			break
		}
	}
	return s, own, err
}

// decodeParked reads it back.
func decodeParked(encoded storage.Headers) (s parkedState, err error) {
	for key, b := range encoded.All() {
		if key != parkHeader || len(b) < 2 || b[0] != parkedForm {
			break
		}
		s.passes = b[1]&parkedPasses != 0
		r := numbers{b: b[2:]}
		s.origin, s.appended, s.attempts, s.due = int64(r.uvarint()), r.varint(), uint32(r.uvarint()), r.varint()
		if r.short {
			break
		}
		s.note = string(r.b)
		return s, nil
	}
	return parkedState{}, errParked
}

// numbers reads varints one after the other.
type numbers struct {
	b     []byte
	short bool
}

func (r *numbers) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	return v * r.skip(n)
}

func (r *numbers) varint() int64 {
	v, n := binary.Varint(r.b)
	return v * int64(r.skip(n))
}

// skip passes over n bytes. It returns 0 if there is no number, else 1.
func (r *numbers) skip(n int) uint64 {
	if n <= 0 {
		r.short = true
		return 0
	}
	r.b = r.b[n:]
	return 1
}
