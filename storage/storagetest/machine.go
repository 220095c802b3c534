package storagetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/leatmq/leat/storage"
	"pgregory.net/rapid"
)

// testModel compares random histories of one caller with the model. rapid prints the seed of a failure and shrinks it.
func testModel(t *testing.T, s *suite) {
	histories := 0
	rapid.Check(t, func(rt *rapid.T) {
		if histories++; s.Histories > 0 && histories > s.Histories {
			return
		}
		passed := false
		defer func() {
			if !passed {
				s.Histories = 0 // rapid is going to shrink it
			}
		}()
		m := &machine{suite: s, model: newModel()}
		s.Harness = s.fresh()
		m.reopen(rt)
		defer m.end()
		actions := map[string]func(*rapid.T){
			"topic": m.topic, "group": m.group, "append": m.append, "appendMany": m.append, "cursor": m.cursor, "read": m.read, "seek": m.seek,
			"trim": m.remove, "alter": m.alter, "grow": m.grow, "delete topic": m.deleteTopic, "delete group": m.deleteGroup, "": m.check,
		}
		if !s.Volatile {
			actions["reopen"] = m.reopen
		}
		if s.Crash != nil {
			actions["crash"] = m.crash
		}
		if s.Jump != nil {
			actions["clock"] = m.jump
		}
		if s.Seal != nil {
			actions["seal"], actions["damage"] = m.seal, m.damage
		}
		rt.Repeat(actions)
		passed = true
	})
}

// machine drives a store and the model.
type machine struct {
	*suite
	*model
	store storage.Store
}

func (m *machine) end() {
	if m.store != nil {
		m.close(m.store)
	}
}

func (m *machine) reopen(rt *rapid.T) {
	m.end()
	st, err := m.Open()
	if err != nil {
		rt.Fatalf("open: %v", err)
	}
	m.store = st
	m.forget()
}

// partition draws one of those that there are.
func (m *machine) partition(rt *rapid.T) storage.PartitionID {
	if len(m.partitions) == 0 {
		rt.Skip("no topics")
	}
	return rapid.SampledFrom(m.ids()).Draw(rt, "partition")
}

func (m *machine) append(rt *rapid.T) {
	first := m.partition(rt)
	e := &storage.Entry{}
	for i := range rapid.IntRange(1, 3).Draw(rt, "batches") {
		p := first
		if i > 0 {
			p = m.partition(rt)
		}
		if slices.ContainsFunc(e.Batches, func(b storage.Batch) bool { return b.Partition == p }) {
			continue
		}
		b := storage.Batch{Partition: p}
		for range rapid.IntRange(1, 5).Draw(rt, "records") {
			m.serial++
			b.Records = append(b.Records, mark{entry: m.serial}.record(rapid.IntRange(minValue, 9000).Draw(rt, "size")))
		}
		e.Batches = append(e.Batches, b)
	}
	if len(m.groups) > 0 && rapid.Bool().Draw(rt, "with cursor") {
		e.Cursors = append(e.Cursors, m.draw(rt))
	}
	m.commit(rt, e)
}

func (m *machine) cursor(rt *rapid.T) {
	if len(m.groups) == 0 {
		rt.Skip("no groups")
	}
	m.commit(rt, &storage.Entry{Cursors: []storage.Cursor{m.draw(rt), m.draw(rt)}})
}

// draw makes a cursor from the model's records.
func (m *machine) draw(rt *rapid.T) storage.Cursor {
	id := m.partition(rt)
	c := storage.Cursor{Group: rapid.SampledFrom(m.groups).Draw(rt, "group").ID, Partition: id}
	p := m.partitions[id]
	rs := p.records
	n := rapid.IntRange(0, len(rs)).Draw(rt, "done")
	c.Passed, c.Floor = int64(p.removed+n), p.first
	if n < len(rs) {
		c.Floor = rs[n].Offset
		c.Failed = []storage.Failure{{Offset: c.Floor, Attempts: rapid.Uint32().Draw(rt, "attempts"), Due: rapid.Int64().Draw(rt, "due")}}
	} else if n > 0 {
		c.Floor = rs[n-1].Offset + 1
	}
	if n+2 < len(rs) {
		c.Done = []storage.Range{{From: rs[n+1].Offset, To: rs[n+1].Offset + 1}}
		c.Passed++
	}
	return c
}

// commit appends e. What is in memory only must not be together with what is durable.
func (m *machine) commit(rt *rapid.T, e *storage.Entry) {
	inMemory, durable := 0, 0
	for _, b := range e.Batches {
		if m.volatile(b.Partition) {
			inMemory++
		} else {
			durable++
		}
	}
	for _, c := range e.Cursors {
		if !m.volatile(c.Partition) {
			durable++
		}
	}
	d, err := m.store.Append(m.Context(), e)
	if inMemory > 0 && durable > 0 {
		if !errors.Is(err, storage.ErrMixedDurability) {
			rt.Fatalf("an entry with %d batches in memory and %d batches and cursors that are durable: %v", inMemory, durable, err)
		}
		return
	}
	if err != nil {
		rt.Fatalf("append: %v", err)
	}
	if durable > 0 == (d == storage.InMemory) && !m.Volatile {
		rt.Fatalf("an entry with %d batches and cursors that are durable: durability %d", durable, d)
	}
	if err := m.add(e, d); err != nil {
		rt.Fatal(err)
	}
}

// read compares a read from anywhere, of any size.
func (m *machine) read(rt *rapid.T) {
	id := m.partition(rt)
	p := m.partitions[id]
	want, from := p.records, int64(0)
	if len(want) > 0 {
		from = rapid.SampledFrom(want).Draw(rt, "from").Offset + rapid.Int64Range(-1, 1).Draw(rt, "about")
	}
	size := rapid.IntRange(0, 40_000).Draw(rt, "bytes")
	got, next, err := m.store.Read(nil, id, from, size)
	if err != nil {
		rt.Fatalf("read: %v", err)
	}
	at, _ := p.at(from)
	if at < len(want) && len(got) == 0 || len(got) > len(want)-at {
		rt.Fatalf("partition %d from %d: read %d records, there are %d", id, from, len(got), len(want)-at)
	}
	if len(got) > 0 && next != got[len(got)-1].Offset+1 && at+len(got) < len(want) && next > want[at+len(got)].Offset {
		rt.Fatalf("partition %d from %d: next %d passes over %d", id, from, next, want[at+len(got)].Offset)
	}
	if err := sameRecords(got, want[at:at+len(got)]); err != nil {
		rt.Fatalf("partition %d from %d: %v", id, from, err)
	}
}

// seek compares the look-ups.
func (m *machine) seek(rt *rapid.T) {
	id := m.partition(rt)
	p := m.partitions[id]
	rs := p.records
	b, err := m.store.Bounds(id)
	if err != nil || b.Next < m.next[id] {
		rt.Fatalf("partition %d: bounds %+v, %v; want an end of at least %d", id, b, err, m.next[id])
	}
	if len(rs) == 0 {
		return
	}
	i := rapid.IntRange(0, len(rs)-1).Draw(rt, "record")
	if n, err := m.store.Ordinal(id, rs[i].Offset); err != nil || n != int64(p.removed+i) {
		rt.Fatalf("partition %d: ordinal of %d is %d, %v; want %d", id, rs[i].Offset, n, err, p.removed+i)
	}
	first := slices.IndexFunc(rs, func(r storage.Record) bool { return !r.Appended.Before(rs[i].Appended) })
	least := b.First // records that were removed may be as young, if the clock was set back
	if first > 0 {
		least = rs[first-1].Offset + 1
	}
	if o, err := m.store.OffsetAt(id, rs[i].Appended); err != nil || o < least || o > rs[first].Offset {
		rt.Fatalf("partition %d: offset at %v is %d, %v; want %d to %d", id, rs[i].Appended, o, err, least, rs[first].Offset)
	}
}

// check runs after every action. Cleanup may come at any time in the background, and comes at the latest now.
func (m *machine) check(rt *rapid.T) {
	if err := m.store.Clean(m.Context()); err != nil {
		rt.Fatalf("clean: %v", err)
	}
	m.clean()
	if err := m.differs(m.store); err != nil {
		rt.Fatal(err)
	}
}

// crash takes away the store. What is there afterwards must be all changes up to some one, and no fewer than were synced.
func (m *machine) crash(rt *rapid.T) {
	m.Crash()
	_ = m.store.Close(context.Background()) // it can do nothing any more, but its goroutines must end
	m.store = nil
	st, err := m.Open()
	if err != nil {
		rt.Fatalf("open: %v", err)
	}
	m.store = st
	m.forget()
	var why error
	for n := len(m.changes); n >= m.synced; n-- {
		m.cut(n)
		if why = m.differs(st); why == nil {
			m.found(st)
			return
		}
	}
	rt.Fatalf("the store is as it was after none of the changes from the %dth on; after that one: %v", m.synced, why)
}

// found notes how much of what a crash has left is durable: all of it, or, where the open leaves that for later, up to the last change that asks for it.
func (m *machine) found(st storage.Store) {
	doubts := m.Doubts != nil && m.Doubts(st)
	for n := len(m.changes); n > m.synced; n-- {
		if !doubts || m.always(&m.changes[n-1]) {
			m.synced = n
		}
	}
}
