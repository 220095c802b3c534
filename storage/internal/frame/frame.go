// Package frame is the bytes of the store: frames, which the journal and the segments hold alike, and the bodies inside them. It is pure: no
// files, no clock, no state. storage/FORMAT.md draws the same for readers who have only the bytes.
//
// A frame is a header of 64 bytes, a body, and zeros up to a multiple of 8. All numbers are little-endian.
//
//	 0- 3  CRC-32C of bytes 4-63, seeded
//	 4- 7  length of the body
//	 8-11  CRC-32C of the body as stored, seeded
//	12     kind      13  flags      14  format version      15  codec of a block, else zero
//	16-23  LSN: 24 bits epoch, 40 bits counter
//	24-31  base offset
//	32-35  partition
//	36-39  span: the frame owns the offsets base .. base+span
//	40-47  append time, nanoseconds of Unix time
//	48-55  zero, reserved
//	56-59  number of records
//	60-63  how many LSNs back the last frame known to be synced was when this one was staged
//
// Both sums start from the seed, a random secret of the store, so that a payload that contains frames is never taken for frames.
// A header that fails says nothing, its length included; one that holds while its body fails tells what is lost and where the next begins.
package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/leatmq/leat/compress"
)

// HeaderSize is the length of a header in bytes.
const HeaderSize = 64

// Version is the format that this package writes, and the newest it reads.
const Version = 1

// MaxBody bounds the body of a frame: an entry of storage.MaxEntry, and what its encoding adds.
const MaxBody = 17 << 20

// Kind says what a frame's body is.
type Kind uint8

// The kinds. Zero is none, so that empty space is no frame.
const (
	Batch     Kind = 1  // records
	Cursor    Kind = 2  // how far a group has come in a partition
	Topic     Kind = 3  // a topic was made
	Group     Kind = 4  // a group was made
	Pad       Kind = 5  // zeros up to a boundary; means nothing
	Block     Kind = 6  // batches, compressed; in segments only
	Alter     Kind = 7  // a topic has another strategy and other settings
	Drop      Kind = 8  // a topic was deleted
	GroupDrop Kind = 9  // a group was deleted
	Start     Kind = 10 // the records of a partition below the base offset are removed
	Swap      Kind = 11 // files of a partition are replaced by others that say the same
	Gap       Kind = 12 // offsets of a partition are a hole, or not any more: see Hole
	Followed  Kind = 13 // how far a copy of the store has come with the journal that it follows
	last           = Followed
)

// Flags of a frame.
type Flags uint8

// End marks the last frame of an entry. An entry counts only whole.
const End Flags = 1

// LSN is a frame's place in the journal: frames of one epoch count up by one.
type LSN uint64

const counterBits = 40

// MaxEpoch is the last epoch.
const MaxEpoch = 1<<24 - 1

// At returns the LSN of counter n in epoch.
func At(epoch uint32, n uint64) LSN { return LSN(uint64(epoch)<<counterBits | n&(1<<counterBits-1)) }

// Epoch returns the LSN's epoch.
func (l LSN) Epoch() uint32 { return uint32(l >> counterBits) }

// Seed is the secret of a store that its sums start from.
type Seed uint32

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum returns the seeded CRC-32C of p.
func (s Seed) Sum(p []byte) uint32 { return crc32.Update(uint32(s), castagnoli, p) }

// Header is a frame's header.
type Header struct {
	BodyLen    uint32
	BodySum    uint32
	Kind       Kind
	Flags      Flags
	Codec      compress.ID // of a Block, else 0
	LSN        LSN
	Base       int64
	Partition  uint32
	Span       uint32
	Time       int64
	Count      uint32
	SyncedBack uint32
}

// Evidence of what is wrong with a frame. Different evidence, different error.
var (
	ErrShort   = errors.New("frame: cut short")                 // the bytes end before the frame does
	ErrEmpty   = errors.New("frame: empty space")               // zeros where a header would be: never written, or wiped
	ErrHeader  = errors.New("frame: header sum does not match") // not a header of this store, or no longer
	ErrVersion = errors.New("frame: newer format")              // the sums hold; made by a newer version of this package
	ErrField   = errors.New("frame: impossible field")          // the sums hold; no version of this package makes such a thing
	ErrBody    = errors.New("frame: body sum does not match")   // the header tells what is lost and where the next frame begins
)

// Size returns what a frame with a body of n bytes takes, padding included.
func Size(n int) int { return (HeaderSize + n + 7) &^ 7 }

// Size returns what the frame takes, padding included.
func (h *Header) Size() int { return Size(int(h.BodyLen)) }

// Next returns the offset behind the frame's own.
func (h *Header) Next() int64 { return h.Base + int64(h.Span) }

// Put writes the header to the first HeaderSize bytes of dst, its own sum included.
func (h *Header) Put(dst []byte, s Seed) {
	_ = dst[HeaderSize-1]
	le := binary.LittleEndian
	le.PutUint32(dst[4:], h.BodyLen)
	le.PutUint32(dst[8:], h.BodySum)
	dst[12], dst[13], dst[14], dst[15] = byte(h.Kind), byte(h.Flags), Version, byte(h.Codec)
	le.PutUint64(dst[16:], uint64(h.LSN))
	le.PutUint64(dst[24:], uint64(h.Base))
	le.PutUint32(dst[32:], h.Partition)
	le.PutUint32(dst[36:], h.Span)
	le.PutUint64(dst[40:], uint64(h.Time))
	le.PutUint64(dst[48:], 0)
	le.PutUint32(dst[56:], h.Count)
	le.PutUint32(dst[60:], h.SyncedBack)
	le.PutUint32(dst[0:], s.Sum(dst[4:HeaderSize]))
}

// Parse reads the header at the start of src and checks it; the body is not looked at, nor need it be there.
// With an error the header is zero. A header that Parse accepts is what Put writes, bit for bit.
func Parse(src []byte, s Seed) (Header, error) {
	if len(src) < HeaderSize {
		return Header{}, ErrShort
	}
	src = src[:HeaderSize]
	if src[12] == 0 && [HeaderSize]byte(src) == [HeaderSize]byte{} {
		return Header{}, ErrEmpty // not left to the sum: with one seed in 2^32, the sum of zeros is zero
	}
	le := binary.LittleEndian
	if s.Sum(src[4:]) != le.Uint32(src) {
		return Header{}, ErrHeader
	}
	if src[14] > Version {
		return Header{}, ErrVersion
	}
	h := Checked(src)
	if src[14] == 0 || le.Uint64(src[48:]) != 0 || !h.possible() {
		return Header{}, ErrField
	}
	return h, nil
}

// Checked reads the header at the start of src without a look at its sum: of a frame that Parse or Next has accepted.
func Checked(src []byte) Header {
	_ = src[HeaderSize-1]
	le := binary.LittleEndian
	return Header{
		BodyLen: le.Uint32(src[4:]), BodySum: le.Uint32(src[8:]),
		Kind: Kind(src[12]), Flags: Flags(src[13]), Codec: compress.ID(src[15]), LSN: LSN(le.Uint64(src[16:])),
		Base: int64(le.Uint64(src[24:])), Partition: le.Uint32(src[32:]), Span: le.Uint32(src[36:]),
		Time: int64(le.Uint64(src[40:])), Count: le.Uint32(src[56:]), SyncedBack: le.Uint32(src[60:]),
	}
}

// possible tells whether the fields agree with each other. Only batches and blocks of them own offsets, and each of their records one of these.
func (h *Header) possible() bool {
	if h.Kind == Block && !h.Codec.Known() || h.Kind != Block && h.Codec != 0 {
		return false
	}
	if h.Kind == Batch || h.Kind == Block {
		return h.Flags <= End && h.BodyLen <= MaxBody && h.Base >= 0 && h.Next() > h.Base && h.Count > 0 && h.Count <= h.Span
	}
	return h.Kind > Batch && h.Kind <= last && h.Flags <= End && h.BodyLen <= MaxBody && h.Base >= 0 && h.Span|h.Count == 0
}

// Resembles tells cheaply whether a header at the start of src could be one of a frame of epoch: a filter in front of Parse for searches
// through many bytes. It has no false negatives for what a journal has.
func Resembles(src []byte, epoch uint32) bool {
	return len(src) >= HeaderSize && LSN(binary.LittleEndian.Uint64(src[16:])).Epoch() == epoch &&
		Kind(src[12]-1) < last && Flags(src[13]) <= End && src[14]-1 < Version && src[15] == 0
}

// emptyBytes is how many zeros Search passes over at once: much of a journal was never used.
const emptyBytes = 4096

// empty tells whether p is zeros: the first 8 bytes are, and each is what the one 8 in front of it is.
func empty(p []byte) bool { return [8]byte(p) == [8]byte{} && bytes.Equal(p[8:], p[:len(p)-8]) }

// Search returns the first multiple of 8 at which src, to which all positions belong that a whole header fits behind, Resembles a frame of epoch; -1 if there is none.
func Search(src []byte, epoch uint32) int {
	for i := 0; i+HeaderSize <= len(src); i += 8 {
		if i%emptyBytes == 0 && i+emptyBytes <= len(src) && empty(src[i:i+emptyBytes]) {
			i += emptyBytes - HeaderSize // up to there a header would be zeros
			continue
		}
		if LSN(binary.LittleEndian.Uint64(src[i+16:])).Epoch() == epoch && Resembles(src[i:], epoch) {
			return i
		}
	}
	return -1
}

// CheckBody compares body with the header's length and sum of it: ErrShort or ErrBody.
func (h *Header) CheckBody(body []byte, s Seed) error {
	if len(body) != int(h.BodyLen) {
		return ErrShort
	}
	if s.Sum(body) != h.BodySum {
		return ErrBody
	}
	return nil
}

// Next parses the frame at the start of src whole: header, body and their sums. size is what the frame takes, padding included.
// Without an error body is the part of src that is. With ErrBody, or ErrShort behind a whole header, h and size are as the header says.
func Next(src []byte, s Seed) (h Header, body []byte, size int, err error) {
	if h, err = Parse(src, s); err != nil {
		return h, nil, 0, err
	}
	size = h.Size()
	if len(src) < size {
		return h, nil, size, ErrShort
	}
	end := HeaderSize + int(h.BodyLen)
	body = src[HeaderSize:end:end]
	if err = h.CheckBody(body, s); err != nil {
		return h, nil, size, err
	}
	return h, body, size, nil
}
