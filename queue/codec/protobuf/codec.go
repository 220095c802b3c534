// Package protobuf is a codec for typed topics whose values are protocol buffers, over google.golang.org/protobuf. It is a module of its own, so that who does not need it does
// not have it.
//
// Producers and consumers may have different versions of a message, as long as numbers keep their meaning: what a message type does not have is kept as unknown fields, or dropped
// if [Codec].DiscardUnknown says so, and what the bytes do not have is its default. The content type names the message, so that bytes of another message, which often decode
// to something, are refused.
package protobuf

import (
	"errors"
	"mime"
	"strings"

	"google.golang.org/protobuf/proto"
)

const mediaType = "application/protobuf"

// Codec is a queue.Codec of messages of type M, a pointer to a generated struct: protobuf.Codec[*pb.Order]{}. It is safe for concurrent use.
type Codec[M proto.Message] struct {
	New            func() M // makes an empty message; nil: M's own. It is for types whose nil pointer does not know what it is, such as *dynamicpb.Message
	DiscardUnknown bool     // fields that M does not have are dropped when a message is decoded; false: they are encoded again with it
	Deterministic  bool     // maps are encoded in order of their keys: the same build of the program makes the same bytes of the same message
}

// ErrNil is what encoding a nil message returns: it would be an empty one to whoever decodes it.
var ErrNil = errors.New("protobuf: a nil message")

var errNoType = errors.New("protobuf: the codec's message type is an interface, and it has no New")

// empty returns a new message; false if the codec does not know how.
func (c Codec[M]) empty() (m M, ok bool) {
	switch {
	case c.New != nil:
		return c.New(), true
	case any(m) == nil:
		return m, false
	}
	m, ok = m.ProtoReflect().New().Interface().(M)
	return m, ok
}

// ContentType is application/protobuf, with the full name of the message as parameter: application/protobuf; proto=acme.Order.
func (c Codec[M]) ContentType() string {
	if name := c.name(); name != "" {
		return mediaType + "; proto=" + name
	}
	return mediaType
}

// name returns the full name of the message.
func (c Codec[M]) name() string {
	m, ok := c.empty()
	if !ok {
		return ""
	}
	return string(m.ProtoReflect().Descriptor().FullName())
}

// ReadsContentType allows application/protobuf, application/x-protobuf and application/vnd.google.protobuf, with the name of the message in a parameter proto or messageType, or
// without it. Another name is another message.
func (c Codec[M]) ReadsContentType(contentType string) bool {
	t, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch t {
	case mediaType, "application/x-protobuf", "application/vnd.google.protobuf":
	default:
		return false
	}
	for key, name := range parameters {
		if key = strings.ToLower(key); (key == "proto" || key == "messagetype") && name != c.name() {
			return false
		}
	}
	return true
}

// AppendEncode appends m in wire format. It fails for a nil message (ErrNil), for required fields that are not set, and for text that is not UTF-8.
func (c Codec[M]) AppendEncode(dst []byte, m M) ([]byte, error) {
	if any(m) == nil || !m.ProtoReflect().IsValid() {
		return dst, ErrNil
	}
	out, err := proto.MarshalOptions{Deterministic: c.Deterministic}.MarshalAppend(dst, m)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// Decode makes a message of all of data. Messages that nest deeper than 10,000 are refused.
func (c Codec[M]) Decode(data []byte) (M, error) {
	m, ok := c.empty()
	if !ok {
		return m, errNoType
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: c.DiscardUnknown}).Unmarshal(data, m); err != nil {
		var none M
		return none, err
	}
	return m, nil
}
