package storage

import (
	"encoding/binary"
	"errors"
	"iter"
)

// Headers is an encoded, ordered list of pairs: for each the length of the key, the key, the length of the value, the value, lengths as unsigned varints.
// They are kept encoded because most readers look at none of them.
type Headers []byte

// ErrHeaders says that Headers are not what AppendHeader makes.
var ErrHeaders = errors.New("storage: malformed headers")

// AppendHeader appends a pair to h and returns the longer list.
func AppendHeader(h Headers, key string, value []byte) Headers {
	h = binary.AppendUvarint(h, uint64(len(key)))
	h = append(h, key...)
	h = binary.AppendUvarint(h, uint64(len(value)))
	return append(h, value...)
}

// All ranges over the pairs, in order. Values are parts of h. It ends early where h is malformed; see Check.
func (h Headers) All() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for rest := []byte(h); len(rest) > 0; {
			key, value, next, ok := cutHeader(rest)
			if !ok || !yield(string(key), value) {
				return
			}
			rest = next
		}
	}
}

// Len counts the pairs.
func (h Headers) Len() int {
	n := 0
	for rest := []byte(h); len(rest) > 0; n++ {
		_, _, next, ok := cutHeader(rest)
		if !ok {
			return n
		}
		rest = next
	}
	return n
}

// Check returns ErrHeaders unless h is a whole number of pairs.
func (h Headers) Check() error {
	for rest := []byte(h); len(rest) > 0; {
		_, _, next, ok := cutHeader(rest)
		if !ok {
			return ErrHeaders
		}
		rest = next
	}
	return nil
}

func cutHeader(b []byte) (key, value, rest []byte, ok bool) {
	if key, b, ok = cutBytes(b); !ok {
		return nil, nil, nil, false
	}
	value, rest, ok = cutBytes(b)
	return key, value, rest, ok
}

func cutBytes(b []byte) (field, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	end := w + int(n)
	return b[w:end:end], b[end:], true
}
