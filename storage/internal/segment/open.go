package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// patiently calls open again, once, after closing files when the process or the system has too many open.
func (d *Dir) patiently(open func() (vfs.File, error)) (vfs.File, error) {
	f, err := open()
	if !vfs.TooManyOpen(err) {
		return f, err
	}
	d.shed()
	return open()
}

// syncDir makes the entries of a directory durable. An error that is vfs.TooManyOpen says that nothing was tried; any other that nothing can
// be tried again.
func (d *Dir) syncDir(name string) error {
	err := d.fs.SyncDir(name)
	if vfs.TooManyOpen(err) {
		d.shed()
		err = d.fs.SyncDir(name)
	}
	if vfs.TooManyOpen(err) {
		return err
	}
	return vfs.SyncFailed(err)
}

// found is how the file of a segment was when it was opened: see handle.
type found struct{ short, sealed bool }

// open opens the file of s and checks that it is that of s. What makes it another's or unreadable for good is damage.
func (s *Segment) open() (f vfs.File, was found, err error) {
	m := s.Meta()
	mode := vfs.ReadWrite
	if m.Sealed {
		mode = vfs.ReadOnly
	}
	f, err = s.dir.patiently(func() (vfs.File, error) { return s.dir.fs.Open(s.Name(), mode) })
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, was, s.unreadable(&m, "the file is missing")
	case errors.Is(err, vfs.ErrNotRegular):
		return nil, was, s.unreadable(&m, "not a regular file")
	case err != nil:
		return nil, was, fmt.Errorf("open segment: %w", err)
	}
	size, err := s.inspect(f, &m)
	if err == nil && !m.Sealed && size > m.Length {
		was.sealed, err = Footed(f, size, m.File)
	}
	if err != nil {
		return nil, was, errors.Join(err, f.Close())
	}
	was.short = size < m.Length
	return f, was, nil
}

// Footed tells whether a file of the given size ends with the footer of the segment file, whatever that says: then nobody ever writes to it again.
func Footed(f vfs.File, size int64, file uint64) (bool, error) {
	b, err := readAt(f, max(0, size-trailerSize), trailerSize)
	return len(b) == trailerSize && bytes.Equal(b[88:], footerMagic) && binary.LittleEndian.Uint64(b[8:]) == file, err
}

// inspect checks the header block and returns the file's size.
func (s *Segment) inspect(f vfs.File, m *Meta) (int64, error) {
	block, err := readAt(f, 0, blockSize)
	if err != nil {
		return 0, err
	}
	h, err := parseHeader(block, s.dir.id)
	if errors.Is(err, storage.ErrFormat) {
		return 0, fmt.Errorf("%s: %w", s.Name(), err)
	}
	if err != nil && len(block) == blockSize {
		return 0, s.damage(place{m.Base, 0}, place{m.Next, blockSize}, err.Error())
	}
	if err != nil {
		return 0, s.unreadable(m, err.Error())
	}
	if !h.matches(s.partition, m) {
		return 0, s.unreadable(m, "the file is another segment's")
	}
	return sizeOf(f)
}

func sizeOf(f vfs.File) (int64, error) {
	size, err := f.Size()
	if err != nil {
		return 0, fmt.Errorf("size of segment: %w", err)
	}
	return size, nil
}

// readAt reads n bytes at pos, fewer only if the file ends.
func readAt(f io.ReaderAt, pos int64, n int) ([]byte, error) {
	b := make([]byte, n)
	got, err := readInto(f, b, pos)
	return b[:got], err
}

// readInto fills b from pos on, and less of it only if the file ends.
func readInto(f io.ReaderAt, b []byte, pos int64) (int, error) {
	n, err := f.ReadAt(b, pos)
	if err != nil && err != io.EOF {
		return 0, fmt.Errorf("read segment: %w", err)
	}
	return n, nil
}
