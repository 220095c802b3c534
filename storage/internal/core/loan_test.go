package core

import (
	"bytes"
	"errors"
	"testing"

	"github.com/leatmq/leat/storage"
)

// TestLoan: a block that somebody reads in is used by nobody else, though it has nothing of a partition any more: until the loan is returned, and never again when it is abandoned; then others take its place.
func TestLoan(t *testing.T) {
	m, topic := openPooled(t, 1)
	id := topic.Partition(0)
	p := m.core.Catalog.Partition(id)
	for _, abandoned := range []bool{false, true} {
		for range 2 { // the second in a block of the usual size, which the pool keeps
			m.append(t, storage.Batch{Partition: id, Records: []storage.Record{{Value: bytes.Repeat([]byte{'a'}, 600<<10)}}})
		}
		at := p.end - 1
		rs, next, l, err := m.core.ReadInPlace(nil, id, at, 1)
		if err != nil || len(rs) != 1 || next != at+1 {
			t.Fatalf("%d records up to %d, %v", len(rs), next, err)
		}
		lent := p.last()
		if v := rs[0].Value; &v[0] != &lent.buf[lent.used-len(v)] {
			t.Error("the record is not read where it lies")
		}
		m.core.Begin(p, next)
		other := m.pool.Get(1)
		if other == lent {
			t.Error("what is lent is given to another")
		}
		if abandoned {
			l.Abandon()
		} else {
			l.Return()
		}
		if live := m.pool.Live(); live != int64(other.Cap()) {
			t.Errorf("%d bytes are in use, want the %d of the one block", live, other.Cap())
		}
		if again := m.pool.Get(1); (again == lent) == abandoned {
			t.Errorf("used again: %v, abandoned: %v", again == lent, abandoned)
		} else {
			again.Release()
		}
		other.Release()
	}
}

// TestFaultInALoan: what cannot be read is not lent.
func TestFaultInALoan(t *testing.T) {
	m, topic := openPooled(t, 1)
	id := topic.Partition(0)
	if _, _, l, err := m.core.ReadInPlace(nil, id+1, 0, 1); l != nil || !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("of no partition: %v, %v", l, err)
	}
	m.append(t, storage.Batch{Partition: id, Records: []storage.Record{{Key: []byte("key"), Value: []byte("value")}}})
	p := m.core.Catalog.Partition(id)
	f := p.tail.at(0)
	for i := range f.bytes() {
		f.bytes()[i] = 0xff
	}
	var damage *storage.DamageError
	if rs, _, l, err := m.core.ReadInPlace(nil, id, 0, 1); l != nil || len(rs) > 0 || !errors.As(err, &damage) || damage.First != 0 || damage.Next != 1 {
		t.Errorf("of what no record can be: %d records, %v, %v", len(rs), l, err)
	}
	m.core.Begin(p, 1)
	if live := m.pool.Live(); live != 0 {
		t.Errorf("%d bytes are in use, and nothing is stored or lent", live)
	}
}
