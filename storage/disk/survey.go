package disk

import (
	"errors"
	"fmt"
	"slices"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// survey reads all that can be believed of a journal that is damaged below its synced mark: every frame whose sums hold and whose place in the order fits, in
// the order of LSNs, however much is missing between them. Behind a damaged header it looks for the next frame at steps of 8 bytes.
//
// What was synced was committed whole, so its frames count even where others of their entries are lost. Behind the synced mark the journal ends as
// ever at the first frame that is missing, and entries count only whole.
type survey struct {
	scan  *scan
	from  frame.LSN // up to it nothing is needed
	apply applier   // nil: only count
	found storage.Salvaged
	areas []*storage.DamageError // bytes that could not be read

	last  frame.LSN // of the newest frame, or of the newest that is known to be lost
	gaps  int       // how often frames were missing
	entry []surveyed
	torn  bool // frames of the entry are lost, or it is not known where it began
	over  bool // the journal ends

	behind place // what came behind the last frame of the slot before
}

// surveyed is a frame that is kept, or a batch whose body is lost.
type surveyed struct {
	place
	h    frame.Header
	raw  []byte // nil: lost
	gaps int    // see survey
	// synced is up to where its epoch is known to have been synced.
	synced frame.LSN
}

// applier takes what a survey keeps, in order. torn says that other frames of the entry are lost.
type applier func(f *surveyed, torn bool) error

func newSurvey(c *checkpoint, slots []*slot, apply applier) *survey {
	return &survey{scan: newScan(c, slots), from: max(c.from.lsn, c.applied), apply: apply, last: c.from.lsn}
}

// run reads the journal.
func (s *survey) run() error {
	order, err := s.order()
	if err != nil {
		return err
	}
	for i := range order {
		if s.over {
			break
		}
		if err := s.slot(&order[i]); err != nil {
			return err
		}
	}
	if s.over {
		return nil
	}
	return s.finish()
}

// leg is what is to be read of a slot.
type leg struct {
	*slot
	pos   int64
	first frame.LSN // that it begins with, as far as is known
}

// order returns the slots that may have frames of use, in the order of these.
func (s *survey) order() ([]leg, error) {
	var legs []leg
	for _, sl := range s.scan.slots {
		l := leg{slot: sl, pos: sector, first: sl.first}
		switch {
		case sl.whole && sl.seq == s.scan.at.seq && sl.epoch == s.scan.epoch:
			l.pos, l.first = s.scan.at.pos, s.scan.at.lsn+1
		case sl.whole && sl.first <= s.scan.at.lsn:
			continue
		case !sl.whole:
			first, err := s.lowest(sl)
			if err != nil {
				return nil, err
			}
			if first == 0 {
				continue
			}
			l.first = first
		}
		legs = append(legs, l)
	}
	slices.SortStableFunc(legs, func(a, b leg) int {
		switch {
		case a.first < b.first:
			return -1
		case a.first > b.first:
			return 1
		}
		return 0
	})
	return legs, nil
}

// lowest returns the LSN of the first frame of use in a slot whose header is lost, 0 if it has none.
func (s *survey) lowest(sl *slot) (first frame.LSN, err error) {
	errFound := errors.New("found")
	for _, epoch := range s.epochs() {
		err = s.scan.search(sl, sector, epoch, func(_ int64, h *frame.Header) error {
			if h.LSN <= s.scan.at.lsn || s.scan.cut(h.LSN) {
				return nil
			}
			first = h.LSN
			return errFound
		})
		if err != nil {
			break
		}
	}
	if err == errFound {
		err = nil
	}
	return first, err
}

// epochs returns the epochs that frames of use may have, ascending.
func (s *survey) epochs() []uint32 {
	all := []uint32{s.scan.epoch}
	for _, sl := range s.scan.slots {
		if sl.epoch > s.scan.epoch {
			all = append(all, sl.epoch)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// slot reads one slot.
func (s *survey) slot(l *leg) error {
	w := l.window()
	area := place{file: l.name, from: l.pos, to: l.pos} // between the last frame and where we are
	epochs := s.epochs()
	for pos := l.pos; pos+frame.HeaderSize <= l.size && !s.over; {
		f := surveyed{place: place{file: l.name, from: pos}}
		ok, err := s.read(w, &f)
		if err != nil {
			return err
		}
		if !ok || !slices.Contains(epochs, f.h.LSN.Epoch()) || area.from > l.pos && !s.fits(f.h.LSN, area) {
			pos += 8
			area.to = pos
			continue
		}
		pos = f.to
		if err := s.take(&f, area); err != nil {
			return err
		}
		area = place{file: l.name, from: pos, to: pos}
	}
	s.behind = place{file: l.name, from: area.from, to: l.size}
	return nil
}

// fits tells whether all frames that are missing in front of l can have been in so many bytes.
func (s *survey) fits(l frame.LSN, area place) bool {
	return l.Epoch() == s.last.Epoch() && int64(l-s.last-1) <= (area.to-area.from)/frame.HeaderSize
}

// read reads the frame at f.from, if one is there that comes behind the last one.
func (s *survey) read(w *window, f *surveyed) (bool, error) {
	b, err := w.at(f.from, frame.HeaderSize)
	if err != nil || len(b) < frame.HeaderSize {
		return false, err
	}
	f.h, err = frame.Parse(b, s.scan.id.seed)
	if errors.Is(err, frame.ErrVersion) {
		return false, fmt.Errorf("%w: %s, byte %d: %w", storage.ErrFormat, f.file, f.from, err)
	}
	if err != nil || f.h.LSN <= s.last || s.scan.cut(f.h.LSN) {
		return false, nil
	}
	f.to = f.from + int64(f.h.Size())
	if b, err = w.at(f.from, f.h.Size()); err != nil || len(b) < f.h.Size() {
		return false, err
	}
	raw := b[:f.h.Size()]
	if f.h.CheckBody(raw[frame.HeaderSize:][:f.h.BodyLen], s.scan.id.seed) == nil {
		f.raw = slices.Clone(raw)
	}
	return true, nil
}

// take adds a frame behind s.last.
func (s *survey) take(f *surveyed, area place) error {
	if err := s.reach(f.h.LSN, area); err != nil || s.over {
		return err
	}
	synced, err := s.scan.proven(f.h.LSN.Epoch())
	if err != nil {
		return err
	}
	if f.raw == nil && f.h.LSN > max(synced, s.from) { // a torn tail
		s.over = true
		return s.flush()
	}
	s.last = f.h.LSN
	f.gaps, f.synced = s.gaps, synced
	if f.raw == nil && f.h.LSN > s.from {
		s.torn = true
		s.lose(f.h.LSN, f.h.LSN, f.place, "the body does not match its sum")
	}
	s.entry = append(s.entry, *f)
	if f.h.Flags&frame.End == 0 {
		return nil
	}
	if !s.torn {
		s.found.Entries++
	}
	return s.flush()
}

// reach notes the frames that are missing between s.last and l. Those known to have been synced are lost; if there are others, the journal ended there.
func (s *survey) reach(l frame.LSN, area place) error {
	for _, epoch := range s.epochs() {
		if epoch <= s.last.Epoch() || epoch > l.Epoch() {
			continue
		}
		err := s.missing(max(s.scan.ends[s.last.Epoch()], s.last), area)
		if err == nil {
			err = s.breakOff()
		}
		if err != nil {
			return err
		}
		s.last = frame.At(epoch, 0)
	}
	return s.missing(l-1, area)
}

// missing notes that the frames behind s.last up to l are not there.
func (s *survey) missing(l frame.LSN, area place) error {
	if l <= s.last {
		return nil
	}
	synced, err := s.scan.proven(l.Epoch())
	if err != nil {
		return err
	}
	known := min(l, max(synced, s.from))
	if err := s.breakOff(); err != nil {
		return err
	}
	if area.from == area.to {
		area = s.behind
	}
	if known > max(s.last, s.from) {
		s.lose(max(s.last, s.from)+1, known, area, "no frame of the journal where one was")
		s.gaps++
		s.torn = known != synced // syncs come between entries
	}
	s.over = s.over || l > known
	s.last = known
	return nil
}

// breakOff ends an entry whose end is missing.
func (s *survey) breakOff() error {
	if len(s.entry) == 0 {
		return nil
	}
	s.torn = true
	return s.flush()
}

// flush applies what there is of an entry. Behind the synced mark only whole ones count.
func (s *survey) flush() error {
	entry, torn := s.entry, s.torn
	s.entry, s.torn = s.entry[:0], false
	for i := range entry {
		f := &entry[i]
		if f.h.LSN <= s.from || torn && f.h.LSN > f.synced {
			continue
		}
		if f.raw != nil {
			s.found.Records += int64(f.h.Count)
		}
		if s.apply == nil {
			continue
		}
		if err := s.apply(f, torn); err != nil {
			return err
		}
	}
	return nil
}

// finish ends the journal: what is known to have been synced behind the last frame is lost.
func (s *survey) finish() error {
	synced, err := s.scan.proven(s.last.Epoch())
	if err != nil {
		return err
	}
	return s.missing(max(synced, s.last), place{file: journalDir})
}

func (s *survey) lose(first, last frame.LSN, area place, reason string) {
	s.found.Lost = append(s.found.Lost, storage.FrameRange{First: uint64(first), Last: uint64(last)})
	s.found.Frames += int64(last - first + 1)
	s.found.Bytes += area.to - area.from
	s.areas = append(s.areas, &storage.DamageError{File: area.file, From: area.from, To: area.to, Reason: reason})
}
