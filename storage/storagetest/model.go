package storagetest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/leatmq/leat/storage"
)

// model is what a store is when nothing can go wrong: a few maps and slices. It keeps its changes, so that it can be cut back to
// what survived a crash.
type model struct {
	topics     []storage.Topic
	groups     []storage.Group
	partitions map[storage.PartitionID]*modelPart
	cursors    map[cursorKey]storage.Cursor
	next       map[storage.PartitionID]int64 // above every offset that was ever given away

	newest map[storage.PartitionID]time.Time // append time since it was opened

	changes []modelChange
	synced  int    // of the changes: they survive
	serial  uint64 // of the newest record
	names   int    // of topics and groups ever made
}

// modelPart is a partition.
type modelPart struct {
	records []storage.Record
	first   int64 // no record below it is there
	removed int   // records
	last    int64 // offset of the last of them; -1: none
}

// modelChange is an entry, or that a partition was trimmed. Topics and groups survive every crash, and so do their changes.
type modelChange struct {
	entry storage.Entry
	trim  storage.PartitionID
	first int64 // 0: no trim
}

func newModel() *model {
	return &model{
		partitions: map[storage.PartitionID]*modelPart{}, cursors: map[cursorKey]storage.Cursor{}, next: map[storage.PartitionID]int64{},
		newest: map[storage.PartitionID]time.Time{},
	}
}

func (m *model) ids() []storage.PartitionID { return slices.Sorted(maps.Keys(m.partitions)) }

func (m *model) topicOf(p storage.PartitionID) *storage.Topic {
	i := slices.IndexFunc(m.topics, func(t storage.Topic) bool { return holds(&t, p) })
	return &m.topics[i]
}

func (m *model) volatile(p storage.PartitionID) bool {
	return m.topicOf(p).Strategy.Level == storage.MemoryOnly
}

// always tells whether a change of a topic that asks for SyncAlways is in an entry. No topic was altered since an entry that is not durable.
func (m *model) always(c *modelChange) bool {
	asks := func(p storage.PartitionID) bool {
		return m.partitions[p] != nil && m.topicOf(p).Strategy.Sync == storage.SyncAlways
	}
	return slices.ContainsFunc(c.entry.Batches, func(b storage.Batch) bool { return asks(b.Partition) }) ||
		slices.ContainsFunc(c.entry.Cursors, func(cur storage.Cursor) bool { return asks(cur.Partition) })
}

// settle notes that what came last is durable, and with it all that came before.
func (m *model) settle() { m.synced = len(m.changes) }

func (m *model) addTopic(t storage.Topic) {
	m.topics = append(m.topics, t)
	for i := range t.Partitions {
		m.partitions[t.Partition(i)] = &modelPart{last: -1}
	}
	m.settle()
}

// granted gives groups that had cursors on a topic those on its new partitions.
func (m *model) granted(old, t *storage.Topic) {
	var e storage.Entry
	for _, g := range m.groups {
		if !slices.ContainsFunc(m.ids(), func(p storage.PartitionID) bool {
			_, has := m.cursors[cursorKey{g.ID, p}]
			return has && holds(old, p)
		}) {
			continue
		}
		for n := old.Partitions; n < t.Partitions; n++ {
			e.Cursors = append(e.Cursors, storage.Cursor{Group: g.ID, Partition: t.Partition(n)})
		}
	}
	m.take(modelChange{entry: e})
	m.settle()
}

func (m *model) dropTopic(i int) {
	t := m.topics[i]
	m.topics = slices.Delete(m.topics, i, i+1)
	for i := range t.Partitions {
		delete(m.partitions, t.Partition(i))
	}
	maps.DeleteFunc(m.cursors, func(k cursorKey, _ storage.Cursor) bool { return m.partitions[k.partition] == nil })
	m.settle()
}

func (m *model) addGroup(g storage.Group) {
	m.groups = append(m.groups, g)
	m.settle()
}

func (m *model) dropGroup(i int) {
	id := m.groups[i].ID
	m.groups = slices.Delete(m.groups, i, i+1)
	maps.DeleteFunc(m.cursors, func(k cursorKey, _ storage.Cursor) bool { return k.group == id })
	m.settle()
}

// add takes an entry that was appended.
func (m *model) add(e *storage.Entry, d storage.Durability) error {
	for _, b := range e.Batches {
		for i := range b.Records {
			if o := b.Records[i].Offset; o < m.next[b.Partition] {
				return fmt.Errorf("partition %d: offset %d was given away before, the next is at least %d", b.Partition, o, m.next[b.Partition])
			}
			m.next[b.Partition] = b.Records[i].Offset + 1
			if at := b.Records[i].Appended; at.Before(m.newest[b.Partition]) {
				return fmt.Errorf("partition %d: appended at %v, behind what was at %v", b.Partition, at, m.newest[b.Partition])
			}
			m.newest[b.Partition] = b.Records[i].Appended
		}
	}
	m.take(modelChange{entry: *e})
	if d == storage.Synced {
		m.settle()
	}
	return nil
}

// trim removes the records of p below first, durably.
func (m *model) trim(p storage.PartitionID, first int64) {
	if first <= m.partitions[p].first {
		return
	}
	m.take(modelChange{trim: p, first: first})
	if !m.volatile(p) {
		m.settle()
	}
}

func (m *model) take(c modelChange) {
	m.changes = append(m.changes, c)
	m.apply(&c)
}

func (m *model) apply(c *modelChange) {
	for _, b := range c.entry.Batches {
		if p := m.partitions[b.Partition]; p != nil {
			p.records = append(p.records, b.Records...)
		}
	}
	for _, cur := range c.entry.Cursors {
		if m.partitions[cur.Partition] != nil && slices.ContainsFunc(m.groups, func(g storage.Group) bool { return g.ID == cur.Group }) {
			m.cursors[cursorKey{cur.Group, cur.Partition}] = cur
		}
	}
	if p := m.partitions[c.trim]; p != nil && c.first > p.first {
		p.first = c.first
		n, _ := p.at(c.first)
		if n > 0 {
			p.last = p.records[n-1].Offset
		}
		p.records, p.removed = p.records[n:], p.removed+n
	}
}

// at returns the index of the first record from an offset on, and whether it has that offset.
func (p *modelPart) at(offset int64) (int, bool) {
	return slices.BinarySearchFunc(p.records, offset, func(r storage.Record, o int64) int { return int(r.Offset - o) })
}

// clean applies the rules of cleanup that do not depend on time or on how records are stored.
func (m *model) clean() {
	for _, id := range m.ids() {
		p, rules := m.partitions[id], m.topicOf(id).Strategy.Cleanup
		first := p.first
		if n := len(p.records) - int(rules.MaxRecords); rules.MaxRecords > 0 && n > 0 {
			first = p.records[n].Offset
		}
		floor, grouped := m.floor(id)
		if rules.WhenDone && grouped {
			first = max(first, floor)
		}
		if rules.HoldForGroups && grouped {
			first = min(first, floor)
		}
		m.trim(id, first)
	}
}

func (m *model) floor(p storage.PartitionID) (floor int64, ok bool) {
	for k, c := range m.cursors {
		if k.partition == p && (!ok || c.Floor < floor) {
			floor, ok = c.Floor, true
		}
	}
	return floor, ok
}

// forget loses what is in memory only, as the end of a process does.
func (m *model) forget() {
	for i := range m.changes {
		c := &m.changes[i]
		gone := func(p storage.PartitionID) bool { return m.partitions[p] == nil || m.volatile(p) }
		c.entry.Batches = slices.DeleteFunc(slices.Clone(c.entry.Batches), func(b storage.Batch) bool { return gone(b.Partition) })
		c.entry.Cursors = slices.DeleteFunc(slices.Clone(c.entry.Cursors), func(cur storage.Cursor) bool { return gone(cur.Partition) })
		if gone(c.trim) {
			c.first = 0
		}
	}
	for p := range m.partitions {
		if m.volatile(p) {
			delete(m.next, p) // its offsets begin again
		}
	}
	clear(m.newest) // what was lost took its times along
	m.cut(len(m.changes))
}

// cut takes the model back to its first n changes.
func (m *model) cut(n int) {
	for p := range m.partitions {
		m.partitions[p] = &modelPart{last: -1}
	}
	clear(m.cursors)
	m.changes = m.changes[:n]
	for i := range m.changes {
		m.apply(&m.changes[i])
	}
}

// differs compares everything.
func (m *model) differs(s storage.Store) error {
	topics := s.Topics()
	if len(topics) != len(m.topics) || len(s.Groups()) != len(m.groups) {
		return fmt.Errorf("%d topics and %d groups, want %d and %d", len(topics), len(s.Groups()), len(m.topics), len(m.groups))
	}
	for i, want := range m.topics {
		if got := topics[i]; got.Name != want.Name || got.Strategy != want.Strategy || got.First != want.First || got.Partitions != want.Partitions || !slices.Equal(got.Added, want.Added) || string(got.Settings) != string(want.Settings) {
			return fmt.Errorf("topic %+v, want %+v", got, want)
		}
	}
	for p, want := range m.partitions {
		if err := want.differs(s, p); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	for _, g := range m.groups {
		for p := range m.partitions {
			got, ok := s.Cursor(g.ID, p)
			want, wanted := m.cursors[cursorKey{g.ID, p}]
			if ok != wanted || ok && !sameCursor(&got, &want) {
				return fmt.Errorf("cursor %v, %+v, want %v, %+v", ok, got, wanted, want)
			}
		}
	}
	return nil
}

func (p *modelPart) differs(s storage.Store, id storage.PartitionID) error {
	got, err := ReadAll(s, id, newRand(uint64(len(p.records))))
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if len(got) != len(p.records) {
		return fmt.Errorf("%d records, want %d", len(got), len(p.records))
	}
	b, err := s.Bounds(id)
	lies := b.First == p.first || b.First > p.last && (len(got) == 0 || b.First <= got[0].Offset) // anywhere in a gap
	if err != nil || !lies || b.Records != int64(p.removed+len(p.records)) {
		return fmt.Errorf("bounds %+v, %v; want first %d, %d records of which %d are removed", b, err, p.first, p.removed+len(p.records), p.removed)
	}
	return sameRecords(got, p.records)
}

func sameRecords(got, want []storage.Record) error {
	for i := range got {
		g, w := &got[i], &want[i]
		if g.Offset != w.Offset || !g.Appended.Equal(w.Appended) || string(g.Key) != string(w.Key) || (g.Key == nil) != (w.Key == nil) ||
			string(g.Value) != string(w.Value) || string(g.Headers) != string(w.Headers) {
			return fmt.Errorf("offset %d, appended %v, %d bytes; want offset %d, %v, %d bytes", g.Offset, g.Appended, g.Size(), w.Offset, w.Appended, w.Size())
		}
	}
	return nil
}
