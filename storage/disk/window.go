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

	buf   []byte
	from  int64      // position of buf
	ahead int        // how much is read at once; 0: windowBytes
	reads *readahead // for a file that is read from front to back; nil: nothing is read before it is asked for
}

const (
	windowBytes = 256 << 10
	hopBytes    = 4 << 10
)

// turn has the window read a slot, with the memory that it has.
func (w *window) turn(s *slot) {
	buf := w.buf[:0]
	*w = *s.window()
	w.buf = buf
}

// expect says that the bytes at the next position come so many bytes behind the last: it decides whether what lies between is read.
func (w *window) expect(step int) {
	w.ahead = windowBytes
	if step > windowBytes/8 {
		w.ahead = hopBytes
	}
}

// at returns the bytes from pos on, at least n of them unless the file ends before. They are valid until the next call.
func (w *window) at(pos int64, n int) ([]byte, error) {
	skip := pos - w.from
	if skip >= 0 && skip+int64(n) <= int64(len(w.buf)) {
		return w.buf[skip:], nil
	}
	if w.reads != nil {
		return w.readOn(pos, n)
	}
	return w.read(pos, n)
}

// read reads what at returns, as far as buf does not have it.
func (w *window) read(pos int64, n int) ([]byte, error) {
	skip := pos - w.from
	ahead := w.ahead
	if ahead == 0 {
		ahead = windowBytes
	}
	size := max(min(int64(max(n, ahead)), w.end-pos), 0)
	var have []byte // of it
	if skip >= 0 && skip < int64(len(w.buf)) {
		have = w.buf[skip:]
		have = have[:min(int64(len(have)), size)]
	}
	buf := w.buf
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	kept := copy(buf, have)
	w.buf, w.from = buf, pos
	got, err := w.file.ReadAt(buf[kept:], pos+int64(kept))
	if err != nil && !errors.Is(err, io.EOF) {
		w.buf = w.buf[:0]
		return nil, fmt.Errorf("storage: reading %s: %w", w.name, err)
	}
	w.buf = buf[:kept+got]
	return w.buf, nil
}

// readAt reads n bytes at pos, fewer only if the file ends.
func readAt(f io.ReaderAt, name string, pos int64, n int) ([]byte, error) {
	w := window{file: f, name: name, end: pos + int64(n)}
	b, err := w.at(pos, n)
	return b[:min(n, len(b))], err
}
