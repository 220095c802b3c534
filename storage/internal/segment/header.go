package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// blockSize is the length of the header block, and the boundary that Align pads to: no device in use writes larger sectors.
const blockSize = 4096

// formatVersion is the format of header block and footer that this package writes, and the newest it reads.
const formatVersion = 1

// The header block, zeros where nothing is said:
//
//	 0- 7  "leatseg" and a zero
//	 8-11  CRC-32C of bytes 12-4095, seeded
//	12-15  format version
//	16-23  store
//	24-31  file id
//	32-35  partition
//	36-39  epoch of the open that made the file
//	40-47  base offset
//	48-55  ordinal: records of the partition before the file
//	56-59  form: 0 appended to, 1 rewritten from other files
var headerMagic = []byte("leatseg\x00")

// Identity is of a store: what tells its files from those of another.
type Identity struct {
	Store uint64
	Seed  frame.Seed
}

// header is what the header block says.
type header struct {
	file      uint64
	partition storage.PartitionID
	epoch     uint32
	base      int64
	ordinal   int64
	rewritten bool // what is in it is, or was, in other files
}

func (h *header) encode(id Identity) []byte {
	b := make([]byte, blockSize)
	le := binary.LittleEndian
	copy(b, headerMagic)
	le.PutUint32(b[12:], formatVersion)
	le.PutUint64(b[16:], id.Store)
	le.PutUint64(b[24:], h.file)
	le.PutUint32(b[32:], uint32(h.partition))
	le.PutUint32(b[36:], h.epoch)
	le.PutUint64(b[40:], uint64(h.base))
	le.PutUint64(b[48:], uint64(h.ordinal))
	if h.rewritten {
		b[56] = 1
	}
	le.PutUint32(b[8:], id.Seed.Sum(b[12:]))
	return b
}

// parseHeader reads a whole header block. The error says in words what is wrong with it.
func parseHeader(b []byte, id Identity) (header, error) {
	le := binary.LittleEndian
	switch {
	case len(b) < blockSize:
		return header{}, fmt.Errorf("the file ends within its header block, at %d", len(b))
	case !bytes.HasPrefix(b, headerMagic):
		return header{}, fmt.Errorf("no header block of a segment")
	case id.Seed.Sum(b[12:blockSize]) != le.Uint32(b[8:]):
		return header{}, fmt.Errorf("the sum of the header block does not match")
	case le.Uint32(b[12:]) > formatVersion:
		return header{}, fmt.Errorf("%w: segment of version %d, this program reads %d", storage.ErrFormat, le.Uint32(b[12:]), formatVersion)
	case le.Uint64(b[16:]) != id.Store:
		return header{}, fmt.Errorf("the file is of another store")
	case le.Uint32(b[56:]) > 1:
		return header{}, fmt.Errorf("a form that does not exist: %d", le.Uint32(b[56:]))
	}
	return header{
		file: le.Uint64(b[24:]), partition: storage.PartitionID(le.Uint32(b[32:])), epoch: le.Uint32(b[36:]),
		base: int64(le.Uint64(b[40:])), ordinal: int64(le.Uint64(b[48:])), rewritten: b[56] == 1,
	}, nil
}

// matches tells whether the block is of the segment that the checkpoint describes.
func (h *header) matches(p storage.PartitionID, m *Meta) bool {
	return h.partition == p && h.file == m.File && h.base == m.Base && h.ordinal == m.Ordinal && h.rewritten == m.Rewritten
}

func dirName(p storage.PartitionID) string { return fmt.Sprintf("seg/%08x", uint32(p)) }

func fileName(p storage.PartitionID, file uint64) string {
	return fmt.Sprintf("seg/%08x/%016x", uint32(p), file)
}
