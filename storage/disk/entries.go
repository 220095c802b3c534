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
	pos    int64     // behind it
	start  int64     // of the entry
	frames []found
	bytes  []byte // of the entry, from start on; valid until the next one
}

// found is a frame of an entry.
type found struct {
	h    frame.Header
	at   int  // where it begins in the entry
	lost bool // its body does not match: see scan.missable
}

func (e *entryReader) raw(f *found) []byte { return e.bytes[f.at : f.at+f.h.Size()] }

// next reads the next entry. It returns false at the first frame that is not there.
func (e *entryReader) next() (whole bool, err error) {
	e.frames, e.start = e.frames[:0], e.pos
	for {
		f := found{at: int(e.pos - e.start)}
		if ok, err := e.read(&f); !ok || err != nil {
			return false, err
		}
		e.frames = append(e.frames, f)
		e.lsn++
		e.pos += int64(f.h.Size())
		if f.h.Flags&frame.End != 0 {
			return true, nil
		}
	}
}

// read reads the frame at f.at. It returns false if that is not the frame that must follow.
func (e *entryReader) read(f *found) (ok bool, err error) {
	b, err := e.window.at(e.start, f.at+frame.HeaderSize)
	if err != nil || len(b) < f.at+frame.HeaderSize {
		return false, err
	}
	f.h, err = frame.Parse(b[f.at:], e.scan.id.seed)
	if errors.Is(err, frame.ErrVersion) {
		return false, fmt.Errorf("%w: %s, byte %d: %w", storage.ErrFormat, e.slot.name, e.pos, err)
	}
	if err != nil || f.h.LSN != e.lsn+1 {
		return false, nil
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
