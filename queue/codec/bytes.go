package codec

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

// Bytes takes bytes as they are. It reads messages of every content type. No bytes are decoded as nil.
type Bytes struct {
	Type string // what the bytes are: image/png; "": messages do not say
}

// ContentType is b.Type.
func (b Bytes) ContentType() string { return b.Type }

// ReadsContentType is always true.
func (Bytes) ReadsContentType(string) bool { return true }

// AppendEncode appends v.
func (Bytes) AppendEncode(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }

// Decode returns a copy of data.
func (Bytes) Decode(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, nil
	}
	return bytes.Clone(data), nil
}

// DecodeOwned returns data.
func (Bytes) DecodeOwned(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, nil
	}
	return data, nil
}

// String takes text in UTF-8. What is not is an error, in both directions. It reads messages of every content type that are such text: JSON, for instance.
type String struct{}

var errNotUTF8 = errors.New("codec: not UTF-8")

// ContentType is text/plain; charset=utf-8.
func (String) ContentType() string { return "text/plain; charset=utf-8" }

// ReadsContentType is always true.
func (String) ReadsContentType(string) bool { return true }

// AppendEncode appends the bytes of v.
func (String) AppendEncode(dst []byte, v string) ([]byte, error) {
	if !utf8.ValidString(v) {
		return dst, errNotUTF8
	}
	return append(dst, v...), nil
}

// Decode returns data as a string.
func (String) Decode(data []byte) (string, error) {
	if !utf8.Valid(data) {
		return "", errNotUTF8
	}
	return string(data), nil
}
