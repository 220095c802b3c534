package disk

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

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
}

// visit is called for each frame of a whole entry. raw is valid during the call.
type visit func(h *frame.Header, raw []byte) error

// newScan begins where the checkpoint says.
func newScan(c *checkpoint, slots []*slot) *scan {
	return &scan{id: c.id, slots: slots, at: c.from, last: c.last, epoch: c.epoch}
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
		next := s.follower(cur)
		if next == nil {
			return nil
		}
		if next.epoch != s.epoch {
			s.epoch, s.crossed = next.epoch, true
		}
		s.at = mark{lsn: next.first - 1, seq: next.seq, pos: sector}
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

// follower returns the slot whose header says that it goes on behind cur.
func (s *scan) follower(cur *slot) *slot {
	seq := s.at.seq
	if cur != nil || seq == 0 {
		seq++
	}
	next := s.use(seq)
	if next == nil || next.epoch < s.epoch || next.prev != s.last {
		return nil
	}
	return next
}

// slot scans one slot from s.at on.
func (s *scan) slot(sl *slot, f visit) error {
	data, err := readSlot(sl)
	if err != nil {
		return err
	}
	type found struct {
		h   frame.Header
		raw []byte
	}
	var entry []found
	pos, lsn := s.at.pos, s.at.lsn
	for pos <= int64(len(data)) {
		h, _, size, err := frame.Next(data[pos:], s.id.seed)
		if errors.Is(err, frame.ErrVersion) {
			return fmt.Errorf("%w: %s, byte %d: %w", storage.ErrFormat, sl.name, pos, err)
		}
		if err != nil || h.LSN != lsn+1 {
			return nil
		}
		entry = append(entry, found{h, data[pos : pos+int64(size)]})
		lsn++
		pos += int64(size)
		if h.Flags&frame.End == 0 {
			continue
		}
		for i := range entry {
			if err := s.visit(f, &entry[i].h, entry[i].raw); err != nil {
				return err
			}
		}
		entry = entry[:0]
		s.at = mark{lsn: lsn, seq: sl.seq, pos: pos}
	}
	return nil
}

func (s *scan) visit(f visit, h *frame.Header, raw []byte) error {
	s.records += int64(h.Count)
	if h.Flags&frame.End != 0 && h.Kind != frame.Pad {
		s.entries++
	}
	if f == nil {
		return nil
	}
	return f(h, raw)
}

func readSlot(sl *slot) ([]byte, error) {
	data := make([]byte, sl.size)
	n, err := sl.file.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("storage: reading journal file %s: %w", sl.name, err)
	}
	return data[:n], nil
}

// judge looks for evidence that the journal went on, synced, behind the place where the scan ended: frames of the same epoch, anywhere, that
// were staged when the missing frame was known to be synced. Then it is damage. Else it is a torn tail, and cut is how many bytes of it there are.
func (s *scan) judge() (cut int64, err error) {
	missing := s.at.lsn + 1
	for _, sl := range s.slots {
		if sl.epoch > s.epoch {
			return 0, s.damage(sl, 0, &frame.Header{LSN: sl.first})
		}
		if sl.seq != 0 && sl.seq < s.at.seq {
			continue
		}
		data, err := readSlot(sl)
		if err != nil {
			return 0, err
		}
		for pos := int64(sector); pos+frame.HeaderSize <= int64(len(data)); pos += 8 {
			h, ok := s.later(data[pos:], missing)
			if !ok {
				continue
			}
			if h.LSN-frame.LSN(h.SyncedBack) >= missing {
				return 0, s.damage(sl, pos, &h)
			}
			cut += int64(h.Size())
		}
	}
	return cut, nil
}

// later returns the header at the start of b if it is of a frame of the scan's epoch from the missing one on.
func (s *scan) later(b []byte, missing frame.LSN) (frame.Header, bool) {
	if !frame.Resembles(b, s.epoch) {
		return frame.Header{}, false
	}
	h, err := frame.Parse(b, s.id.seed)
	return h, err == nil && h.LSN >= missing
}

func (s *scan) damage(sl *slot, pos int64, h *frame.Header) error {
	name := fmt.Sprintf("%s (use %d)", journalDir, s.at.seq)
	if at := s.use(s.at.seq); at != nil {
		name = at.name
	}
	return &storage.DamageError{
		File: name, From: s.at.pos,
		Reason: fmt.Sprintf("the journal breaks off behind frame %x, but frame %x in %s at byte %d says that more was synced", uint64(s.at.lsn), uint64(h.LSN), sl.name, pos),
	}
}

// openSlots opens all journal files and reads their headers. made is the number of the next file.
func openSlots(fsys vfs.FS, id identity) (slots []*slot, made int, foreign []string, err error) {
	infos, err := fsys.List(journalDir)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("storage: journal: %w", err)
	}
	for _, info := range infos {
		n := 0
		if _, err := fmt.Sscanf(info.Name, "%d", &n); err != nil || fmt.Sprintf("%02d", n) != info.Name || !info.Regular {
			foreign = append(foreign, journalDir+"/"+info.Name)
			continue
		}
		made = max(made, n+1)
		sl, err := openSlot(fsys, journalDir+"/"+info.Name, id)
		if err != nil {
			closeSlots(slots)
			return nil, 0, nil, err
		}
		slots = append(slots, sl)
	}
	slices.SortFunc(slots, func(a, b *slot) int { return strings.Compare(a.name, b.name) })
	return slots, made, foreign, nil
}

func closeSlots(slots []*slot) {
	for _, s := range slots {
		s.file.Close()
	}
}

func openSlot(fsys vfs.FS, name string, id identity) (*slot, error) {
	f, err := fsys.Open(name, vfs.ReadWrite)
	if err != nil {
		return nil, fmt.Errorf("storage: journal: %w", err)
	}
	size, err := f.Size()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("storage: journal: %w", err)
	}
	header := make([]byte, sector)
	n, err := f.ReadAt(header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, fmt.Errorf("storage: journal: %w", err)
	}
	sl := &slot{name: name, file: f, size: size}
	sl.slotUse, _ = decodeSlot(header[:n], id)
	return sl, nil
}
