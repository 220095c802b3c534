package storagetest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/leatmq/leat/storage"
)

// model is what a store is when nothing can go wrong: a few maps and slices. It keeps its entries, so that it can be cut back to
// what survived a crash.
type model struct {
	topics     []storage.Topic
	groups     []storage.Group
	partitions map[storage.PartitionID][]storage.Record
	cursors    map[cursorKey]storage.Cursor
	next       map[storage.PartitionID]int64 // above every offset that was ever given away

	entries []storage.Entry
	synced  int    // of the entries: they survive
	serial  uint64 // of the newest record
}

func newModel() *model {
	return &model{
		partitions: map[storage.PartitionID][]storage.Record{}, cursors: map[cursorKey]storage.Cursor{}, next: map[storage.PartitionID]int64{},
	}
}

func (m *model) ids() []storage.PartitionID { return slices.Sorted(maps.Keys(m.partitions)) }

func (m *model) addTopic(t storage.Topic) {
	m.topics = append(m.topics, t)
	for i := range t.Partitions {
		m.partitions[t.Partition(i)] = nil
	}
	m.synced = len(m.entries) // what is durable on return makes durable what was before it
}

func (m *model) addGroup(g storage.Group) {
	m.groups = append(m.groups, g)
	m.synced = len(m.entries)
}

// add takes an entry that was appended.
func (m *model) add(e *storage.Entry, d storage.Durability) error {
	for _, b := range e.Batches {
		for i := range b.Records {
			if o := b.Records[i].Offset; o < m.next[b.Partition] {
				return fmt.Errorf("partition %d: offset %d was given away before, the next is at least %d", b.Partition, o, m.next[b.Partition])
			}
			m.next[b.Partition] = b.Records[i].Offset + 1
		}
	}
	m.entries = append(m.entries, *e)
	m.apply(e)
	if d == storage.Synced {
		m.synced = len(m.entries)
	}
	return nil
}

func (m *model) apply(e *storage.Entry) {
	for _, b := range e.Batches {
		m.partitions[b.Partition] = append(m.partitions[b.Partition], b.Records...)
	}
	for _, c := range e.Cursors {
		m.cursors[cursorKey{c.Group, c.Partition}] = c
	}
}

// cut takes the model back to its first n entries.
func (m *model) cut(n int) {
	for p := range m.partitions {
		m.partitions[p] = nil
	}
	clear(m.cursors)
	m.entries = m.entries[:n]
	for i := range m.entries {
		m.apply(&m.entries[i])
	}
}

// differs compares everything.
func (m *model) differs(s storage.Store) error {
	if len(s.Topics()) != len(m.topics) || len(s.Groups()) != len(m.groups) {
		return fmt.Errorf("%d topics and %d groups, want %d and %d", len(s.Topics()), len(s.Groups()), len(m.topics), len(m.groups))
	}
	for p, want := range m.partitions {
		got, err := ReadAll(s, p, newRand(uint64(len(want))))
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if len(got) != len(want) {
			return fmt.Errorf("partition %d: %d records, want %d", p, len(got), len(want))
		}
		if err := sameRecords(got, want); err != nil {
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
