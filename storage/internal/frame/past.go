package frame

import (
	"encoding/binary"

	"github.com/leatmq/leat/storage"
)

// The earlier incarnations of a topic, at the end of its body, oldest first:
//
//	number        uvarint, at most 16; for each
//	incarnation     8 bytes
//	next            uvarint for each partition
func appendPast(dst []byte, past []storage.Life) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(past)))
	for i := range past {
		dst = binary.LittleEndian.AppendUint64(dst, past[i].Incarnation)
		for _, next := range past[i].Next {
			dst = binary.AppendUvarint(dst, uint64(next))
		}
	}
	return dst
}

func (s *scanner) past(partitions uint64) []storage.Life {
	n := s.uvarint()
	if n > storage.MaxPast || n > 0 && partitions > uint64(len(s.rest))/n {
		s.failed = true
	}
	if s.failed || n == 0 {
		return nil
	}
	past := make([]storage.Life, n)
	for i := range past {
		past[i] = storage.Life{Incarnation: s.uint64(), Next: make([]int64, partitions)}
		for p := range past[i].Next {
			past[i].Next[p] = s.int63()
		}
	}
	return past
}
