package frontier

// Window is the records of a partition from the floor up to where reading has come. The zero value is at offset 0, with nothing done.
type Window struct {
	next   int64  // where reading goes on
	passed int64  // records done
	bytes  int    // of the records in slots
	open   int64  // records in slots that are not done
	undone int64  // bytes of these
	ring   []slot // a power of two; slot number n is at n modulo its length
	base   uint64 // first slot. Invariant: it is not done
	end    uint64 // behind the last slot
	ahead  []Range
	failed map[int64]Failure
}

// slot is a record that was read.
type slot struct {
	offset int64
	size   int32
	done   bool
}

const firstRing = 16

// Restore makes w what s was taken from, with nothing read: reading begins at the floor. It keeps none of s's slices.
func (w *Window) Restore(s *State) {
	*w = Window{next: s.Floor, passed: s.Passed, ahead: append([]Range(nil), s.Done...)}
	for _, f := range s.Failed {
		w.Fail(f)
	}
}

// Rewind forgets what was read and is not done: reading begins at the floor again.
func (w *Window) Rewind() {
	var s State
	w.State(&s)
	w.Restore(&s)
}

// Add takes in the record at offset, at least Next, with its size in bytes, and returns the number of its slot. It is false if the record
// is done already.
func (w *Window) Add(offset int64, size int) (n uint64, fresh bool) {
	fresh = !w.doneAhead(offset)
	w.next = offset + 1
	if !fresh && w.base == w.end {
		return w.end, false // the floor passes it
	}
	if w.end-w.base == uint64(len(w.ring)) {
		w.grow()
	}
	n = w.end
	w.end++
	*w.slot(n) = slot{offset: offset, size: int32(size), done: !fresh}
	w.bytes += size
	if fresh {
		w.open++
		w.undone += int64(size)
	}
	return n, fresh
}

// doneAhead tells whether offset is in the ranges that were restored, and drops those that are behind it.
func (w *Window) doneAhead(offset int64) bool {
	n := 0
	for n < len(w.ahead) && w.ahead[n].To <= offset {
		n++
	}
	w.ahead = w.ahead[n:]
	return len(w.ahead) > 0 && w.ahead[0].From <= offset
}

// Advance says that reading came to next: there are no records between the last one and next.
func (w *Window) Advance(next int64) {
	w.next = max(w.next, next)
	for len(w.ahead) > 0 && w.ahead[0].To <= w.next {
		w.ahead = w.ahead[1:]
	}
}

// Skip says that n records below next were neither read nor done and are gone: they count as done, and reading goes on at next.
func (w *Window) Skip(next, n int64) {
	for offset := range w.failed {
		if w.next <= offset && offset < next {
			delete(w.failed, offset)
		}
	}
	w.Advance(next)
	w.passed += n
}

// Reached says that reading came to the end, and that total records were ever stored: those that are not in slots are done, or
// gone. It returns how many are gone that were not counted as done; they are from here on.
func (w *Window) Reached(total int64) (gone int64) {
	gone = total - w.open - w.passed
	w.passed += gone
	return max(0, gone)
}

// Ahead returns the ranges done above Next. They must not be changed.
func (w *Window) Ahead() []Range { return w.ahead }

// Done finishes the record of slot n, which was fresh and not done.
func (w *Window) Done(n uint64) {
	s := w.slot(n)
	s.done = true
	w.passed++
	w.open--
	w.undone -= int64(s.size)
	if len(w.failed) > 0 {
		delete(w.failed, s.offset)
	}
	for w.base < w.end && w.slot(w.base).done {
		w.bytes -= int(w.slot(w.base).size)
		w.base++
	}
}

// Fail remembers f until its record is done.
func (w *Window) Fail(f Failure) {
	if w.failed == nil {
		w.failed = map[int64]Failure{}
	}
	w.failed[f.Offset] = f
}

// Failure returns what was remembered of the record at offset.
func (w *Window) Failure(offset int64) (Failure, bool) {
	if len(w.failed) == 0 {
		return Failure{}, false
	}
	f, ok := w.failed[offset]
	return f, ok
}

// Floor returns the offset below which every record is done.
func (w *Window) Floor() int64 {
	switch {
	case w.base < w.end:
		return w.slot(w.base).offset
	case len(w.ahead) > 0 && w.ahead[0].From <= w.next:
		return max(w.next, w.ahead[0].To)
	}
	return w.next
}

// Next returns the offset at which reading goes on.
func (w *Window) Next() int64 { return w.next }

// Passed counts the records that are done, those from before the last Restore included.
func (w *Window) Passed() int64 { return w.passed }

// Open counts the records that were read and are not done.
func (w *Window) Open() int64 { return w.open }

// OpenBytes is the size of these.
func (w *Window) OpenBytes() int64 { return w.undone }

// Size returns the size of the record of slot n.
func (w *Window) Size(n uint64) int64 { return int64(w.slot(n).size) }

// Len counts the records from the floor up to where reading has come, done or not.
func (w *Window) Len() int { return int(w.end - w.base) }

// Bytes returns the size of these records.
func (w *Window) Bytes() int { return w.bytes }

func (w *Window) slot(n uint64) *slot { return &w.ring[n&uint64(len(w.ring)-1)] }

func (w *Window) grow() {
	old := *w
	w.ring = make([]slot, max(firstRing, 2*len(old.ring)))
	for n := w.base; n < w.end; n++ {
		*w.slot(n) = *old.slot(n)
	}
}
