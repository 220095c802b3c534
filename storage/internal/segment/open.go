package segment

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

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

// open opens the file of s and checks that it is that of s. What makes it another's or unreadable for good is damage.
func (s *Segment) open() (f vfs.File, short bool, err error) {
	m := s.Meta()
	mode := vfs.ReadWrite
	if m.Sealed {
		mode = vfs.ReadOnly
	}
	f, err = s.dir.patiently(func() (vfs.File, error) { return s.dir.fs.Open(s.Name(), mode) })
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, s.unreadable(&m, "the file is missing")
	case errors.Is(err, vfs.ErrNotRegular):
		return nil, false, s.unreadable(&m, "not a regular file")
	case err != nil:
		return nil, false, fmt.Errorf("open segment: %w", err)
	}
	size, err := s.inspect(f, &m)
	if err != nil {
		return nil, false, errors.Join(err, f.Close())
	}
	return f, size < m.Length, nil
}

// inspect checks the header block and returns the file's size.
func (s *Segment) inspect(f vfs.File, m *Meta) (int64, error) {
	block, err := readAt(f, 0, blockSize)
	if err != nil {
		return 0, err
	}
	h, err := parseHeader(block, s.dir.id)
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
