package disk

import (
	"errors"
	"fmt"
	"io"
)

// window reads a file from front to back through a buffer of bounded size, so that a large or sparse file costs no memory of its own size.
type window struct {
	file io.ReaderAt
	name string
	end  int64 // nothing is read from there on

	buf  []byte
	from int64 // position of buf
}

const windowBytes = 256 << 10

// at returns the bytes from pos on, at least n of them unless the file ends before. They are valid until the next call.
func (w *window) at(pos int64, n int) ([]byte, error) {
	if skip := pos - w.from; skip >= 0 && skip+int64(n) <= int64(len(w.buf)) {
		return w.buf[skip:], nil
	}
	size := max(min(int64(max(n, windowBytes)), w.end-pos), 0)
	if int64(cap(w.buf)) < size {
		w.buf = make([]byte, size)
	}
	w.buf, w.from = w.buf[:size], pos
	got, err := w.file.ReadAt(w.buf, pos)
	if err != nil && !errors.Is(err, io.EOF) {
		w.buf = w.buf[:0]
		return nil, fmt.Errorf("storage: reading %s: %w", w.name, err)
	}
	w.buf = w.buf[:got]
	return w.buf, nil
}

// readAt reads n bytes at pos, fewer only if the file ends.
func readAt(f io.ReaderAt, name string, pos int64, n int) ([]byte, error) {
	w := window{file: f, name: name, end: pos + int64(n)}
	b, err := w.at(pos, n)
	return b[:min(n, len(b))], err
}
