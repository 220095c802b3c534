package frame

import (
	"encoding/binary"

	"github.com/leatmq/leat/compress"
)

// The body of a Block. What is compressed is Batch frames, one behind the other, each as it would stand without the block, with padding, header and
// sums of its own; they are of the block's partition, their offsets ascend within the block's own, and their records are as many as the block's.
//
//	raw length    uvarint, from HeaderSize to MaxRaw
//	the rest      compressed with the codec in the header
//
// The block's base offset is that of the first frame, its end that of the last, and its time and LSN too are those of the last.

// MaxRaw bounds what a Block's body expands to. One frame of any size fits.
const MaxRaw = HeaderSize + MaxBody

// AppendBlock appends frames as the body of a Block. The error is the codec's.
func AppendBlock(dst []byte, c compress.Codec, frames []byte) ([]byte, error) {
	body, err := c.AppendCompress(binary.AppendUvarint(dst, uint64(len(frames))), frames)
	if err != nil {
		return dst, err
	}
	return body, nil
}

// ExpandBlock appends the frames in the body of a Block with the header h, whose sum was checked, to dst, and checks them: their sums, and that they are
// what a block of that header holds. Nothing is allocated for a body that says it expands to more than MaxRaw. Errors are ErrField, errors of
// package compress, and those of Next.
func ExpandBlock(dst []byte, h *Header, body []byte, c compress.Codec, s Seed) ([]byte, error) {
	raw, n := binary.Uvarint(body)
	if n <= 0 || raw < HeaderSize || raw > MaxRaw {
		return dst, ErrField
	}
	frames, err := c.AppendExpand(dst, body[n:], int(raw))
	if err != nil {
		return dst, err
	}
	if uint64(len(frames)-len(dst)) != raw {
		return dst, ErrField
	}
	if err := h.checkFrames(frames[len(dst):], s); err != nil {
		return dst, err
	}
	return frames, nil
}

// Skim returns the offset behind the frame at the start of src and the frame's size, without a look at sums: for frames that were checked.
func Skim(src []byte) (next int64, size int) {
	_ = src[HeaderSize-1]
	le := binary.LittleEndian
	return int64(le.Uint64(src[24:])) + int64(le.Uint32(src[36:])), Size(int(le.Uint32(src[4:])))
}

// checkFrames checks that a block with the header h may hold frames.
func (h *Header) checkFrames(frames []byte, s Seed) error {
	next, count, last := h.Base, uint32(0), Header{}
	for first := true; len(frames) > 0; first = false {
		f, _, size, err := Next(frames, s)
		if err != nil {
			return err
		}
		if f.Kind != Batch || f.Partition != h.Partition || f.Base < next || first && f.Base != next || f.Next() > h.Next() || f.Count > h.Count-count {
			return ErrField
		}
		next, count, last = f.Next(), count+f.Count, f
		frames = frames[size:]
	}
	if next != h.Next() || count != h.Count || last.Time != h.Time || last.LSN != h.LSN {
		return ErrField
	}
	return nil
}
