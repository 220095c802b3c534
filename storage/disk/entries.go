package disk

import (
	"errors"
	"fmt"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// entryReader reads entries of a slot, one at a time, whole or not at all.
type entryReader struct {
	scan   *scan
	slot   *slot
	window *window

	lsn    frame.LSN // of the last frame read
	end    frame.LSN // what is behind it was cut
	pos    int64     // behind it
	start  int64     // of the entry
	frames []found
	bytes  []byte // of the entry, from start on; valid until the next one
	kept   []byte // what is kept of it when batches are passed over
}

// found is a frame of an entry.
type found struct {
	h    frame.Header
	at   int  // where it begins in the entry
	lost bool // its body does not match: see scan.missable
	kept int  // where it begins in entryReader.kept
}

// raw returns the frame; of a batch that was passed over nothing.
func (e *entryReader) raw(f *found) []byte {
	switch {
	case !e.scan.hop:
		return e.bytes[f.at : f.at+f.h.Size()]
	case f.h.Kind == frame.Batch:
		return nil
	}
	return e.kept[f.kept : f.kept+f.h.Size()]
}

// next reads the next entry. It returns false at the first frame that is not there.
func (e *entryReader) next() (whole bool, err error) {
	e.frames, e.start, e.kept = e.frames[:0], e.pos, e.kept[:0]
	read := e.read
	if e.scan.hop {
		read = e.pass
	}
	for e.lsn < e.end {
		n := len(e.frames)
		e.frames = append(e.frames, found{at: int(e.pos - e.start)})
		f := &e.frames[n]
		if ok, err := read(f); !ok || err != nil {
			e.frames = e.frames[:n]
			return false, err
		}
		e.lsn++
		e.pos += int64(f.h.Size())
		if f.h.Flags&frame.End != 0 {
			return true, nil
		}
	}
	return false, nil
}

// read reads the frame at f.at. It returns false if that is not the frame that must follow.
func (e *entryReader) read(f *found) (ok bool, err error) {
	b, err := e.window.at(e.start, f.at+frame.HeaderSize)
	if err != nil || len(b) < f.at+frame.HeaderSize {
		return false, err
	}
	if ok, err := e.header(f, b[f.at:]); !ok || err != nil {
		return false, err
	}
	if e.bytes, err = e.window.at(e.start, f.at+f.h.Size()); err != nil || len(e.bytes) < f.at+f.h.Size() {
		return false, err
	}
	if f.h.CheckBody(e.raw(f)[frame.HeaderSize:][:f.h.BodyLen], e.scan.id.seed) == nil {
		return true, nil
	}
	f.lost, err = e.scan.missable(&f.h)
	return f.lost, err
}

// header reads the header at the beginning of b. It returns false if it is not the one that must follow.
func (e *entryReader) header(f *found, b []byte) (ok bool, err error) {
	f.h, err = frame.Parse(b, e.scan.id.seed)
	if errors.Is(err, frame.ErrVersion) {
		return false, fmt.Errorf("%w: %s, byte %d: %w", storage.ErrFormat, e.slot.name, e.pos, err)
	}
	return err == nil && f.h.LSN == e.lsn+1, nil
}

// pass is read without the bodies of batches.
func (e *entryReader) pass(f *found) (ok bool, err error) {
	b, err := e.window.at(e.pos, frame.HeaderSize)
	if err != nil || len(b) < frame.HeaderSize {
		return false, err
	}
	if ok, err := e.header(f, b); !ok || err != nil {
		return false, err
	}
	if f.h.Kind == frame.Batch {
		e.window.expect(f.h.Size())
		return e.pos+int64(f.h.Size()) <= e.slot.size, nil
	}
	if b, err = e.window.at(e.pos, f.h.Size()); err != nil || len(b) < f.h.Size() {
		return false, err
	}
	if f.h.CheckBody(b[frame.HeaderSize:][:f.h.BodyLen], e.scan.id.seed) != nil {
		return false, nil
	}
	f.kept = len(e.kept)
	e.kept = append(e.kept, b[:f.h.Size()]...)
	return true, nil
}
