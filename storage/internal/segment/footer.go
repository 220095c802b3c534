package segment

import (
	"bytes"
	"encoding/binary"

	"github.com/leatmq/leat/storage/internal/frame"
)

// The footer stands behind the frames and ends the file. It is a cache: if it is not what it should be, the frames tell the same.
//
//	lines    32 bytes each: offset, position, append time, ordinal of a frame (see line)
//	 0- 7    number of lines
//	 8-15    file id
//	16-23    base offset        24-31  next offset
//	32-39    ordinal            40-47  number of records
//	48-55    least append time  56-63  greatest
//	64-71    position of the footer
//	72-79    digest of all frames: the sum of their stamps
//	80-83    CRC-32C of all of the footer before it, seeded
//	84-87    format version
//	88-95    "leatend" and a zero
const (
	lineSize    = 32
	trailerSize = 96
)

var footerMagic = []byte("leatend\x00")

// appendFooter appends the footer of the segment m.
func appendFooter(dst []byte, seed frame.Seed, m *Meta, digest uint64, lines []line) []byte {
	start := len(dst)
	le := binary.LittleEndian
	for _, l := range lines {
		for _, v := range [...]int64{l.offset, l.pos, l.time, l.ordinal} {
			dst = le.AppendUint64(dst, uint64(v))
		}
	}
	dst = le.AppendUint64(dst, uint64(len(lines)))
	dst = le.AppendUint64(dst, m.File)
	for _, v := range [...]int64{m.Base, m.Next, m.Ordinal, m.Count, m.MinTime, m.MaxTime, m.Length} {
		dst = le.AppendUint64(dst, uint64(v))
	}
	dst = le.AppendUint64(dst, digest)
	dst = le.AppendUint32(dst, seed.Sum(dst[start:]))
	dst = le.AppendUint32(dst, formatVersion)
	return append(dst, footerMagic...)
}

// parseFooter returns the lines of a footer. ok is false if b is not the footer of the segment m.
func parseFooter(b []byte, seed frame.Seed, m *Meta) (lines []line, ok bool) {
	n := (len(b) - trailerSize) / lineSize
	if len(b) < trailerSize || len(b) != n*lineSize+trailerSize {
		return nil, false
	}
	t := b[n*lineSize:]
	le := binary.LittleEndian
	if !bytes.Equal(t[88:], footerMagic) || le.Uint32(t[84:]) != formatVersion || le.Uint64(t) != uint64(n) ||
		seed.Sum(b[:len(b)-16]) != le.Uint32(t[80:]) || le.Uint64(t[8:]) != m.File {
		return nil, false
	}
	for i, want := range [...]int64{m.Base, m.Next, m.Ordinal, m.Count, m.MinTime, m.MaxTime, m.Length} {
		if int64(le.Uint64(t[16+8*i:])) != want {
			return nil, false
		}
	}
	lines = make([]line, n)
	last := line{offset: m.Base, pos: blockSize, time: m.MinTime, ordinal: m.Ordinal}
	for i := range lines {
		f := b[i*lineSize:]
		l := line{int64(le.Uint64(f)), int64(le.Uint64(f[8:])), int64(le.Uint64(f[16:])), int64(le.Uint64(f[24:]))}
		if l.offset < last.offset || l.pos < last.pos || l.pos%8 != 0 || l.ordinal < last.ordinal || l.offset > m.Next || l.pos >= m.Length {
			return nil, false
		}
		lines[i], last = l, l
	}
	return lines, true
}

// readFooter reads the lines of a sealed segment. ok is false if the footer cannot be used.
func (s *Segment) readFooter(h *handle, m *Meta) (lines []line, ok bool, err error) {
	size, err := sizeOf(h.file)
	if err != nil {
		return nil, false, err
	}
	n := size - m.Length
	if n < trailerSize || n > m.MaxFooter() { // a line stands for a frame at least
		return nil, false, nil
	}
	b, err := readAt(h.file, m.Length, int(n))
	if err != nil {
		return nil, false, err
	}
	lines, ok = parseFooter(b, s.dir.id.Seed, m)
	return lines, ok, nil
}
