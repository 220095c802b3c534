package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// JSON encodes values with encoding/json. Fields that the type does not have are ignored, and those that the bytes do not have keep their zero value: producers and
// consumers may be of different versions. A type must not keep what its UnmarshalJSON is given, as the interface says.
type JSON[T any] struct {
	Strict bool // fields that the type does not have are errors
}

// ContentType is application/json.
func (JSON[T]) ContentType() string { return "application/json" }

// ReadsContentType allows application/json with parameters, text/json, and whatever ends in +json.
func (JSON[T]) ReadsContentType(contentType string) bool {
	t := strings.ToLower(mediaType(contentType))
	return t == "application/json" || t == "text/json" || strings.HasSuffix(t, "+json")
}

// AppendEncode appends what json.Marshal makes of v. It fails for what JSON has not: NaN, channels, circles.
func (JSON[T]) AppendEncode(dst []byte, v T) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	if cap(dst) == 0 {
		return b, nil
	}
	return append(dst, b...), nil
}

// Decode makes a value of one JSON value and nothing behind it.
func (j JSON[T]) Decode(data []byte) (T, error) {
	var v, none T
	unmarshal := json.Unmarshal
	if j.Strict {
		unmarshal = strict
	}
	if err := unmarshal(data, &v); err != nil {
		return none, err
	}
	return v, nil
}

var errTrailing = errors.New("codec: there is more behind the JSON value")

func strict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errTrailing
	}
	return nil
}
