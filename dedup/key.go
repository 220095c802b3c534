package dedup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Key is what a [Filter] remembers: 32 bytes, usually those of [KeyOf]. Any other 32 bytes will do too, a random ID and zeros for instance.
type Key [32]byte

// shortFields is how many bytes of fields KeyOf hashes without an allocation.
const shortFields = 512

// KeyOf returns the SHA-256 sum of the fields, each behind its length. Two lists of fields that differ never give the same bytes to the sum: ("ab", "c") is not
// ("a", "bc"), nor is one field fewer the same as an empty one. A nil field is an empty one. The key of given fields is the same in every
// process and, from the first release on, in every version, so keys may be stored.
//
// For a message it is usual to take topic, key and value. Take also what makes two of them different that look alike, if that is wanted: an
// order for two books and another one for two books are the same bytes.
func KeyOf(fields ...[]byte) Key {
	var short [shortFields]byte
	if size := fieldsSize(fields); size > len(short) {
		return sha256.Sum256(appendFields(make([]byte, 0, size), fields))
	}
	return sha256.Sum256(appendFields(short[:0], fields))
}

// String returns k as 64 hexadecimal digits, as a key for [Idempotent.Do] for instance.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// appendFields appends each field behind its length as a varint. No list is the beginning of another one's bytes but of one that has more fields, so the bytes
// tell the list.
func appendFields(dst []byte, fields [][]byte) []byte {
	for _, field := range fields {
		dst = binary.AppendUvarint(dst, uint64(len(field)))
		dst = append(dst, field...)
	}
	return dst
}

// fieldsSize returns how many bytes appendFields appends, or a few more.
func fieldsSize(fields [][]byte) int {
	size := 0
	for _, field := range fields {
		size += len(field) + 1
		if len(field) >= 0x80 {
			size += binary.MaxVarintLen64 - 1
		}
	}
	return size
}
