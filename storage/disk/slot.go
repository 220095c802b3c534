package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// sector is what the engine takes for the unit that a disk may tear: what was synced is never rewritten within one.
const sector = 4096

// A slot is a file of the journal, written over and over: blocks that were written once are much cheaper to sync. It begins with
// a header of one sector, written when the slot is taken into use:
//
//	 0- 7  "leatslot"
//	 8-11  format version, 1
//	12-15  seed of all other sums
//	16-23  store
//	24-31  sequence number of this use
//	32-35  epoch
//	36-39  size of the file, in blocks of 4096 bytes
//	40-47  LSN of the first frame
//	48-55  LSN of the last frame before this slot, which may be of an earlier epoch
//	56-59  CRC-32C of bytes 0-55
//
// Frames follow from byte 4096. A frame belongs to this use if its LSN is exactly the expected one.
type slot struct {
	name   string
	number int // in the name
	file   vfs.File
	size   int64
	whole  bool // it has a header that can be believed
	ours   bool // it begins like one that we made
	fresh  bool // it was made, durably, since the store was opened
	slotUse
}

// slotUse is what a slot's header says of its present use.
type slotUse struct {
	seq         uint64 // 0: not in use
	epoch       uint32
	first, prev frame.LSN
	bytes       int64 // of the file
}

const (
	slotMagic   = "leatslot"
	slotVersion = 1
	slotHeader  = 60
	// maxSlotFile bounds what is read of a journal file: no group needs more.
	maxSlotFile = 2 * maxSlot
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// identity is what all files of a store have in common.
type identity struct {
	store uint64
	seed  frame.Seed
}

func (u slotUse) encode(id identity) []byte {
	b := make([]byte, sector)
	copy(b, slotMagic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], slotVersion)
	le.PutUint32(b[12:], uint32(id.seed))
	le.PutUint64(b[16:], id.store)
	le.PutUint64(b[24:], u.seq)
	le.PutUint32(b[32:], u.epoch)
	le.PutUint32(b[36:], uint32(u.bytes/sector))
	le.PutUint64(b[40:], uint64(u.first))
	le.PutUint64(b[48:], uint64(u.prev))
	le.PutUint32(b[56:], crc32.Checksum(b[:56], castagnoli))
	return b
}

// slotName returns the name of a journal file.
func slotName(number int) string { return fmt.Sprintf("%s/%02d", journalDir, number) }

func (s *slot) window() *window { return &window{file: s.file, name: s.name, end: s.size} }

// decodeSlot reads a slot's header. ok is false for one that was never used, is damaged, or is another store's; the error is for one
// of a newer format.
func decodeSlot(b []byte, id identity) (u slotUse, ok bool, err error) {
	le := binary.LittleEndian
	if len(b) < slotHeader || string(b[:8]) != slotMagic || le.Uint32(b[56:]) != crc32.Checksum(b[:56], castagnoli) {
		return slotUse{}, false, nil
	}
	if v := le.Uint32(b[8:]); v > slotVersion {
		return slotUse{}, false, fmt.Errorf("%w: journal file of version %d, this program reads %d", storage.ErrFormat, v, slotVersion)
	}
	if le.Uint32(b[8:]) != slotVersion || le.Uint64(b[16:]) != id.store {
		return slotUse{}, false, nil
	}
	return slotUse{
		seq: le.Uint64(b[24:]), epoch: le.Uint32(b[32:]),
		first: frame.LSN(le.Uint64(b[40:])), prev: frame.LSN(le.Uint64(b[48:])), bytes: int64(le.Uint32(b[36:])) * sector,
	}, true, nil
}

// makeSlot creates a slot file, written once with zeros and synced; its name is durable after a sync of the directory. If there is no space
// for it, it is removed again.
func makeSlot(fs vfs.FS, number int, size int64) (*slot, error) {
	name := slotName(number)
	f, err := fs.Create(name)
	if err != nil {
		return nil, fmt.Errorf("storage: new journal file: %w", err)
	}
	if err = f.Allocate(size); err == nil { // so that it is known at once whether there is space
		err = zero(f, 0, size)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("storage: new journal file: %w", err), f.Close())
		if later(err) {
			err = errors.Join(err, fs.Remove(name))
		}
		return nil, err
	}
	return &slot{name: name, number: number, file: f, size: size, ours: true}, nil
}

// zeroPiece is how much of a large file zero writes at a time. On Linux a write makes pages of the cache that are as large as itself, and what is written to a part of one later goes through all of it:
// in a file that was zeroed a MiB at a time a write of 1 KiB takes three times as long.
const zeroPiece = 32 << 10

// zero writes zeros and syncs them.
func zero(f vfs.File, from, to int64) error {
	piece := to - from
	if piece > 1<<20 {
		piece = zeroPiece
	}
	zeros := make([]byte, piece)
	for at := from; at < to; {
		n := min(int64(len(zeros)), to-at)
		if _, err := f.WriteAt(zeros[:n], at); err != nil {
			return err
		}
		at += n
	}
	return vfs.SyncFailed(f.SyncData())
}
