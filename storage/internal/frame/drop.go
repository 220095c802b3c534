package frame

import (
	"encoding/binary"
	"math"

	"github.com/leatmq/leat/storage"
)

// The body of a Drop or a GroupDrop frame: what is deleted.
//
//	form    1 byte: 1
//	id      uvarint: of a Drop the topic's partition 0, of a GroupDrop the group
const dropForm = 1

// AppendDrop appends the body of a Drop frame for the topic whose partition 0 has the ID first.
func AppendDrop(dst []byte, first storage.PartitionID) []byte {
	return binary.AppendUvarint(append(dst, dropForm), uint64(first))
}

// DecodeDrop reads the body of a Drop frame.
func DecodeDrop(body []byte) (first storage.PartitionID, err error) {
	id, err := decodeDrop(body)
	return storage.PartitionID(id), err
}

// AppendGroupDrop appends the body of a GroupDrop frame.
func AppendGroupDrop(dst []byte, g storage.GroupID) []byte {
	return binary.AppendUvarint(append(dst, dropForm), uint64(g))
}

// DecodeGroupDrop reads the body of a GroupDrop frame.
func DecodeGroupDrop(body []byte) (g storage.GroupID, err error) {
	id, err := decodeDrop(body)
	return storage.GroupID(id), err
}

func decodeDrop(body []byte) (uint32, error) {
	s := scanner{rest: body}
	form, id := s.byte(), s.uvarint()
	if err := s.ends(form, dropForm); err != nil {
		return 0, err
	}
	if id > math.MaxUint32 {
		return 0, ErrField
	}
	return uint32(id), nil
}
