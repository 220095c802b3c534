// Package avro is a codec for typed topics whose values are encoded with Apache Avro, over github.com/twmb/avro. It is a module of its own, so that who does not need it does
// not have it.
//
// Each message is in Avro's single-object encoding: the fingerprint of the schema that it was written with, and the value. A consumer knows its own schema, and those that producers had before or will have; each
// message is read with the one that it was written with, into the consumer's: fields that were added have their defaults, those that were removed are skipped, those that were renamed are found by
// their aliases, and numbers are widened. There is no registry to ask: a schema that the codec was not given is an error.
package avro

import (
	"errors"
	"fmt"

	"github.com/twmb/avro"
)

// Codec is a queue.Codec of values of type T, which github.com/twmb/avro maps to a schema: a struct with avro tags, most often. It is made by [New], and safe for concurrent use.
type Codec[T any] struct {
	schema  *avro.Schema             // of what is written
	readers map[[8]byte]*avro.Schema // by the fingerprint of the schema that was written with
}

var (
	// ErrSchema: a message was written with a schema that the codec was not given. Give it to New.
	ErrSchema = errors.New("avro: an unknown schema")

	errNoSchema = errors.New("avro: a codec without a schema is not made by New")
	errTrailing = errors.New("avro: there is more behind the value")
)

// New returns a codec that writes with schema, and reads what was written with it or with one of others, which are all that messages in the topic were, or may come to be,
// written with. It fails for schemas that cannot be read as schema says: a field that was added without a default, for instance.
func New[T any](schema *avro.Schema, others ...*avro.Schema) (Codec[T], error) {
	if schema == nil {
		return Codec[T]{}, errNoSchema
	}
	own := fingerprint(schema)
	c := Codec[T]{schema: schema, readers: map[[8]byte]*avro.Schema{own: schema}}
	for i, other := range others {
		if other == nil {
			return Codec[T]{}, fmt.Errorf("avro: schema %d of %d others is nil", i+1, len(others))
		}
		reader, err := avro.Resolve(other, schema)
		if err != nil {
			return Codec[T]{}, fmt.Errorf("avro: what was written with schema %d of %d others cannot be read: %w", i+1, len(others), err)
		}
		if f := fingerprint(other); f != own {
			c.readers[f] = reader
		}
	}
	return c, nil
}

// Must returns c, and panics if there is an error. It is for package variables: avro.Must(avro.New[Order](schema)).
func Must[T any](c Codec[T], err error) Codec[T] {
	if err != nil {
		panic(err)
	}
	return c
}

// fingerprint is that of the single-object encoding.
func fingerprint(s *avro.Schema) [8]byte {
	h := avro.NewRabin()
	h.Write(s.Canonical())
	sum := h.Sum64()
	var f [8]byte
	for i := range f {
		f[i] = byte(sum >> (8 * i))
	}
	return f
}

// ContentType is avro/binary.
func (Codec[T]) ContentType() string { return "avro/binary" }

// AppendEncode appends v in single-object encoding. It fails for values that the schema does not have.
func (c Codec[T]) AppendEncode(dst []byte, v T) ([]byte, error) {
	if c.schema == nil {
		return dst, errNoSchema
	}
	out, err := c.schema.AppendSingleObject(dst, &v)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// Decode makes a value of all of data.
func (c Codec[T]) Decode(data []byte) (T, error) {
	var v, none T
	if c.schema == nil {
		return none, errNoSchema
	}
	f, body, err := avro.SingleObjectFingerprint(data)
	if err != nil {
		return none, err
	}
	reader := c.readers[f]
	if reader == nil {
		return none, fmt.Errorf("%w: fingerprint %x, and %d are known", ErrSchema, f, len(c.readers))
	}
	rest, err := reader.Decode(body, &v)
	switch {
	case err != nil:
		return none, err
	case len(rest) > 0:
		return none, fmt.Errorf("%w: %d bytes", errTrailing, len(rest))
	}
	return v, nil
}
