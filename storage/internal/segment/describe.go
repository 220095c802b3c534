package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// Describe says of a file that Scan found what a checkpoint would, for the case that there is none, also if its header block cannot be read: by its footer, and then whole is true; or else, by its header, as all that the file may
// hold. LastLSN, and what was dropped, is not known then: Pieces tells.
func (d *Dir) Describe(f Found) (m Meta, whole bool, err error) {
	file, err := d.patiently(func() (vfs.File, error) { return d.fs.Open(f.Name, vfs.ReadOnly) })
	if err != nil {
		return m, false, fmt.Errorf("open segment: %w", err)
	}
	defer file.Close()
	m, whole, err = d.byFooter(f, file)
	if err != nil {
		return m, false, err
	}
	if !whole {
		m = Meta{File: f.File, Base: max(f.Base, 0), Next: math.MaxInt64, Ordinal: max(f.Ordinal, 0), Length: max(f.Size&^7, blockSize), Sealed: true, Retired: true}
	}
	if m.Rewritten = f.Rewritten; m.Rewritten {
		m.Codec, err = d.codecOf(f, window{file: file, end: m.Length, size: searchWindow})
	}
	return m, whole, err
}

// byFooter reads the footer as one that describes its own file.
func (d *Dir) byFooter(f Found, file vfs.File) (m Meta, ok bool, err error) {
	t, err := readAt(file, max(0, f.Size-trailerSize), trailerSize)
	if err != nil || len(t) < trailerSize || !bytes.Equal(t[88:], footerMagic) {
		return m, false, err
	}
	le := binary.LittleEndian
	m = Meta{File: le.Uint64(t[8:]), Sealed: true}
	for i, field := range []*int64{&m.Base, &m.Next, &m.Ordinal, &m.Count, &m.MinTime, &m.MaxTime, &m.Length} {
		*field = int64(le.Uint64(t[16+8*i:]))
	}
	if !m.possible() || m.File != f.File || f.Base != Unknown && (m.Base != f.Base || m.Ordinal != f.Ordinal) || m.Length%8 != 0 || m.Length > f.Size-trailerSize || f.Size-m.Length > m.MaxFooter() {
		return m, false, nil
	}
	b, err := readAt(file, m.Length, int(f.Size-m.Length))
	if err != nil {
		return m, false, err
	}
	_, ok = parseFooter(b, d.id.Seed, &m)
	return m, ok, nil
}

// codecOf returns the codec of the first block in a file, 0 if it has none.
func (d *Dir) codecOf(f Found, w window) (compress.ID, error) {
	for pos := int64(blockSize); ; {
		b, err := w.at(pos, frame.HeaderSize)
		if err != nil || len(b) < frame.HeaderSize {
			return 0, err
		}
		h, err := frame.Parse(b, d.id.Seed)
		switch {
		case err != nil || h.Partition != uint32(f.Partition):
			pos += 8
		case h.Kind == frame.Block:
			return h.Codec, nil
		default:
			pos += int64(h.Size())
		}
	}
}
