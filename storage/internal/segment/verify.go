package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// Verified is what Verify found.
type Verified struct {
	Bytes, Records int64 // that are whole
	Damage         []*storage.DamageError
	Others         bool // the frames are whole, but not those that were written there
}

// verifyWindow is how much Verify reads at once.
const verifyWindow = 256 << 10

// Verify reads all of the segment that counts from the disk, by a handle of its own, so that a file that was deleted shows; and compares every frame with its
// sums and with its place, and all of them with the footer and with what the checkpoint says. pace is called before each read with how much it is; its
// error, and those of the file system that are not about the medium, end the work. Damage is no error. It names the frames that are damaged and nothing more:
// behind a header that cannot be believed, the next one is searched for.
//
// It may run beside everything. A segment that is removed meanwhile looks damaged: the caller knows better.
func (s *Segment) Verify(pace func(bytes int) error) (Verified, error) {
	v := &verifier{segment: s, meta: s.Meta(), pace: pace}
	v.at = place{v.meta.Base, blockSize}
	err := v.run()
	return v.Verified, err
}

// verifier is one Verify under way.
type verifier struct {
	segment *Segment
	meta    Meta
	pace    func(bytes int) error
	file    vfs.File
	size    int64
	lines   []line // of the footer
	footer  uint64 // its digest
	footed  bool   // there is one, and it is whole
	indexed bool   // there is none, and the index was asked for
	Verified

	at       place
	digest   uint64
	window   window
	expanded []byte // a block
	each     func(Piece) error
	unread   bool // bytes of what is lost were not given back
}

func (v *verifier) run() error {
	if err := v.pace(blockSize); err != nil {
		return err
	}
	s := v.segment
	f, err := s.dir.patiently(func() (vfs.File, error) { return s.dir.fs.Open(s.Name(), vfs.ReadOnly) })
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return v.found(s.unreadable(&v.meta, "the file is missing"))
	case errors.Is(err, vfs.ErrNotRegular):
		return v.found(s.unreadable(&v.meta, "not a regular file"))
	case err != nil:
		return fmt.Errorf("open segment: %w", err)
	}
	v.file = f
	v.window = window{file: f, end: v.meta.Length, size: verifyWindow, pace: v.pace}
	if v.size, err = sizeOf(f); err == nil {
		err = v.all()
	}
	return errors.Join(err, f.Close())
}

// found notes damage.
func (v *verifier) found(err error) error {
	var damage *storage.DamageError
	if !errors.As(err, &damage) {
		return err
	}
	v.Damage = append(v.Damage, damage)
	unread := v.unread
	v.unread = false
	if v.each == nil || damage.First == damage.Next || damage.To == blockSize && damage.From == 0 { // behind a bad header block, frames may be whole
		return nil
	}
	return v.each(Piece{First: damage.First, Next: damage.Next, Damage: damage, Unread: unread})
}

func (v *verifier) all() error {
	if goOn, err := v.header(); !goOn || err != nil {
		return err
	}
	if err := v.readFooter(); err != nil {
		return err
	}
	whole := len(v.Damage) == 0
	if err := v.frames(); err != nil {
		return err
	}
	if whole && len(v.Damage) == 0 {
		v.sums()
	}
	return nil
}

// header checks the header block. goOn is false if the frames behind it are not the segment's.
func (v *verifier) header() (goOn bool, err error) {
	s, m := v.segment, &v.meta
	block, err := readAt(v.file, 0, blockSize)
	if unreadable(err) {
		return true, v.found(s.damage(place{m.Base, 0}, place{m.Next, blockSize}, err.Error()))
	}
	if err != nil {
		return false, err
	}
	h, err := parseHeader(block, s.dir.id)
	switch {
	case len(block) < blockSize:
		return false, v.found(s.unreadable(m, err.Error()))
	case err != nil: // the store believes nothing of the file then, but the frames may be whole
		return true, v.found(s.damage(place{m.Base, 0}, place{m.Next, blockSize}, err.Error()))
	case !h.matches(s.partition, m):
		return false, v.found(s.unreadable(m, "the file is another segment's"))
	}
	v.Bytes += blockSize
	return true, nil
}

// unreadable tells whether an error says that the medium does not give the bytes back.
func unreadable(err error) bool { return errors.Is(err, syscall.EIO) }

// readFooter reads the footer of a sealed segment. A damaged one costs no records.
func (v *verifier) readFooter() error {
	m := &v.meta
	if !m.Sealed || m.Retired || v.size < m.Length { // where frames are missing, those are the damage
		return nil
	}
	n := v.size - m.Length
	reason := "the footer cannot be used"
	if n >= trailerSize && n <= trailerSize+m.Length/frame.HeaderSize*lineSize {
		if err := v.pace(int(n)); err != nil {
			return err
		}
		b, err := readAt(v.file, m.Length, int(n))
		switch {
		case err == nil:
			if v.lines, v.footed = parseFooter(b, v.segment.dir.id.Seed, m); v.footed {
				v.footer = binary.LittleEndian.Uint64(b[len(b)-trailerSize+72:])
				v.Bytes += n
				return nil
			}
		case unreadable(err):
			reason = err.Error()
		default:
			return err
		}
	}
	end := place{m.Next, v.size}
	return v.found(v.segment.damage(place{m.Next, m.Length}, end, reason+"; the frames tell the same"))
}

// frames checks every frame.
func (v *verifier) frames() error {
	for v.at.pos < v.meta.Length {
		b, err := v.window.at(v.at.pos, frame.HeaderSize)
		if err != nil || len(b) < frame.HeaderSize {
			if err = v.ended(err); err != nil {
				return err
			}
			continue
		}
		h, err := frame.Parse(b, v.segment.dir.id.Seed)
		reason := v.segment.belongs(&h, v.at, &v.meta)
		if err != nil {
			reason = err.Error()
		}
		if reason != "" {
			err = v.lost(reason)
		} else {
			err = v.body(&h)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// body checks the body of the frame at v.at, whose header is h.
func (v *verifier) body(h *frame.Header) error {
	b, err := v.window.at(v.at.pos, h.Size())
	if err != nil || len(b) < h.Size() {
		return v.ended(err)
	}
	end := place{h.Next(), v.at.pos + int64(h.Size())}
	if err := v.inside(h, b[frame.HeaderSize:][:h.BodyLen], end); err != nil {
		if err := v.found(err); err != nil {
			return err
		}
		v.Damage[len(v.Damage)-1].Records = int64(h.Count)
		v.at = end
		return nil
	}
	if err := v.pass(h, b[:h.Size()]); err != nil {
		return err
	}
	v.digest += stampOf(b, v.at.pos)
	v.Bytes += int64(h.Size())
	v.Records += int64(h.Count)
	v.at = end
	return nil
}

// inside checks what a reader does: the body, and that a block can be expanded.
func (v *verifier) inside(h *frame.Header, body []byte, end place) (err error) {
	if h.Kind == frame.Block {
		v.expanded, err = v.segment.expand(v.expanded[:0], h, body, v.at)
		return err
	}
	if err := h.CheckBody(body, v.segment.dir.id.Seed); err != nil {
		return v.segment.damage(place{h.Base, v.at.pos}, end, err.Error())
	}
	return nil
}

// lost notes that nothing can be believed from v.at on, up to the next frame that can, and goes on there.
func (v *verifier) lost(reason string) error {
	from := v.at
	to, err := v.segment.search(v.file, &v.meta, v.known(from.pos), v.pace).behind(from)
	if err != nil && !unreadable(err) {
		return err
	}
	v.at, v.unread = to, err != nil
	return v.found(v.segment.damage(from, to, reason))
}

// ended notes that the file ends, or err, which reading it returned. Behind bytes that the medium does not give back, the work goes on.
func (v *verifier) ended(err error) error {
	if err != nil && !unreadable(err) {
		return err
	}
	from := v.at
	if err == nil {
		v.at = place{v.meta.Next, v.meta.Length}
		return v.found(v.segment.ended(from, &v.meta, min(v.size, v.window.reached())))
	}
	v.at, v.unread = v.known(from.pos), true
	return v.found(v.segment.damage(from, v.at, err.Error()))
}

// known returns the first place behind pos at which a frame is known to start, by the footer or by the index that readers use, or the end.
func (v *verifier) known(pos int64) place {
	s := v.segment
	if !v.footed && !v.indexed {
		v.indexed = true
		if h, err := s.dir.acquire(s); err == nil {
			_, _ = s.indexed(h) // without it, more than need be is named
			s.dir.release(h)
		}
	}
	for _, l := range v.lines {
		if l.pos > pos {
			return place{l.offset, l.pos}
		}
	}
	if v.footed {
		return place{v.meta.Next, v.meta.Length}
	}
	return s.behind(pos, &v.meta)
}

// sums compares all frames, which are whole, with the footer and the checkpoint: one that is of this place, but not the one that was written there.
func (v *verifier) sums() {
	m := &v.meta
	reason := ""
	switch {
	case v.Records != m.Records():
		reason = fmt.Sprintf("the frames are whole, but hold %d records instead of %d", v.Records, m.Records())
	case v.footed && v.footer != v.digest:
		reason = "the frames are whole, but not those that were sealed"
	default:
		return
	}
	v.Others = true
	var damage *storage.DamageError
	if errors.As(v.segment.damage(place{m.Base, blockSize}, place{m.Next, m.Length}, reason), &damage) {
		v.Damage = append(v.Damage, damage)
	}
}
