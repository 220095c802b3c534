package storagetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
)

// testReadInPlace reads in the store's own memory: what was lent stays as it is, though it is removed and others need the memory, until it is returned, and for ever if it is abandoned.
func testReadInPlace(t *testing.T, s *suite) {
	st := s.open()
	l, ok := st.(storage.Lender)
	if !ok {
		t.Log("not run: the store lends nothing")
		return
	}
	const bound, size, count = 1 << 20, 8 << 10, 8
	p := s.strategic(st, "memory", 1, storage.Strategy{Level: storage.MemoryOnly, Memory: storage.MemoryPolicy{Bytes: bound, WhenFull: storage.DropOldest}}).First
	value := func(i int) string { return strings.Repeat(fmt.Sprintf("%07d ", i), size/8) }
	next := 0
	lend := func() (loan storage.Loan, rs []storage.Record, want []string) {
		t.Helper()
		b, err := st.Bounds(p)
		if err != nil {
			t.Fatal(err)
		}
		for range count {
			s.append(st, p, values(value(next))...)
			want = append(want, value(next))
			next++
		}
		rs, end, loan, err := l.ReadInPlace(nil, p, b.Next, count*2*size)
		if err != nil || loan == nil || end != b.Next+count || !slices.Equal(valuesOf(rs), want) {
			t.Fatalf("%d records up to %d, loan %v, %v", len(rs), end, loan, err)
		}
		return loan, rs, want
	}
	wear := func() { // has all memory be used again
		for range 4 * bound / size {
			s.append(st, p, values(value(next))...)
			next++
		}
	}
	loan, rs, want := lend()
	wear()
	if b, err := st.Bounds(p); err != nil || b.First <= rs[count-1].Offset {
		t.Fatalf("what was lent is not removed: %+v, %v", b, err)
	}
	if !slices.Equal(valuesOf(rs), want) {
		t.Error("what was lent is others")
	}
	loan.Return()
	for range 20 { // each costs what it was read in
		loan, rs, want = lend()
		loan.Abandon()
		wear()
		if !slices.Equal(valuesOf(rs), want) {
			t.Fatal("what was lent and abandoned is others")
		}
	}
	if b, err := st.Bounds(p); err != nil || b.Next-b.First < bound/size/2 {
		t.Errorf("of a bound of %d bytes there is room for %d records of %d, %v", bound, b.Next-b.First, size, err)
	}

	end, _ := st.Bounds(p)
	if rs, _, loan, err := l.ReadInPlace(nil, p, end.Next, size); len(rs) > 0 || loan != nil || err != nil {
		t.Errorf("at the end: %d records, loan %v, %v", len(rs), loan, err)
	}
	if rs, _, loan, err := l.ReadInPlace(nil, math.MaxUint32, 0, size); len(rs) > 0 || loan != nil || !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("of no partition: %d records, loan %v, %v", len(rs), loan, err)
	}
	other := s.topic(st, "durable", 1, storage.SyncAlways).First
	s.append(st, other, values("x")...)
	rs, _, loan, err := l.ReadInPlace(nil, other, 0, size)
	switch {
	case !s.Volatile && !errors.Is(err, errors.ErrUnsupported), s.Volatile && (err != nil || len(rs) != 1):
		t.Errorf("of a topic that others keep on disk: %d records, %v", len(rs), err)
	case loan != nil:
		loan.Return()
	}
}
