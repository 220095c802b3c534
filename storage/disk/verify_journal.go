package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"syscall"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// journal checks the frames that an open would need. Of a running store these are all that were written since it was opened and that no checkpoint
// has made unnecessary.
func (v *verification) journal() error {
	if v.st.readOnly {
		return v.journalAtRest()
	}
	mark := v.st.journal.marked()
	uses := v.st.ring.uses()
	slices.SortFunc(uses, func(a, b slotInUse) int { return int(int64(a.seq) - int64(b.seq)) })
	for i, u := range uses {
		if u.epoch != v.st.keeper.epoch || u.seq > mark.seq {
			continue
		}
		end := mark.lsn
		if i+1 < len(uses) && uses[i+1].seq == u.seq+1 {
			end = min(end, uses[i+1].prev)
		}
		if err := v.slot(u, end); err != nil {
			return fmt.Errorf("storage: verifying %s: %w", u.name, err)
		}
	}
	return nil
}

// journalAtRest scans as an open does.
func (v *verification) journalAtRest() error {
	c := &v.st.keeper.made
	s := newScan(c, v.st.ring.slots)
	frames := int64(0)
	err := s.run(func(h *frame.Header, raw []byte) error {
		frames++
		v.report.Bytes += int64(len(raw))
		return v.step(len(raw), false)
	})
	if err == nil && !(c.clean && s.entries == 0) {
		if err = s.shortened(c); err == nil {
			_, err = s.judge()
		}
	}
	v.report.Journal = frames
	var damage *storage.DamageError
	if errors.As(err, &damage) {
		v.report.Damage = append(v.report.Damage, damage)
		return nil
	}
	return err
}

// slotInUse is a slot as it was when uses was called.
type slotInUse struct {
	slotUse
	slot *slot
	name string
	size int64
}

// uses returns the slots in use.
func (r *ring) uses() (all []slotInUse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slots {
		if s.seq != 0 {
			use := s.slotUse
			use.bytes = s.size // as its header says
			all = append(all, slotInUse{use, s, s.name, s.size})
		}
	}
	return all
}

// still tells whether the slot is in the same use.
func (r *ring) still(u slotInUse) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return u.slot.seq == u.seq && u.slot.epoch == u.epoch
}

// slot checks the header of a slot and its frames up to the LSN end. What is found of a slot that was given back meanwhile is forgotten.
func (v *verification) slot(u slotInUse, end frame.LSN) error {
	if end < u.first {
		return nil // its header may not be written yet
	}
	x := &slotVerification{verification: v, use: u, at: sector, lsn: u.first - 1, end: end}
	if err := x.run(); err != nil {
		return err
	}
	if !v.st.ring.still(u) {
		return nil
	}
	v.report.Files++
	v.report.Bytes += x.bytes
	v.report.Journal += x.frames
	v.report.Damage = append(v.report.Damage, x.damage...)
	return nil
}

// slotVerification is the work on one slot.
type slotVerification struct {
	*verification
	use  slotInUse
	file vfs.File
	at   int64     // where the next frame begins
	lsn  frame.LSN // of the frame before
	end  frame.LSN // of the last that counts

	window []byte
	from   int64 // position of window
	frames int64
	bytes  int64
	damage []*storage.DamageError
}

func (x *slotVerification) run() error {
	f, err := x.st.fs.Open(x.use.name, vfs.ReadOnly)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, vfs.ErrNotRegular):
		x.lost(0, x.use.size, "the file is missing")
		return nil
	case err != nil:
		return err
	}
	x.file = f
	err = x.check()
	if errors.Is(err, syscall.EIO) {
		x.lost(x.at, x.use.size, err.Error())
		err = nil
	}
	return errors.Join(err, f.Close())
}

func (x *slotVerification) check() error {
	block, err := x.read(0, sector)
	if err != nil {
		return err
	}
	if use, ok, err := decodeSlot(block, x.st.journal.id); err != nil || !ok || use != x.use.slotUse {
		x.lost(0, sector, fmt.Sprintf("the header is not that of use %d of the slot", x.use.seq))
	}
	for x.lsn < x.end {
		if err := x.frame(); err != nil {
			return err
		}
	}
	return nil
}

// frame checks the frame at x.at.
func (x *slotVerification) frame() error {
	b, err := x.read(x.at, frame.HeaderSize)
	if err != nil {
		return err
	}
	h, err := frame.Parse(b, x.st.journal.id.seed)
	if err == nil && h.LSN != x.lsn+1 {
		err = fmt.Errorf("frame %x stands where frame %x was written", uint64(h.LSN), uint64(x.lsn+1))
	}
	if err != nil {
		return x.resync(err.Error())
	}
	if b, err = x.read(x.at, h.Size()); err != nil {
		return err
	}
	end := x.at + int64(h.Size())
	switch {
	case len(b) < h.Size():
		return x.resync(fmt.Sprintf("the file ends at %d", x.at+int64(len(b))))
	case h.CheckBody(b[frame.HeaderSize:][:h.BodyLen], x.st.journal.id.seed) != nil:
		x.lost(x.at, end, frame.ErrBody.Error())
		if d := x.damage[len(x.damage)-1]; h.Kind == frame.Batch {
			d.Partition, d.First, d.Next, d.Records = storage.PartitionID(h.Partition), h.Base, h.Next(), int64(h.Count)
		}
	default:
		x.frames++
		x.bytes += int64(h.Size())
	}
	x.at, x.lsn = end, h.LSN
	return nil
}

// resync notes that frames cannot be read from x.at on, and goes on at the next that can.
func (x *slotVerification) resync(reason string) error {
	for pos := x.at + 8; ; pos += 8 {
		b, err := x.read(pos, frame.HeaderSize)
		if err != nil {
			return err
		}
		if len(b) < frame.HeaderSize {
			x.lost(x.at, x.use.size, reason)
			x.lsn = x.end
			return nil
		}
		if frame.LSN(binary.LittleEndian.Uint64(b[16:])) <= x.lsn+1 || !frame.Resembles(b, x.use.epoch) {
			continue
		}
		if h, err := frame.Parse(b, x.st.journal.id.seed); err == nil && h.LSN > x.lsn+1 && h.LSN <= x.end {
			x.lost(x.at, pos, reason)
			x.at, x.lsn = pos, h.LSN-1
			return nil
		}
	}
}

func (x *slotVerification) lost(from, to int64, reason string) {
	x.damage = append(x.damage, &storage.DamageError{File: x.use.name, From: from, To: to, Reason: reason})
}

// read returns what is at pos, at least n bytes unless the file ends before.
func (x *slotVerification) read(pos int64, n int) ([]byte, error) {
	skip := pos - x.from
	if skip >= 0 && skip+int64(n) <= int64(len(x.window)) {
		return x.window[skip:], nil
	}
	want := max(n, spillChunk)
	if err := x.step(want, false); err != nil {
		return nil, err
	}
	if cap(x.window) < want {
		x.window = make([]byte, want)
	}
	got, err := x.file.ReadAt(x.window[:want], pos)
	if err != nil && err != io.EOF {
		x.window = nil
		return nil, err
	}
	x.window, x.from = x.window[:got], pos
	return x.window, nil
}
