package disk

import (
	"errors"
	"slices"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// trail reads the journal of a running store behind the committer: whole entries, up to what is durable. The slot that it reads is pinned.
type trail struct {
	st    *Store
	bound int64 // of the pin

	lsn frame.LSN // of the last frame that was read
	seq uint64    // of the slot in which it is; 0: of one that is free again
	pos int64     // behind it
}

// errBehind says that the journal does not go back to where a trail has to begin.
var errBehind = errors.New("storage: the journal does not go back that far")

// follow begins behind the frame lsn, which was durable. errBehind if what comes next is not in the journal any more, storage.ErrDiverged if the
// journal never had it.
func (st *Store) follow(lsn frame.LSN, bound int64) (*trail, error) {
	t := &trail{st: st, bound: bound, lsn: lsn}
	k, epoch := st.keeper, st.keeper.epoch
	if lsn.Epoch() == epoch && lsn > st.durable() || lsn.Epoch() != epoch && lsn > k.reached {
		return nil, storage.ErrDiverged
	}
	if lsn.Epoch() != epoch && (lsn.Epoch()+1 != epoch || !st.report.Clean) {
		return nil, errBehind // offsets may have been left out since then, which no frame tells
	}
	uses := st.ring.inUse()
	for i := len(uses) - 1; i >= 0; i-- {
		u := &uses[i]
		if before := u.prev == lsn || u.first-1 == lsn; before || u.first <= lsn {
			t.lsn, t.seq, t.pos = u.first-1, u.seq, sector
			if !t.begin() {
				return nil, errBehind
			}
			if before {
				return t, nil
			}
			return t, t.skip(u, lsn)
		}
	}
	if (lsn == k.last || lsn == frame.At(epoch, 0)) && st.durable() == frame.At(epoch, 0) { // nothing was written since then
		t.begin()
		return t, nil
	}
	return nil, errBehind
}

// begin pins the slot. It returns false if that was freed before it was pinned.
func (t *trail) begin() bool {
	if t.seq == 0 {
		return t.st.ring.hold(t.st.ring.nextUse(), t.bound, true)
	}
	t.st.ring.hold(t.seq, t.bound, true)
	return slices.ContainsFunc(t.st.ring.inUse(), func(u slot) bool { return u.seq == t.seq })
}

// skip reads on in slot u up to the frame lsn.
func (t *trail) skip(u *slot, lsn frame.LSN) error {
	w := u.window()
	for t.lsn < lsn {
		entry, _, err := t.entry(w, t.lsn)
		if err != nil {
			return err
		}
		if len(entry) == 0 {
			return errBehind
		}
		last := &entry[len(entry)-1]
		t.lsn, t.pos = last.h.LSN, last.end
	}
	if t.lsn != lsn {
		return errBehind
	}
	return nil
}

// trailed is a frame of an entry.
type trailed struct {
	h   frame.Header
	at  int   // where it begins in the entry
	end int64 // behind it in the slot
}

// entry reads the next entry, whose first frame is the one behind lsn. It returns nothing if that is not there whole.
func (t *trail) entry(w *window, lsn frame.LSN) (frames []trailed, raw []byte, err error) {
	seed := t.st.journal.id.seed
	start, size := t.pos, 0
	for {
		b, err := w.at(start, size+frame.HeaderSize)
		if err != nil || len(b) < size+frame.HeaderSize {
			return nil, nil, err
		}
		h, err := frame.Parse(b[size:], seed)
		if err != nil || h.LSN != lsn+frame.LSN(len(frames))+1 {
			return nil, nil, nil
		}
		if b, err = w.at(start, size+h.Size()); err != nil || len(b) < size+h.Size() {
			return nil, nil, err
		}
		if h.CheckBody(b[size+frame.HeaderSize:][:h.BodyLen], seed) != nil {
			return nil, nil, nil
		}
		size += h.Size()
		frames = append(frames, trailed{h, size - h.Size(), start + int64(size)})
		if h.Flags&frame.End != 0 {
			return frames, b[:size], nil
		}
	}
}

// next reads entries, until about max bytes were read or nothing more is durable, and has each taken, in order. The bytes are valid during the call. It returns
// how many there were; none is an end that may go on later, errBehind one that does not.
func (t *trail) next(max int64, take func(frames []trailed, raw []byte)) (entries int, err error) {
	limit := t.st.durable()
	for bytes := int64(0); bytes < max && t.lsn < limit; {
		if !t.enter() {
			if !t.idle(limit) {
				return entries, errBehind
			}
			break
		}
		u, ok := t.slot()
		if !ok {
			return entries, errBehind
		}
		n, read, err := t.slotEntries(u.window(), max-bytes, limit, take)
		entries, bytes = entries+n, bytes+read
		if err != nil {
			return entries, err
		}
		if n == 0 && !t.leave() {
			if t.lsn < limit && !t.idle(limit) {
				return entries, errBehind
			}
			break
		}
	}
	return entries, nil
}

// slotEntries takes entries from the present slot.
func (t *trail) slotEntries(w *window, max int64, limit frame.LSN, take func([]trailed, []byte)) (n int, bytes int64, err error) {
	for bytes < max {
		frames, raw, err := t.entry(w, t.lsn)
		if err != nil {
			return n, bytes, err
		}
		if len(frames) == 0 {
			break
		}
		last := &frames[len(frames)-1]
		if last.h.LSN > limit {
			break
		}
		take(frames, raw)
		t.lsn, t.pos = last.h.LSN, last.end
		n, bytes = n+1, bytes+int64(len(raw))
	}
	return n, bytes, nil
}

// enter goes into a slot if it is in none. It returns false if there is none yet.
func (t *trail) enter() bool { return t.seq != 0 || t.leave() }

// leave goes on to the slot that follows. It returns false if there is none.
func (t *trail) leave() bool {
	for _, u := range t.st.ring.inUse() {
		if u.seq > t.seq && u.first > t.lsn && (u.prev == t.lsn || u.first-1 == t.lsn) {
			t.lsn, t.seq, t.pos = u.first-1, u.seq, sector
			t.st.ring.hold(t.seq, t.bound, false)
			return true
		}
	}
	return false
}

// idle tells whether limit is the start of an epoch of which there are no frames.
func (t *trail) idle(limit frame.LSN) bool {
	return limit == frame.At(t.st.keeper.epoch, 0) && t.lsn == t.st.keeper.last
}

// slot returns the present slot; false if it is not pinned any more.
func (t *trail) slot() (slot, bool) {
	if !t.st.ring.hold(t.seq, t.bound, false) {
		return slot{}, false
	}
	for _, u := range t.st.ring.inUse() {
		if u.seq == t.seq {
			return u, true
		}
	}
	return slot{}, false
}

// behind is how many frames and bytes of the journal the trail has not read, the bytes at most.
func (t *trail) behind() (frames, bytes int64) {
	limit := t.st.durable()
	if limit <= t.lsn {
		return 0, 0
	}
	j := t.st.journal
	j.mu.Lock()
	end := j.mark
	j.mu.Unlock()
	for _, u := range t.st.ring.inUse() {
		switch {
		case u.seq < t.seq || u.seq > end.seq:
		case u.seq == end.seq:
			bytes += end.pos - sector
		default:
			bytes += u.size - sector
		}
		if u.seq == t.seq {
			bytes -= t.pos - sector
		}
	}
	if limit.Epoch() == t.lsn.Epoch() {
		frames = int64(limit - t.lsn)
	} else {
		frames = int64(limit - frame.At(limit.Epoch(), 0))
	}
	return frames, max(bytes, 0)
}
