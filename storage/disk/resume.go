package disk

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// An open after an unclean stop leaves the records that it replays in the journal, where they are read until the keeper has spilled them, as if they
// had just been committed. Two things are not left for later:
//
//   - That the open was there. A checkpoint says the same as the one before, and which epoch was taken, where the journal was found to end, and which offsets
//     are not given out again. So it does not matter how often a store is killed before it comes to a checkpoint of its own.
//   - The journal's end, of which nothing shows that it was synced (doubt.go): only the cache may have it. Nothing may be synced behind it, and of topics under
//     SyncAlways nothing of it be seen, before it is on the disk. It cannot be written again in its place, since it may be there, and acknowledged. A short
//     one is taken over as the beginning of the new epoch; with a longer one all commits wait for the first checkpoint.

// resumption is how a store that was not closed goes on.
type resumption struct {
	how   howResumed
	first *slot  // where the entries in doubt go; nil: there are none
	over  parcel // these entries

	carried *slot // where they are; nil: there were none
}

type howResumed int

const (
	anew     howResumed = iota // everything is spilled, and there is a checkpoint, before the store serves
	takeOver                   // entries in doubt are the first of the new epoch
	wait                       // commits wait for the first checkpoint
)

// What is taken over is written again before the store serves, and takes its part of the journal.
const (
	maxTakenOver = 8 << 20
	overPart     = 16 // of the journal
)

// plan decides how to go on, before anything is applied.
func (st *Store) plan(c *checkpoint, end *scan) error {
	r := &st.resumed
	*r = resumption{}
	if st.readOnly || c.clean || c.copied || c.followed != 0 || st.opt.following || st.opt.finishing || end.entries == 0 || len(end.lost) > 0 {
		return nil
	}
	r.how = takeOver
	bytes := end.doubt.bytes()
	if bytes > min(maxTakenOver, st.opt.Tuning.JournalBytes/overPart) {
		r.how = wait
	}
	if bytes == 0 || r.how == wait {
		return nil
	}
	var err error
	if r.first, err = st.ring.spare(bytes, c.from.seq); later(err) {
		r.how, err = wait, nil
	}
	return err
}

// spare returns a slot with room for so many bytes of frames that no checkpoint from seq on needs. It makes one if there is none.
func (r *ring) spare(bytes int64, seq uint64) (*slot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	least := bytes + 3*sector
	for _, s := range r.slots {
		if s.whole && s.seq < seq && s.size >= least {
			return s, nil
		}
	}
	if err := r.makeLocked(nextSize(0, least)); err != nil {
		return nil, err
	}
	return r.slots[len(r.slots)-1], nil
}

// takeOver reads the entries in doubt, from where scan ended up to the end, and applies them as entries of the new epoch.
func (r *replay) takeOver(end frame.LSN) error {
	p, k := &r.st.resumed.over, r.st.keeper
	r.scan.hop, r.scan.stop = false, end
	err := r.scan.run(func(h *frame.Header, raw []byte) error {
		if h.LSN > r.after && h.Kind != frame.Pad {
			p.add(h, raw)
		}
		return nil
	})
	if err != nil {
		return err
	}
	at := 0
	for i := range p.frames {
		h := &p.frames[i]
		h.LSN = frame.At(k.epoch, uint64(i)+1)
		h.SyncedBack = back(h.LSN, frame.At(k.epoch, 0))
		h.Put(p.raw[at:], r.st.journal.id.seed)
		if err := r.frame(h, p.raw[at:at+h.Size()]); err != nil {
			return err
		}
		at += h.Size()
	}
	return nil
}

// resume lets the store go on from the checkpoint was and the journal up to end, which were applied.
func (st *Store) resume(was *checkpoint, end *scan) error {
	k := st.keeper
	st.startClock()
	st.ring.setAside(was.files)
	if err := errors.Join(st.fs.SyncDir(journalDir), st.fs.SyncDir(".")); err != nil {
		return fmt.Errorf("storage: recovering: %w", err)
	}
	c := st.opened(was, end)
	k.graves.postpone(int64(c.seq))
	k.sealings.postpone(int64(c.seq))
	if err := k.record(c); err != nil {
		return fmt.Errorf("storage: recovering: %w", err)
	}
	if st.resumed.how == wait {
		st.journal.certain = make(chan struct{})
	} else if err := st.carryOver(end); err != nil {
		return fmt.Errorf("storage: recovering: %w", err)
	}
	st.core.State.SetApplied(st.journal.mark.lsn)
	for _, f := range st.leftover() {
		k.graves.buryNamed(doomed{f.Partition, f.File})
		st.report.Leftovers++
	}
	st.orphans = nil
	st.report.Damage = st.damages()
	k.want()
	return st.coverAgain()
}

// opened is the checkpoint was, with what there is to say of this open.
func (st *Store) opened(was *checkpoint, end *scan) *checkpoint {
	c := *was
	c.seq++
	c.taken, c.end, c.floors = st.keeper.epoch, end.at.lsn, nil
	c.files, c.lead = st.ring.files(), st.core.Clock.Lead()
	for _, p := range slices.Sorted(maps.Keys(st.raised)) {
		c.floors = append(c.floors, floor{p, st.raised[p]})
	}
	return &c
}

// carryOver makes the entries that were taken over durable. The header comes last: before, the old epoch does not end here.
func (st *Store) carryOver(end *scan) error {
	p, j, s := &st.resumed.over, st.journal, st.resumed.first
	st.keeper.last = end.doubt.prev
	if len(p.frames) == 0 {
		return nil
	}
	last := p.frames[len(p.frames)-1].LSN
	pos := sector + int64(len(p.raw))
	if gap := -pos & (sector - 1); gap > 0 {
		if gap < frame.HeaderSize {
			gap += sector
		}
		last++
		pad := make([]byte, gap)
		putPad(pad, j.id.seed, last, frame.At(st.keeper.epoch, 0))
		p.raw = append(p.raw, pad...)
		pos += gap
	}
	use := slotUse{seq: j.mark.seq, epoch: st.keeper.epoch, first: frame.At(st.keeper.epoch, 1), prev: end.doubt.prev, bytes: s.size}
	for _, w := range []struct {
		b  []byte
		at int64
	}{{p.raw, sector}, {use.encode(j.id), 0}} {
		if _, err := s.file.WriteAt(w.b, w.at); err != nil {
			return fmt.Errorf("journal file %s: %w", s.name, err)
		}
		if err := s.file.SyncData(); err != nil {
			return fmt.Errorf("journal file %s: %w", s.name, vfs.SyncFailed(err))
		}
	}
	s.slotUse, s.whole = use, true
	j.lsn, j.synced, j.mark = last, last, mark{lsn: last, seq: use.seq, pos: pos}
	st.resumed.over = parcel{}
	st.resumed.carried = s
	return nil
}
