package storagetest

import (
	"encoding/binary"
	"errors"

	"github.com/leatmq/leat/storage"
)

// mark says which record a value belongs to, so that what is read back tells by itself what it is.
type mark struct {
	entry uint64 // its number in the history
	index uint32 // of the record within the entry, over all batches
	total uint32 // records of the entry
}

// A value is the mark, its length, and bytes that follow from the mark: 8 + 4 + 4 + 4, then filler.
const valueHeader = 20

// minValue is the shortest value that carries a mark.
const minValue = valueHeader

var errForeign = errors.New("a value that nobody wrote")

func (m mark) value(size int) []byte {
	size = max(size, minValue)
	b := make([]byte, size)
	binary.LittleEndian.PutUint64(b, m.entry)
	binary.LittleEndian.PutUint32(b[8:], m.index)
	binary.LittleEndian.PutUint32(b[12:], m.total)
	binary.LittleEndian.PutUint32(b[16:], uint32(size))
	m.fill(b[valueHeader:])
	return b
}

// filler is the bytes that fill a value, eight at a time: they differ from record to record and from place to place.
type filler uint64

func (m mark) filler() filler {
	return filler(m.entry<<20 ^ uint64(m.index) ^ 0x9e3779b97f4a7c15)
}

func (f *filler) next() (word [8]byte) {
	x := *f
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*f = x
	binary.LittleEndian.PutUint64(word[:], uint64(x))
	return word
}

func (m mark) fill(b []byte) {
	for f := m.filler(); len(b) > 0; {
		word := f.next()
		b = b[copy(b, word[:]):]
	}
}

// fills tells whether all of b is as fill writes it.
func (m mark) fills(b []byte) bool {
	for f := m.filler(); len(b) > 0; {
		word := f.next()
		n := min(len(b), len(word))
		if string(b[:n]) != string(word[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

// markOf checks every byte of a record that was read.
func markOf(r *storage.Record) (mark, error) {
	b := r.Value
	if len(b) < minValue || int(binary.LittleEndian.Uint32(b[16:])) != len(b) {
		return mark{}, errForeign
	}
	m := mark{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])}
	if !m.fills(b[valueHeader:]) || string(r.Key) != string(m.key()) || string(r.Headers) != string(m.headers()) {
		return m, errForeign
	}
	return m, nil
}

func (m mark) key() []byte {
	if m.index%3 == 0 {
		return nil
	}
	return binary.AppendUvarint(nil, m.entry%16)
}

func (m mark) headers() storage.Headers {
	if m.index%4 != 1 {
		return nil
	}
	return storage.AppendHeader(nil, "entry", binary.AppendUvarint(nil, m.entry))
}

func (m mark) record(size int) storage.Record {
	return storage.Record{Key: m.key(), Value: m.value(size), Headers: m.headers()}
}
