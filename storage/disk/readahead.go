package disk

import (
	"errors"
	"fmt"
	"io"
)

// readahead reads the next stretch of a file while the one before is looked at, once the file was read from front to back for a while: reading and summing
// take about as long as each other. It is used by one goroutine; what it starts has ended when settle returns.
type readahead struct {
	streak int          // stretches since settle
	busy   chan stretch // of the read under way; nil: there is none
	at     int64        // where that begins
	using  []byte       // what the window's bytes are part of
	spare  []byte
}

// stretch is bytes of a file, behind headroom.
type stretch struct {
	buf []byte
	err error
}

const (
	headroom  = windowBytes // for what is left of the stretch before
	streakMin = 4
)

// fetch begins to read from pos on.
func (r *readahead) fetch(file io.ReaderAt, pos, end int64) {
	if r.streak++; r.streak < streakMin || pos >= end {
		return
	}
	buf := r.spare
	if buf == nil {
		buf = make([]byte, headroom+windowBytes)
	}
	buf = buf[:headroom+min(windowBytes, end-pos)]
	busy := make(chan stretch, 1)
	r.busy, r.at, r.spare = busy, pos, nil
	go func() {
		n, err := file.ReadAt(buf[headroom:], pos)
		busy <- stretch{buf[:headroom+n], err}
	}()
}

// settle waits until nothing is read any more, and gives up what was.
func (r *readahead) settle() {
	if r.streak = 0; r.busy != nil {
		s := <-r.busy
		r.busy, r.spare = nil, s.buf
	}
}

// take waits for what is read from pos on, and returns it with left in front of it. ok is false if something else is read, or nothing.
func (r *readahead) take(left []byte, pos int64) (b []byte, ok bool, err error) {
	if r.busy == nil {
		return nil, false, nil
	}
	if r.at != pos || len(left) > headroom {
		r.settle()
		return nil, false, nil
	}
	s := <-r.busy
	r.busy = nil
	if s.err != nil && !errors.Is(s.err, io.EOF) {
		r.spare = s.buf
		return nil, false, s.err
	}
	b = s.buf[headroom-len(left):]
	copy(b, left)
	r.using, r.spare = s.buf, r.using
	return b, true, nil
}

// readOn is read for a window that is read from front to back.
func (w *window) readOn(pos int64, n int) ([]byte, error) {
	end := w.from + int64(len(w.buf))
	var b []byte
	var ok bool
	var err error
	if skip := pos - w.from; skip >= 0 && pos <= end && n <= windowBytes {
		b, ok, err = w.reads.take(w.buf[skip:], end)
	} else {
		w.reads.settle()
	}
	switch {
	case err != nil:
		w.buf = w.buf[:0]
		return nil, fmt.Errorf("storage: reading %s: %w", w.name, err)
	case ok:
		w.buf, w.from = b, pos
	default:
		if _, err := w.read(pos, n); err != nil {
			return nil, err
		}
	}
	w.reads.fetch(w.file, w.from+int64(len(w.buf)), w.end)
	return w.buf, nil
}
