package frame

import "encoding/binary"

// Place says how far a copy has come with the journal of another directory of the same store.
type Place struct {
	Life uint64 // of the store that is followed
	LSN  LSN    // of its newest frame that the copy has
}

// The body of a Followed frame.
//
//	form    1 byte: 1
//	life    8 bytes
//	lsn     uvarint
const followedForm = 1

// AppendPlace appends p as the body of a Followed frame.
func AppendPlace(dst []byte, p Place) []byte {
	dst = binary.LittleEndian.AppendUint64(append(dst, followedForm), p.Life)
	return binary.AppendUvarint(dst, uint64(p.LSN))
}

// DecodePlace reads the body of a Followed frame.
func DecodePlace(body []byte) (Place, error) {
	s := scanner{rest: body}
	form := s.byte()
	p := Place{Life: s.uint64(), LSN: LSN(s.uvarint())}
	if err := s.ends(form, followedForm); err != nil {
		return Place{}, err
	}
	return p, nil
}
