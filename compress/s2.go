package compress

import (
	"errors"
	"slices"

	"github.com/klauspost/compress/s2"
)

// s2Codec is blocks of snappy, or of its extension s2, which both begin with their size. Neither has a sum.
type s2Codec struct {
	id     ID
	encode func(dst, src []byte) []byte
}

// Snappy returns the codec of Google's snappy blocks: very fast, not dense.
func Snappy() Codec { return &s2Codec{IDSnappy, s2.EncodeSnappy} }

// S2 returns the codec of s2 blocks, an extension of snappy: as fast, and denser. It expands snappy's, too.
func S2(l Level) Codec {
	encoders := [...]func(dst, src []byte) []byte{Default: s2.Encode, Fast: s2.Encode, Better: s2.EncodeBetter, Best: s2.EncodeBest}
	return &s2Codec{IDS2, encoders[min(l, Best)]}
}

func (c *s2Codec) ID() ID       { return c.id }
func (c *s2Codec) Name() string { return c.id.String() }

func (c *s2Codec) AppendCompress(dst, src []byte) ([]byte, error) {
	most := s2.MaxEncodedLen(len(src))
	if most < 0 {
		return dst, ErrTooLarge
	}
	out := slices.Grow(dst, most)
	n := len(c.encode(out[len(out):cap(out)], src))
	return out[:len(out)+n], nil
}

func (c *s2Codec) AppendExpand(dst, src []byte, limit int) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	switch {
	case errors.Is(err, s2.ErrTooLarge):
		return dst, ErrTooLarge
	case err != nil:
		return dst, corrupt(c.id, err)
	case n > max(limit, 0):
		return dst, ErrTooLarge
	}
	out := slices.Grow(dst, n)
	if _, err := s2.Decode(out[len(out):len(out)+n], src); err != nil {
		return dst, corrupt(c.id, err)
	}
	return out[:len(out)+n], nil
}
