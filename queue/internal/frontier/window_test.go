package frontier

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is a partition with gaps, and what a group did with it, one record after the other.
type model struct {
	w       Window
	records []int64 // offsets stored, ascending
	end     int64   // above all of them
	done    map[int64]bool
	failed  map[int64]Failure
	slots   map[int64]uint64 // read and not done
	first   int64            // floor at the beginning
	gone    int64            // records that were removed before they were done
}

func TestWindowKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Int64Range(0, 5).Draw(t, "first")
		m := &model{done: map[int64]bool{}, failed: map[int64]Failure{}, slots: map[int64]uint64{}, end: first, first: first}
		m.w.Restore(&State{Floor: first})
		t.Repeat(map[string]func(*rapid.T){
			"store":   m.store,
			"read":    m.read,
			"done":    m.finish,
			"fail":    m.fail,
			"restore": m.restore,
			"remove":  m.remove,
			"reach":   m.reach,
			"":        m.check,
		})
	})
}

func (m *model) store(t *rapid.T) {
	m.end += rapid.Int64Range(0, 3).Draw(t, "gap")
	m.records = append(m.records, m.end)
	m.end++
}

// read takes in some records that were not read yet, as a store returns them.
func (m *model) read(t *rapid.T) {
	from := m.w.Next()
	i, _ := slices.BinarySearch(m.records, from)
	left := m.records[i:]
	n := rapid.IntRange(0, len(left)).Draw(t, "records")
	for _, offset := range left[:n] {
		slot, fresh := m.w.Add(offset, 10)
		if fresh == m.done[offset] {
			t.Fatalf("offset %d: fresh %v, done %v", offset, fresh, m.done[offset])
		}
		if fresh {
			m.slots[offset] = slot
		}
	}
	if n < len(left) {
		m.w.Advance(left[n])
	}
}

func (m *model) open(t *rapid.T) int64 {
	var offsets []int64
	for offset := range m.slots {
		offsets = append(offsets, offset)
	}
	if len(offsets) == 0 {
		t.Skip("nothing is open")
	}
	slices.Sort(offsets)
	return rapid.SampledFrom(offsets).Draw(t, "offset")
}

// finish ends a record. What was said before of the State after it is the State then.
func (m *model) finish(t *rapid.T) {
	offset := m.open(t)
	var now, said, then State
	m.w.State(&now)
	m.w.StateAfter(&said, m.slots[offset])
	m.w.State(&then)
	if !same(now, then) {
		t.Fatalf("the state is %+v, %+v before what comes was asked for", then, now)
	}
	defer func() {
		if m.w.State(&then); !same(said, then) {
			t.Fatalf("the state is %+v, said before was %+v", then, said)
		}
	}()
	m.w.Done(m.slots[offset])
	m.done[offset] = true
	delete(m.slots, offset)
	delete(m.failed, offset)
}

func same(a, b State) bool {
	return a.Floor == b.Floor && a.Passed == b.Passed && slices.Equal(a.Done, b.Done) && slices.Equal(a.Failed, b.Failed)
}

func (m *model) fail(t *rapid.T) {
	offset := m.open(t)
	f := Failure{Offset: offset, Attempts: m.failed[offset].Attempts + 1, Due: rapid.Int64().Draw(t, "due")}
	m.w.Fail(f)
	m.failed[offset] = f
}

// restore is a restart.
func (m *model) restore(t *rapid.T) {
	if rapid.Bool().Draw(t, "rewind") {
		m.w.Rewind()
	} else {
		var s State
		m.w.State(&s)
		m.w = Window{}
		m.w.Restore(&s)
	}
	m.slots = map[int64]uint64{}
	if m.w.Next() > m.w.Floor() || m.w.Len() != 0 || m.w.Bytes() != 0 {
		t.Fatalf("something is read after a restart: next %d, floor %d, %d records", m.w.Next(), m.w.Floor(), m.w.Len())
	}
}

// remove takes away what was not read, up to an offset, and what is done of it.
func (m *model) remove(t *rapid.T) {
	next := m.w.Next() + rapid.Int64Range(0, 5).Draw(t, "up to")
	if next > m.end {
		t.Skip("beyond the end")
	}
	n := int64(0)
	m.records = slices.DeleteFunc(m.records, func(offset int64) bool {
		gone := m.w.Next() <= offset && offset < next
		if gone && !m.done[offset] {
			n++
			delete(m.failed, offset)
		}
		return gone
	})
	m.gone += n
	m.w.Skip(next, n)
}

// reach reads to the end, and finds that records are gone in between.
func (m *model) reach(t *rapid.T) {
	i, _ := slices.BinarySearch(m.records, m.w.Next())
	for _, offset := range m.records[i:] {
		if slot, fresh := m.w.Add(offset, 10); fresh {
			m.slots[offset] = slot
		}
	}
	m.w.Advance(m.end)
	gone := rapid.Int64Range(0, 3).Draw(t, "gone")
	total := int64(len(m.done)+len(m.slots)) + m.gone + gone
	if got := m.w.Reached(total); got != gone {
		t.Fatalf("%d are gone, want %d", got, gone)
	}
	m.gone += gone
}

func (m *model) check(t *rapid.T) {
	var s State
	m.w.State(&s)
	if s.Passed != int64(len(m.done))+m.gone || m.w.Passed() != s.Passed || m.w.Open() != int64(len(m.slots)) {
		t.Fatalf("passed %d and %d open, want %d and %d; %d open", s.Passed, m.w.Open(), len(m.done), m.gone, len(m.slots))
	}
	if s.Floor != m.w.Floor() || s.Floor < m.first {
		t.Fatalf("floor %d in the state, %d in the window, first %d", s.Floor, m.w.Floor(), m.first)
	}
	m.checkDone(t, &s)
	at, open := s.Floor, 0
	for _, r := range s.Done {
		if r.From <= at || r.To <= r.From {
			t.Fatalf("ranges %v are not ascending, apart and above floor %d", s.Done, s.Floor)
		}
		at = r.To
	}
	for _, offset := range m.records {
		if offset >= s.Floor && offset < m.w.Next() {
			open++
		}
	}
	if m.w.Len() != open || m.w.Bytes() != 10*open {
		t.Fatalf("the window has %d records and %d bytes, want %d and %d", m.w.Len(), m.w.Bytes(), open, 10*open)
	}
	var failed []Failure
	for _, f := range m.failed {
		failed = append(failed, f)
	}
	slices.SortFunc(failed, func(a, b Failure) int { return int(a.Offset - b.Offset) })
	if !reflect.DeepEqual(failed, append([]Failure(nil), s.Failed...)) {
		t.Fatalf("failed %v, want %v", s.Failed, failed)
	}
}

// checkDone says that the state counts exactly those records as done that are, and that the floor stands as high as it can.
func (m *model) checkDone(t *rapid.T, s *State) {
	for _, offset := range m.records {
		said := offset < s.Floor || slices.ContainsFunc(s.Done, func(r Range) bool { return r.From <= offset && offset < r.To })
		if said != m.done[offset] {
			t.Fatalf("offset %d: done %v, and %v by floor %d and %v", offset, m.done[offset], said, s.Floor, s.Done)
		}
		if !m.done[offset] && offset < m.w.Next() && s.Floor > offset {
			t.Fatalf("floor %d is above %d, which is not done", s.Floor, offset)
		}
	}
	for _, offset := range m.records {
		if offset >= m.w.Next() {
			break
		}
		if !m.done[offset] {
			if s.Floor != offset {
				t.Fatalf("floor %d, though the first that is not done is %d", s.Floor, offset)
			}
			return
		}
	}
}

func TestFailureWithoutRecordIsForgotten(t *testing.T) {
	var w Window
	w.Restore(&State{Failed: []Failure{{Offset: 2, Attempts: 3}}})
	w.Advance(5)
	var s State
	if w.State(&s); s.Floor != 5 || len(s.Failed) != 0 {
		t.Errorf("floor %d, failed %v: a failure below the floor is of no use and refused by the store", s.Floor, s.Failed)
	}
}

func TestWindowDoesNotAllocateInSteadyState(t *testing.T) {
	var w Window
	offset := int64(0)
	var s State
	work := func() {
		a, _ := w.Add(offset, 1)
		b, _ := w.Add(offset+1, 1)
		offset += 2
		w.Done(b)
		w.State(&s)
		w.Done(a)
	}
	work()
	if n := testing.AllocsPerRun(1000, work); n > 0 {
		t.Errorf("%v allocations for two records", n)
	}
}

// TestRangesStayApart: a range that was restored is read in pieces, and is one range all the while.
func TestRangesStayApart(t *testing.T) {
	var w Window
	w.Restore(&State{Done: []Range{{1, 4}, {6, 7}}})
	for offset := range int64(7) {
		w.Add(offset, 1)
		var s State
		if w.State(&s); s.Floor != 0 || !slices.Equal(s.Done, []Range{{1, 4}, {6, 7}}) {
			t.Fatalf("read up to %d: floor %d, done %v", offset, s.Floor, s.Done)
		}
	}
	w.Done(0)
	if w.Floor() != 4 {
		t.Errorf("floor %d", w.Floor())
	}
}
