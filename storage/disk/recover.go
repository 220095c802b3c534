package disk

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// scan reads the journal behind a checkpoint: slots in the order of their use, frames in the order of their LSNs, entries whole. It ends at the
// first frame that is not there, and then tells a torn tail, which was never acknowledged as synced, from damage.
type scan struct {
	id    identity
	slots []*slot

	at      mark      // behind the last whole entry
	last    frame.LSN // of its frames; of an earlier epoch if this one has none
	epoch   uint32
	crossed bool // from one epoch to the next, which a lost checkpoint hides otherwise
	entries int64
	records int64

	applied frame.LSN // up to it the checkpoint has everything, and what became of the journal does not matter
	place   place     // of the frame that is visited
	lost    []lostFrame
	claimed map[uint32]frame.LSN // by epoch: see proven
	ends    map[uint32]frame.LSN // of epochs of which a later owner said where they end: see endsOf
	doubt   doubt

	hop   bool      // bodies of batches are neither read nor checked, since that was done before
	stops bool      // the scan ends behind the frame stop
	stop  frame.LSN // of this journal
	in    *slot     // with the frame that is visited
	notes *notes    // of what is seen; nil: none are taken

	window window // of the slot that is scanned
	reads  readahead
}

func (s *scan) state() scanState { return scanState{at: s.at, last: s.last, epoch: s.epoch} }

// resume has the scan go on where another was.
func (s *scan) resume(from scanState) { s.at, s.last, s.epoch = from.at, from.last, from.epoch }

// place is bytes of a file.
type place struct {
	file     string
	from, to int64
}

// lostFrame is a batch whose header holds and whose body does not, below the synced mark: exactly its records are lost.
type lostFrame struct {
	place
	h frame.Header
}

// visit is called for each frame of a whole entry. raw is valid during the call; it is nil for a batch whose body is lost, and for all that are passed over.
type visit func(h *frame.Header, raw []byte) error

// newScan begins where the checkpoint says.
func newScan(c *checkpoint, slots []*slot) *scan {
	s := &scan{id: c.id, slots: slots, at: c.from, last: c.last, epoch: c.epoch, applied: c.applied, ends: endsOf(c, slots)}
	s.doubt.begin(s.at, s.at.lsn)
	return s
}

// endsOf returns where epochs end by the word of later owners: what an open has cut, or took over into an epoch of its own, stays cut. The newest of them
// has the last word.
func endsOf(c *checkpoint, slots []*slot) map[uint32]frame.LSN {
	ends, by := map[uint32]frame.LSN{}, map[uint32]uint32{}
	if c.taken != 0 {
		ends[c.end.Epoch()], by[c.end.Epoch()] = c.end, c.taken
	}
	for _, sl := range slots {
		e := sl.prev.Epoch()
		if sl.begins() && (sl.epoch > by[e] || sl.epoch == by[e] && sl.prev < ends[e]) {
			ends[e], by[e] = sl.prev, sl.epoch
		}
	}
	var begun []*slot
	for _, sl := range slots {
		if sl.begins() {
			begun = append(begun, sl)
		}
	}
	for _, sl := range begun {
		if slices.ContainsFunc(begun, sl.isSkipped) {
			ends[sl.epoch] = frame.At(sl.epoch, 0)
		}
	}
	return ends
}

// isSkipped tells whether the owner who began later went on in front of the epoch that s begins.
func (s *slot) isSkipped(later *slot) bool {
	return later.epoch > s.epoch && later.prev.Epoch() < s.epoch
}

// begins tells whether the slot is the first of its epoch, behind another epoch.
func (s *slot) begins() bool {
	return s.whole && s.prev.Epoch() < s.epoch && s.first == frame.At(s.epoch, 1)
}

// cut tells whether a frame lies behind the end of its epoch.
func (s *scan) cut(l frame.LSN) bool {
	return l > s.endOf(l.Epoch())
}

// endOf is behind which frame of an epoch what follows was cut.
func (s *scan) endOf(epoch uint32) frame.LSN {
	if end, ok := s.ends[epoch]; ok {
		return end
	}
	return maxLSN
}

// run scans to the end.
func (s *scan) run(f visit) error {
	cur := s.use(s.at.seq)
	if cur != nil && cur.epoch != s.epoch {
		cur = nil
	}
	for {
		if cur != nil {
			if err := s.slot(cur, f); err != nil {
				return err
			}
		}
		if s.at.lsn != s.base() {
			s.last = s.at.lsn
		}
		if s.stops && s.at.lsn >= s.stop {
			return nil
		}
		next := s.follower(cur)
		if next == nil {
			return nil
		}
		s.at = mark{lsn: next.first - 1, seq: next.seq, pos: sector}
		if next.epoch != s.epoch {
			s.epoch, s.crossed = next.epoch, true
			s.doubt.begin(s.at, s.last)
		}
		s.doubt.enter(s.at)
		cur = next
	}
}

// base is the LSN in front of the epoch's first frame.
func (s *scan) base() frame.LSN { return frame.At(s.epoch, 0) }

// use returns the slot with a sequence number, of the newest epoch if there are several.
func (s *scan) use(seq uint64) (found *slot) {
	for _, sl := range s.slots {
		if seq != 0 && sl.seq == seq && (found == nil || sl.epoch > found.epoch) {
			found = sl
		}
	}
	return found
}

// follower returns the slot whose header says that it goes on behind cur: the next of this epoch, or else the first of the newest later one that does.
func (s *scan) follower(cur *slot) *slot {
	seq := s.at.seq
	if cur != nil || seq == 0 {
		seq++
	}
	if next := s.use(seq); next != nil && next.epoch == s.epoch && next.prev == s.last && !s.cut(next.first) {
		return next
	}
	var later *slot
	for _, sl := range s.slots {
		if sl.begins() && sl.epoch > s.epoch && (sl.prev == s.last || sl.prev == s.at.lsn) && (later == nil || sl.epoch > later.epoch) {
			later = sl
		}
	}
	return later
}

// slot scans one slot from s.at on.
func (s *scan) slot(sl *slot, f visit) error {
	s.window.turn(sl)
	e := entryReader{scan: s, slot: sl, window: &s.window, pos: s.at.pos, lsn: s.at.lsn, end: s.endOf((s.at.lsn + 1).Epoch())}
	if !s.hop {
		s.window.reads = &s.reads
		defer s.reads.settle()
	}
	for !s.stops || s.at.lsn < s.stop {
		whole, err := e.next()
		if err != nil || !whole {
			return err
		}
		for i := range e.frames {
			if err := s.visit(f, &e, &e.frames[i]); err != nil {
				return err
			}
		}
		s.at = mark{lsn: e.lsn, seq: sl.seq, pos: e.pos}
		s.doubt.pass(e.frames, s.at)
		if s.notes != nil {
			s.notes.take(&e, s.applied)
		}
	}
	return nil
}

func (s *scan) visit(f visit, e *entryReader, fr *found) error {
	s.place = place{file: e.slot.name, from: e.start + int64(fr.at), to: e.start + int64(fr.at+fr.h.Size())}
	s.in = e.slot
	raw := e.raw(fr)
	if fr.lost {
		raw = nil
		if fr.h.LSN > s.applied {
			s.lost = append(s.lost, lostFrame{place: s.place, h: fr.h})
		}
	} else {
		s.records += int64(fr.h.Count)
	}
	if fr.h.Flags&frame.End != 0 && fr.h.Kind != frame.Pad {
		s.entries++
	}
	if f == nil {
		return nil
	}
	return f(&fr.h, raw)
}

// judge looks for evidence that the journal went on, synced, behind the place where the scan ended: frames of the same epoch, anywhere, that
// were staged when the missing frame was known to be synced. Then it is damage. Else it is a torn tail, and cut is how many bytes of it there are.
func (s *scan) judge() (cut int64, err error) {
	missing := s.at.lsn + 1
	last := s.use(s.at.seq)
	for _, sl := range s.slots {
		if sl.epoch > s.epoch {
			return 0, s.damage(sl, 0, &frame.Header{LSN: sl.first})
		}
		if sl.seq != 0 && sl.seq < s.at.seq {
			continue
		}
		from := int64(sector)
		if sl == last && sl.epoch == s.epoch {
			from = s.at.pos // what is in front of it was scanned, or is in the checkpoint
		}
		err := s.search(sl, from, s.epoch, func(pos int64, h *frame.Header) error {
			if h.LSN < missing || s.cut(h.LSN) {
				return nil
			}
			if h.LSN-frame.LSN(h.SyncedBack) >= missing {
				return s.damage(sl, pos, h)
			}
			cut += int64(h.Size())
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return cut, nil
}

// search calls f for every header of the epoch in a slot, wherever it lies from a position on. It goes on behind the frame that the header promises.
func (s *scan) search(sl *slot, pos int64, epoch uint32, f func(pos int64, h *frame.Header) error) error {
	w := sl.window()
	w.reads = &readahead{}
	defer w.reads.settle()
	for pos+frame.HeaderSize <= sl.size {
		b, err := w.at(pos, frame.HeaderSize)
		if err != nil || len(b) < frame.HeaderSize {
			return err
		}
		i := frame.Search(b, epoch)
		if i < 0 {
			pos += int64(len(b)-frame.HeaderSize)&^7 + 8
			continue
		}
		pos, b = pos+int64(i), b[i:]
		h, err := frame.Parse(b, s.id.seed)
		if err != nil {
			pos += 8
			continue
		}
		if err := f(pos, &h); err != nil {
			return err
		}
		pos += int64(h.Size())
	}
	return nil
}

// proven returns the highest LSN of an epoch that is known to have been synced: a frame says so, or another epoch began behind it.
func (s *scan) proven(epoch uint32) (frame.LSN, error) {
	if l, ok := s.claimed[epoch]; ok {
		return l, nil
	}
	most := frame.At(epoch, 0)
	for _, sl := range s.slots {
		if sl.epoch > epoch && sl.prev.Epoch() == epoch {
			most = max(most, sl.prev)
		}
		err := s.search(sl, sector, epoch, func(_ int64, h *frame.Header) error {
			most = max(most, h.LSN-frame.LSN(h.SyncedBack))
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	if s.claimed == nil {
		s.claimed = map[uint32]frame.LSN{}
	}
	s.claimed[epoch] = most
	return most, nil
}

// missable tells whether the scan can go on behind a frame whose header holds and whose body does not: what is lost is known then, and it is
// either in the checkpoint or was once synced, so that it is damage and no torn tail.
func (s *scan) missable(h *frame.Header) (bool, error) {
	if h.LSN <= s.applied {
		return true, nil
	}
	if h.Kind != frame.Batch {
		return false, nil
	}
	synced, err := s.proven(h.LSN.Epoch())
	return h.LSN <= synced, err
}

func (s *scan) damage(sl *slot, pos int64, h *frame.Header) error {
	return s.broken(fmt.Errorf("the journal breaks off behind frame %x, but frame %x in %s at byte %d says that more was synced",
		uint64(s.at.lsn), uint64(h.LSN), sl.name, pos))
}

// broken is damage at the place where the scan is.
func (s *scan) broken(cause error) *storage.DamageError {
	name := fmt.Sprintf("%s (use %d)", journalDir, s.at.seq)
	if at := s.use(s.at.seq); at != nil {
		name = at.name
	}
	return &storage.DamageError{File: name, From: s.at.pos, Reason: cause.Error()}
}

// shortened returns damage if a journal file that may be needed is missing, or shorter than it was made: nothing but a hand from
// outside does that, and what is missing would look like a torn tail.
func (s *scan) shortened(c *checkpoint) error {
	have := map[int]*slot{}
	for _, sl := range s.slots {
		have[sl.number] = sl
		if sl.whole && sl.seq >= c.from.seq && sl.bytes > sl.size {
			return shortSlot(sl.name, sl.size, sl.bytes)
		}
	}
	for _, want := range c.files {
		sl := have[want.number]
		switch {
		case sl == nil:
			return shortSlot(slotName(want.number), 0, want.size)
		case sl.size < want.size && (!sl.whole || sl.seq >= c.from.seq):
			return shortSlot(sl.name, sl.size, want.size)
		}
	}
	return nil
}

func shortSlot(name string, is, was int64) error {
	reason := fmt.Sprintf("the file was made with %d bytes, and ends at %d", was, is)
	if is == 0 {
		reason = fmt.Sprintf("the file was made with %d bytes, and is missing or empty", was)
	}
	return &storage.DamageError{File: name, From: is, To: was, Reason: reason}
}

// maxSlots bounds how many journal files are opened: no journal within its budget has as many.
const maxSlots = 4096

// openSlots opens all journal files and reads their headers. made is the number of the next file.
func openSlots(fsys vfs.FS, id identity) (slots []*slot, made int, foreign []string, err error) {
	infos, err := fsys.List(journalDir)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("storage: journal: %w", err)
	}
	for _, info := range infos {
		n, ok := slotNumber(info.Name)
		if !ok {
			foreign = append(foreign, journalDir+"/"+info.Name)
			continue
		}
		made = max(made, n+1) // the name is taken, whatever it is
		if !info.Regular {
			foreign = append(foreign, journalDir+"/"+info.Name)
			continue
		}
		sl, err := openSlot(fsys, n, id)
		if err != nil {
			closeSlots(slots)
			return nil, 0, nil, err
		}
		slots = append(slots, sl)
	}
	slices.SortFunc(slots, func(a, b *slot) int { return a.number - b.number })
	return slots, made, foreign, nil
}

// slotNumber returns the number in the name of a journal file.
func slotNumber(name string) (n int, ok bool) {
	n, err := strconv.Atoi(name)
	return n, err == nil && n >= 0 && journalDir+"/"+name == slotName(n) && n < maxSlots
}

func closeSlots(slots []*slot) {
	for _, s := range slots {
		s.file.Close()
	}
}

func openSlot(fsys vfs.FS, number int, id identity) (*slot, error) {
	name := slotName(number)
	f, err := fsys.Open(name, vfs.ReadWrite)
	if err != nil {
		return nil, fmt.Errorf("storage: journal: %w", err)
	}
	size, err := f.Size()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("storage: journal: %w", err)
	}
	header, err := readAt(f, name, 0, sector)
	if err != nil {
		f.Close()
		return nil, err
	}
	sl := &slot{name: name, number: number, file: f, size: min(size, maxSlotFile) &^ (sector - 1), ours: ours(header, slotMagic)}
	sl.slotUse, sl.whole, err = decodeSlot(header, id)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return sl, nil
}
