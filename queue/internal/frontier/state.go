package frontier

import (
	"cmp"
	"slices"
)

// State is what has to be kept of a Window to make it again.
type State struct {
	Floor  int64     // every record below is done
	Passed int64     // how many records are done, those below the floor and those in Done
	Done   []Range   // done above the floor: ascending, apart, none touching Floor
	Failed []Failure // not done and tried before: ascending
}

// Range is the offsets from From up to but not including To.
type Range struct{ From, To int64 }

// Failure is what is remembered of a record whose attempts failed.
type Failure struct {
	Offset   int64
	Attempts uint32
	Due      int64  // as the caller understands it
	Note     string // the same
}

// State replaces what s holds, in its slices where they are large enough.
func (w *Window) State(s *State) { w.StateAfter(s) }

// StateAfter is the State that there will be when the records of slots, which are not done, are. Nothing changes.
func (w *Window) StateAfter(s *State, slots ...uint64) {
	for _, n := range slots {
		w.slot(n).done = true
	}
	floor, base := w.Floor(), w.base
	for w.base < w.end && w.slot(w.base).done {
		w.base++
	}
	w.state(s, floor)
	s.Passed += int64(len(slots))
	w.base = base
	for _, n := range slots {
		w.slot(n).done = false
	}
	if len(s.Failed) > 0 && len(slots) > 0 {
		w.strike(s, slots)
	}
}

// strike takes the failures of slots out of s.
func (w *Window) strike(s *State, slots []uint64) {
	offsets := make([]int64, len(slots))
	for i, n := range slots {
		offsets[i] = w.slot(n).offset
	}
	slices.Sort(offsets)
	s.Failed = slices.DeleteFunc(s.Failed, func(f Failure) bool {
		_, done := slices.BinarySearch(offsets, f.Offset)
		return done
	})
}

// state forgets failures below floor.
func (w *Window) state(s *State, floor int64) {
	s.Floor, s.Passed = w.Floor(), w.passed
	s.Done = w.appendDone(s.Done[:0], s.Floor)
	s.Failed = s.Failed[:0]
	for offset, f := range w.failed {
		if offset < floor { // its record is gone
			delete(w.failed, offset)
		}
		if offset < s.Floor {
			continue
		}
		s.Failed = append(s.Failed, f)
	}
	slices.SortFunc(s.Failed, func(a, b Failure) int { return cmp.Compare(a.Offset, b.Offset) })
}

func (w *Window) appendDone(done []Range, floor int64) []Range {
	open := false
	for n := w.base; n < w.end; n++ {
		s := w.slot(n)
		switch {
		case !s.done:
			open = false
		case open:
			done[len(done)-1].To = s.offset + 1
		default:
			done, open = append(done, Range{s.offset, s.offset + 1}), true
		}
	}
	for _, r := range w.ahead {
		r.From = max(r.From, w.next)
		switch {
		case r.To <= floor || r.From >= r.To:
		case open && r.From <= w.next: // nothing but a gap between it and the last slot
			done[len(done)-1].To = r.To
		default:
			done = append(done, r)
		}
		open = false
	}
	return done
}
