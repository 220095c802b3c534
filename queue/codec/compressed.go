package codec

import (
	"errors"
	"fmt"

	"github.com/leatmq/leat/compress"
)

// Plain is a codec whose bytes are compressed by [Compressed]. It is queue.Codec.
type Plain[T any] interface {
	// These are queue.Codec's, and mean what they mean there.
	AppendEncode(dst []byte, v T) ([]byte, error)
	Decode(data []byte) (T, error)
	ContentType() string
}

// Compressed compresses what another codec makes, with the codec and at the level that the packer's selector says:
//
//	packer := compress.NewPacker(compress.Adaptive(compress.Zstd(compress.Better), 0), compress.Set{})
//	orders := queue.TopicOf("orders", codec.Compressed[Order]{Plain: codec.JSON[Order]{}, Packer: packer})
//
// What does not shrink is left alone, and the header "compression" names the algorithm of what was compressed: consumers read messages that are compressed, in whatever way the packer knows, and
// those that are not. Those that package queue/compressed packed are read too, and the other way round. The content type is that of Plain.
//
// It is for messages of some size, and for engines that do not compress: blocks of many messages, which the level Compressed of package storage makes, shrink more than each alone. AppendEncode, which has no header to
// say so, does not compress.
type Compressed[T any] struct {
	Plain[T]
	Packer   *compress.Packer // counts, too; nil: nothing is compressed, and what comes compressed is an error
	MaxBytes int              // what expands to more is refused before it is there; 0: 8 MiB
}

const defaultMaxBytes = 8 << 20

// ErrCompression: a message says that it is compressed with something that the codec does not expand.
var ErrCompression = errors.New("codec: an unknown compression")

// ReadsContentType is Plain's.
func (c Compressed[T]) ReadsContentType(contentType string) bool {
	if r, ok := c.Plain.(interface{ ReadsContentType(string) bool }); ok {
		return r.ReadsContentType(contentType)
	}
	return sameType(contentType, c.ContentType())
}

// AppendCompressed appends the bytes of v, and returns the name of the algorithm that they are compressed with: "" if they are not.
func (c Compressed[T]) AppendCompressed(dst []byte, v T) (_ []byte, algorithm string, err error) {
	at := len(dst)
	out, err := c.AppendEncode(dst, v)
	if err != nil || c.Packer == nil || len(out)-at > c.most() {
		return out, "", err
	}
	both, id := c.Packer.Append(out, compress.Sample{Data: out[at:], ContentType: c.ContentType()}) // behind it, then in its place
	if id == 0 {
		return out, "", nil
	}
	return append(both[:at], both[len(out):]...), id.String(), nil
}

// DecodeCompressed makes a value of bytes that were compressed with the algorithm of that name. Errors are ErrCompression, those of compress.Packer.Expand, and Plain's.
func (c Compressed[T]) DecodeCompressed(data []byte, algorithm string) (T, error) {
	var none T
	id, ok := compress.ByName(algorithm)
	if !ok || c.Packer == nil {
		return none, fmt.Errorf("%w: %.100q", ErrCompression, algorithm)
	}
	plain, err := c.Packer.Expand(nil, data, id, -1, c.most())
	if err != nil {
		return none, err
	}
	if owning, ok := c.Plain.(interface{ DecodeOwned([]byte) (T, error) }); ok {
		return owning.DecodeOwned(plain)
	}
	return c.Decode(plain)
}

func (c Compressed[T]) most() int {
	if c.MaxBytes <= 0 {
		return defaultMaxBytes
	}
	return c.MaxBytes
}
