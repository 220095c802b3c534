package queue

import (
	"errors"
	"fmt"
	"strings"
)

// The headers in which a [Topic] says what the bytes of a value are.
const (
	HeaderContentType = "content-type" // Codec.ContentType
	HeaderCompression = "compression"  // the algorithm that the value was compressed with; absent: it was not
)

// Codec turns values into the bytes of messages and back. It is safe for concurrent use. Package queue/codec has some.
type Codec[T any] interface {
	// AppendEncode appends the bytes of v to dst and returns the result. What is in front of them is left as it is. It must not keep dst. An error says
	// that v cannot be encoded, ever.
	AppendEncode(dst []byte, v T) ([]byte, error)
	// Decode makes a value of what AppendEncode appended, or returns an error for what never can be a value. Data comes from anywhere: it must neither panic nor take
	// more memory than in proportion to data. It must not change data, and the value shares nothing with it.
	Decode(data []byte) (T, error)
	// ContentType names the format, as a media type: application/json. It is the same at every call, and travels in the header "content-type". "": none does.
	ContentType() string
}

// ContentTypeReader is implemented by codecs that read more than their own content type, or look at its parameters. Other codecs read what has their media type,
// whatever its parameters are.
type ContentTypeReader interface {
	// ReadsContentType tells whether Decode may be given a message that says it is of contentType, which is not empty, nor what ContentType returns.
	ReadsContentType(contentType string) bool
}

// CompressingCodec is implemented by codecs that compress some values, and say so beside the bytes. Their AppendEncode, which cannot say so, does not compress.
type CompressingCodec[T any] interface {
	Codec[T]
	// AppendCompressed is AppendEncode, and tells what the bytes are compressed with: the header "compression"; "": they are not.
	AppendCompressed(dst []byte, v T) (out []byte, algorithm string, err error)
	// DecodeCompressed is Decode of bytes that were compressed with algorithm, which is not empty.
	DecodeCompressed(data []byte, algorithm string) (T, error)
}

// OwningCodec is implemented by codecs whose values can be made of the memory of the bytes that they are decoded from, which saves a copy.
type OwningCodec[T any] interface {
	Codec[T]
	// DecodeOwned is Decode of data that is the value's from then on.
	DecodeOwned(data []byte) (T, error)
}

// DecodeError is the failure of a message whose bytes are no value of its topic's type. No other attempt helps: such a message is not tried again, whatever
// Failure says of other errors, and goes at once where exhausted ones go.
type DecodeError struct {
	Topic       string // of the message
	ContentType string // what the message says it is; "": nothing
	Err         error  // what is wrong with it; *PanicError if the codec panicked
}

// Error names the topic and what the message says it is.
func (e *DecodeError) Error() string {
	as := ""
	if e.ContentType != "" {
		as = fmt.Sprintf(", %.100q", e.ContentType)
	}
	return fmt.Sprintf("queue: a message of topic %q%s cannot be decoded: %v", e.Topic, as, e.Err)
}

// Unwrap returns what the codec said.
func (e *DecodeError) Unwrap() error { return e.Err }

// Permanent makes retry.Classify find that no other attempt helps.
func (e *DecodeError) Permanent() bool { return true }

// EncodeError says that a value cannot be a message of its topic. Nothing was published.
type EncodeError struct {
	Topic string
	Err   error // what the codec said
}

// Error names the topic.
func (e *EncodeError) Error() string {
	return fmt.Sprintf("queue: a value cannot be encoded for topic %q: %v", e.Topic, e.Err)
}

// Unwrap returns what the codec said.
func (e *EncodeError) Unwrap() error { return e.Err }

// Permanent makes retry.Classify find that no other attempt helps: the handler that made the value makes it again.
func (e *EncodeError) Permanent() bool { return true }

// ErrContentType: a message says that it is of another content type than its topic's codec reads. It is in a *DecodeError.
var ErrContentType = errors.New("queue: another content type")

// reads returns nil if the codec c reads what says it is of type have.
func reads[T any](c Codec[T], have string) error {
	if r, ok := c.(ContentTypeReader); ok {
		if r.ReadsContentType(have) {
			return nil
		}
	} else if strings.EqualFold(mediaType(have), mediaType(c.ContentType())) {
		return nil
	}
	return fmt.Errorf("%w: its codec is of %q", ErrContentType, c.ContentType())
}

// mediaType returns a content type without its parameters.
func mediaType(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(t)
}
