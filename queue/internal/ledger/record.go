package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The form of a record, version 1:
//
//	version   1 byte
//	covered   number of pairs, then for each: partition, offset        unsigned varints
//	entries   number, then for each:
//	          ID                                                        16 bytes
//	          partition, offset                                         unsigned varints
//	          when it came, less when the one before it came            signed varint, in milliseconds of Unix time
//
// A record has no checksum of its own; the store has one for it.
const version = 1

// entryLeast is the fewest bytes that an entry takes.
const entryLeast = 16 + 3

// ErrFormat says that a record is not what Record.Append makes.
var ErrFormat = errors.New("ledger: malformed record")

// Record is a piece of a ledger as it is stored.
type Record struct {
	// Covered tells for partitions up to which offset all IDs are in this record or in those before it.
	Covered []Cover
	// Entries have Born in nanoseconds of Unix time, kept to the millisecond.
	Entries []Entry
}

// Cover is an offset of a partition, below which nothing is missing.
type Cover struct {
	Partition int32
	Next      int64
}

// Append appends the record to dst.
func (r *Record) Append(dst []byte) []byte {
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(len(r.Covered)))
	for _, c := range r.Covered {
		dst = binary.AppendUvarint(dst, uint64(c.Partition))
		dst = binary.AppendUvarint(dst, uint64(c.Next))
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Entries)))
	before := int64(0)
	for i := range r.Entries {
		e := &r.Entries[i]
		dst = append(dst, e.ID[:]...)
		dst = binary.AppendUvarint(dst, uint64(e.Partition))
		dst = binary.AppendUvarint(dst, uint64(e.Offset))
		at := e.Born / 1_000_000
		dst = binary.AppendVarint(dst, at-before)
		before = at
	}
	return dst
}

// Decode sets r to what b holds, with the memory that r has.
func (r *Record) Decode(b []byte) error {
	r.Covered, r.Entries = r.Covered[:0], r.Entries[:0]
	if len(b) == 0 {
		return fmt.Errorf("%w: empty", ErrFormat)
	}
	if b[0] != version {
		return fmt.Errorf("%w: version %d", ErrFormat, b[0])
	}
	d := decoder{b: b[1:]}
	for range d.number(2) {
		r.Covered = append(r.Covered, Cover{d.partition(), d.offset()})
	}
	before := int64(0)
	for range d.number(entryLeast) {
		e := Entry{ID: d.id(), Partition: d.partition(), Offset: d.offset()}
		before += d.signed()
		if most := int64(math.MaxInt64 / 1_000_000); before > most || before < -most {
			d.wrong = true
		}
		e.Born = before * 1_000_000
		r.Entries = append(r.Entries, e)
		if d.wrong {
			break
		}
	}
	if d.wrong || len(d.b) > 0 {
		r.Covered, r.Entries = r.Covered[:0], r.Entries[:0]
		return ErrFormat
	}
	return nil
}

// decoder cuts fields off b. After the first that is wrong all are zero.
type decoder struct {
	b     []byte
	wrong bool
}

func (d *decoder) unsigned(most uint64) uint64 {
	n, w := binary.Uvarint(d.b)
	if w <= 0 || n > most || d.wrong {
		d.wrong = true
		return 0
	}
	d.b = d.b[w:]
	return n
}

// number reads how many fields follow that take at least so many bytes each.
func (d *decoder) number(least int) int { return int(d.unsigned(uint64(len(d.b) / least))) }

func (d *decoder) partition() int32 { return int32(d.unsigned(math.MaxInt32)) }
func (d *decoder) offset() int64    { return int64(d.unsigned(math.MaxInt64)) }

func (d *decoder) signed() int64 {
	n, w := binary.Varint(d.b)
	if w <= 0 || d.wrong {
		d.wrong = true
		return 0
	}
	d.b = d.b[w:]
	return n
}

func (d *decoder) id() (id ID) {
	if d.wrong || len(d.b) < len(id) {
		d.wrong = true
		return id
	}
	copy(id[:], d.b)
	d.b = d.b[len(id):]
	return id
}
