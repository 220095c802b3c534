package segment

import (
	"fmt"
	"io"
)

// window reads a file in large pieces.
type window struct {
	file io.ReaderAt
	end  int64                 // of what counts
	size int                   // of a piece
	pace func(bytes int) error // called before each read; nil: nobody wants to know
	buf  []byte
	from int64 // position of buf
}

// at returns what is at pos, at least n bytes unless the file, or what counts of it, ends before. It is valid until the next call.
func (w *window) at(pos int64, n int) ([]byte, error) {
	skip := pos - w.from
	if skip >= 0 && skip+int64(n) <= int64(len(w.buf)) {
		return w.buf[skip:], nil
	}
	want := int(min(int64(max(n, w.size)), w.end-pos))
	if want <= 0 {
		return nil, nil
	}
	if w.pace != nil {
		if err := w.pace(want); err != nil {
			return nil, err
		}
	}
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.from = pos
	got, err := w.file.ReadAt(w.buf[:want], pos)
	if err != nil && err != io.EOF {
		w.buf = w.buf[:0]
		return nil, fmt.Errorf("read segment: %w", err)
	}
	w.buf = w.buf[:got]
	return w.buf, nil
}

// reached is up to where the last read of the file came.
func (w *window) reached() int64 { return w.from + int64(len(w.buf)) }
