package compress

import (
	"bytes"
	"errors"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// zstdCodec is RFC 8878. Its encoders and decoders are of the kind that works in the caller's goroutine. Frames that it makes say their
// size, and have no sum: whoever stores bytes sums them as they are stored.
type zstdCodec struct {
	encoders pool[*zstd.Encoder]
	decoders pool[*zstd.Decoder] // of frames that say their size
	streams  pool[*zstdStream]   // of anything else
}

// zstdStream expands piece by piece.
type zstdStream struct {
	*zstd.Decoder
	src bytes.Reader
}

// maxWindow bounds what a stream remembers of a frame, which may ask for more than it needs: what the RFC asks every decoder to grant.
const maxWindow = 8 << 20

// Zstd returns the codec of RFC 8878: dense, and fast to expand. It expands several frames, one behind the other. Frames that do not say their size and
// ask for a window of more than 8 MiB are ErrTooLarge.
func Zstd(l Level) Codec {
	levels := [...]zstd.EncoderLevel{
		Default: zstd.SpeedDefault, Fast: zstd.SpeedFastest, Better: zstd.SpeedBetterCompression, Best: zstd.SpeedBestCompression,
	}
	level := levels[min(l, Best)]
	c := &zstdCodec{}
	c.encoders.make = func() *zstd.Encoder {
		e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
			zstd.WithZeroFrames(true), zstd.WithLowerEncoderMem(true)) // fails for options that cannot be
		return e
	}
	c.decoders.make = func() *zstd.Decoder {
		d, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true)) // the same
		return d
	}
	c.streams.make = func() *zstdStream {
		d, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true)) // the same
		return &zstdStream{Decoder: d}
	}
	return c
}

func (c *zstdCodec) ID() ID       { return IDZstd }
func (c *zstdCodec) Name() string { return IDZstd.String() }

func (c *zstdCodec) AppendCompress(dst, src []byte) ([]byte, error) {
	e := c.encoders.take()
	defer c.encoders.give(e)
	return e.EncodeAll(src, dst), nil
}

func (c *zstdCodec) AppendExpand(dst, src []byte, limit int) ([]byte, error) {
	limit = max(limit, 0)
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return dst, corrupt(IDZstd, err)
	}
	switch {
	case !h.HasFCS:
		return c.expandStream(dst, src, limit)
	case h.FrameContentSize > uint64(limit):
		return dst, ErrTooLarge
	}
	d := c.decoders.take()
	defer c.decoders.give(d)
	size := int(h.FrameContentSize)
	out := slices.Grow(dst, size)
	out, err := d.DecodeAll(src, out[:len(out):len(out)+size]) // it goes by the capacity
	if err != nil {                                            // corrupt, or there are more frames behind the first: it does not tell
		return c.expandStream(dst, src, limit)
	}
	return out, nil
}

func (c *zstdCodec) expandStream(dst, src []byte, limit int) ([]byte, error) {
	s := c.streams.take()
	defer c.streams.give(s)
	s.src.Reset(src)
	defer s.src.Reset(nil)     // lets go of src
	defer s.Decoder.Reset(nil) // the same
	err := s.Decoder.Reset(&s.src)
	if err == nil {
		dst, err = appendAll(dst, s.Decoder, limit, min(limit, 4*len(src)))
	}
	switch {
	case err == nil || errors.Is(err, ErrTooLarge):
		return dst, err
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return dst, ErrTooLarge
	}
	return dst, corrupt(IDZstd, err)
}
