package queue

import (
	"bytes"
	"errors"
	"runtime/debug"
	"slices"
	"strconv"
)

// Topic is a topic whose messages are values of one type: its name, how values become bytes, and perhaps what their keys and IDs are. It is a plain value, bound to no broker, and
// safe for concurrent use; a package variable is where it belongs. Topics are made by [TopicOf]; the methods of the zero Topic return a *ConfigError.
//
// The messages are like all others: they may be published and consumed without it, and whoever does needs no Go.
type Topic[T any] struct {
	name  string
	codec Codec[T]
	key   func(T) string
	id    func(T) string
	wire  *wire // nil: of the zero Topic
}

// wire is what the copies of a Topic share.
type wire struct {
	contentType []byte
	headers     Headers // of every message that is not compressed; never changed
}

// TopicOf returns the topic of that name with values that c encodes. What is wrong with the name, or with a nil codec, shows at the first call that needs it.
func TopicOf[T any](name string, c Codec[T]) Topic[T] {
	w := &wire{}
	if c != nil {
		w.contentType = []byte(c.ContentType())
	}
	if len(w.contentType) > 0 {
		w.headers = Headers{{Key: HeaderContentType, Value: w.contentType}}
	}
	return Topic[T]{name: name, codec: c, wire: w}
}

// Keyed returns the topic with a key for each message: what key says, which is called by many goroutines. "" is a key like any other. Without it messages have
// no key, and no order.
func (t Topic[T]) Keyed(key func(T) string) Topic[T] {
	t.key = key
	return t
}

// Identified returns the topic with an ID for each message, which is Message.ID: within TopicConfig.Dedup a value whose ID was published is not stored again. id is called by many
// goroutines; "" is no ID.
func (t Topic[T]) Identified(id func(T) string) Topic[T] {
	t.id = id
	return t
}

// Name returns the topic's name.
func (t Topic[T]) Name() string { return t.name }

// Message returns the message of v, to be changed and published anywhere: its memory is the caller's. *EncodeError for a value that the codec refuses.
func (t Topic[T]) Message(v T) (Message, error) {
	var m Message
	if _, err := t.encode(nil, v, &m); err != nil {
		return Message{}, err
	}
	m.Headers = slices.Clone(m.Headers)
	for i := range m.Headers {
		m.Headers[i].Value = bytes.Clone(m.Headers[i].Value)
	}
	return m, nil
}

// encode makes m the message of v, whose key and value it appends to buf. The headers of m are not to be changed.
func (t Topic[T]) encode(buf []byte, v T, m *Message) ([]byte, error) {
	if err := t.check(); err != nil {
		return buf, err
	}
	m.Topic, m.Headers = t.name, t.wire.headers
	at := len(buf)
	if t.key != nil {
		buf = append(buf, t.key(v)...)
	}
	key := len(buf)
	buf, err := t.appendValue(buf, v, m)
	if err != nil {
		return buf[:at], &EncodeError{Topic: t.name, Err: err}
	}
	if t.key != nil {
		if m.Key = buf[at:key:key]; m.Key == nil {
			m.Key = []byte{}
		}
	}
	m.Value = buf[key:len(buf):len(buf)]
	if t.id != nil {
		m.ID = t.id(v)
	}
	return buf, nil
}

// appendValue appends the bytes of v, and puts into the headers of m what they are compressed with.
func (t Topic[T]) appendValue(dst []byte, v T, m *Message) ([]byte, error) {
	c, ok := t.codec.(CompressingCodec[T])
	if !ok {
		return t.codec.AppendEncode(dst, v)
	}
	out, algorithm, err := c.AppendCompressed(dst, v)
	if err == nil && algorithm != "" {
		m.Headers = t.wire.headers.With(HeaderCompression, algorithm)
	}
	return out, err
}

func (t Topic[T]) check() error {
	if t.wire != nil && t.codec != nil {
		return nil
	}
	return &ConfigError{Subject: "topic " + strconv.Quote(t.name), Faults: []Fault{{Field: "codec", Rule: "must not be nil; a Topic is made by TopicOf"}}}
}

// Decode returns the value of a message: of a Record that was read, or the one in a Delivery. It shares no memory with r. The error is a *DecodeError; of the zero Topic a
// *ConfigError. In front
// of handlers Consume and the others do it.
func (t Topic[T]) Decode(r *Record) (T, error) { return t.decodeRecord(r, false) }

// decodeRecord is Decode. owned says that the bytes of r may become the value's.
func (t Topic[T]) decodeRecord(r *Record, owned bool) (T, error) {
	var none T
	if err := t.check(); err != nil {
		return none, err
	}
	v, err := t.decode(r, owned)
	if err != nil {
		return none, &DecodeError{Topic: r.Topic, ContentType: r.Headers.Get(HeaderContentType), Err: err}
	}
	return v, nil
}

// decode contains a codec that panics: it is the message's fault as far as anybody knows, and the other messages are not to suffer.
func (t Topic[T]) decode(r *Record, owned bool) (v T, err error) {
	algorithm, err := t.look(r)
	if err != nil {
		return v, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	if algorithm != "" {
		if c, ok := t.codec.(CompressingCodec[T]); ok {
			return c.DecodeCompressed(r.Value, algorithm)
		}
		return v, errCompressed
	}
	if owned {
		if c, ok := t.codec.(OwningCodec[T]); ok {
			return c.DecodeOwned(r.Value)
		}
	}
	return t.codec.Decode(r.Value)
}

var errCompressed = errors.New(`the header "compression" says that it is compressed, and the topic's codec does not expand: see codec.Compressed`)

// look finds in the headers of r what it is compressed with, and refuses content types that the codec does not read.
func (t Topic[T]) look(r *Record) (algorithm string, err error) {
	for i := range r.Headers {
		switch h := &r.Headers[i]; h.Key {
		case HeaderCompression:
			if algorithm == "" {
				algorithm = string(h.Value)
			}
		case HeaderContentType:
			if len(h.Value) > 0 && !bytes.Equal(h.Value, t.wire.contentType) {
				if err := reads(t.codec, string(h.Value)); err != nil {
					return "", err
				}
			}
		}
	}
	return algorithm, nil
}
