package codec

import "errors"

// Func is a codec out of two functions, which must keep to what queue.Codec asks of AppendEncode and Decode.
type Func[T any] struct {
	Type   string                          // what ContentType returns; "": messages do not say
	Append func([]byte, T) ([]byte, error) // nil: values cannot be encoded
	Parse  func([]byte) (T, error)         // nil: bytes cannot be decoded
}

var (
	errNoAppend = errors.New("codec: a Func without Append does not encode")
	errNoParse  = errors.New("codec: a Func without Parse does not decode")
)

// ContentType is f.Type.
func (f Func[T]) ContentType() string { return f.Type }

// AppendEncode calls f.Append.
func (f Func[T]) AppendEncode(dst []byte, v T) ([]byte, error) {
	if f.Append == nil {
		return dst, errNoAppend
	}
	return f.Append(dst, v)
}

// Decode calls f.Parse.
func (f Func[T]) Decode(data []byte) (T, error) {
	if f.Parse == nil {
		var none T
		return none, errNoParse
	}
	return f.Parse(data)
}
