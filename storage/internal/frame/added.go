package frame

import (
	"encoding/binary"
	"math"

	"github.com/leatmq/leat/storage"
)

// Where the IDs of a topic's partitions are that do not follow those before, at the end of its body in form 2:
//
//	number    uvarint, at least 1; for each, ascending
//	from        uvarint: how many partitions there are between the begin of the stretch before and its own, at least 1; before the first there is that of partition 0
//	first       uvarint: how many IDs there are between the end of the stretch before and its own first, at least 1
func appendAdded(dst []byte, t *storage.Topic) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(t.Added)))
	before := storage.Stretch{First: t.First}
	for _, s := range t.Added {
		n := uint64(s.From - before.From)
		dst = binary.AppendUvarint(dst, n)
		dst = binary.AppendUvarint(dst, uint64(s.First)-uint64(before.First)-n)
		before = s
	}
	return dst
}

func (s *scanner) added(partitions, first uint64) []storage.Stretch {
	n := s.count(2)
	if n == 0 {
		s.failed = true
	}
	added := make([]storage.Stretch, 0, n)
	for from := uint64(0); len(added) < n && !s.failed; {
		size, skipped := s.uvarint(), s.uvarint()
		if size < 1 || size > storage.MaxPartitions || skipped < 1 || skipped > math.MaxUint32 || first > math.MaxUint32 {
			s.failed = true
			break
		}
		from, first = from+size, first+size+skipped
		if from >= partitions || first > math.MaxUint32-(partitions-from) {
			s.failed = true
			break
		}
		added = append(added, storage.Stretch{From: int(from), First: storage.PartitionID(first)})
	}
	return added
}
