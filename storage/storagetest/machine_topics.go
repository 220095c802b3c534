package storagetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/storage"
	"pgregory.net/rapid"
)

// strategy draws one whose effects the model knows.
func strategy(rt *rapid.T) storage.Strategy {
	s := storage.Strategy{Level: rapid.SampledFrom(allLevels).Draw(rt, "level"), NoBackup: rapid.Bool().Draw(rt, "no backup")}
	if s.Level != storage.MemoryOnly {
		s.Sync = rapid.SampledFrom([]storage.SyncPolicy{storage.SyncAlways, storage.SyncOS, storage.SyncInterval(time.Hour)}).Draw(rt, "sync")
	}
	c := &s.Cleanup
	c.MaxRecords = int64(max(0, rapid.IntRange(-20, 20).Draw(rt, "max records")))
	c.WhenDone = rapid.IntRange(0, 3).Draw(rt, "when done") == 0
	c.HoldForGroups = rapid.Bool().Draw(rt, "hold")
	return s
}

func (m *machine) topic(rt *rapid.T) {
	if len(m.topics) == 5 {
		rt.Skip("enough topics")
	}
	m.names++
	spec := storage.TopicSpec{Name: fmt.Sprint("t", m.names), Partitions: rapid.IntRange(1, 3).Draw(rt, "partitions"), Strategy: strategy(rt)}
	topic, err := m.store.CreateTopic(m.Context(), spec)
	if err != nil {
		rt.Fatalf("create topic: %v", err)
	}
	m.addTopic(topic)
}

func (m *machine) group(rt *rapid.T) {
	if len(m.groups) == 4 {
		rt.Skip("enough groups")
	}
	m.names++
	g, err := m.store.CreateGroup(m.Context(), fmt.Sprint("g", m.names))
	if err != nil {
		rt.Fatalf("create group: %v", err)
	}
	m.addGroup(g)
}

// alter changes a topic, but not from memory to the disk or back.
func (m *machine) alter(rt *rapid.T) {
	t := m.topicOf(m.partition(rt))
	s, settings := strategy(rt), rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(rt, "settings")
	err := m.store.AlterTopic(m.Context(), t.Name, s, settings)
	if (s.Level == storage.MemoryOnly) != (t.Strategy.Level == storage.MemoryOnly) {
		var wrong *storage.StrategyError
		if !errors.As(err, &wrong) || wrong.Field != "Level" {
			rt.Fatalf("from %v to %v: %v", t.Strategy.Level, s.Level, err)
		}
		return
	}
	if err != nil {
		rt.Fatalf("alter topic: %v", err)
	}
	t.Strategy, t.Settings = s, settings
	m.settle()
}

// grow gives a topic more partitions, or asks for what it has, or for fewer.
func (m *machine) grow(rt *rapid.T) {
	t := m.topicOf(m.partition(rt))
	total := rapid.IntRange(1, t.Partitions+3).Draw(rt, "total")
	got, err := m.store.GrowTopic(m.Context(), t.Name, total)
	switch {
	case total < t.Partitions:
		if !errors.Is(err, storage.ErrShrink) {
			rt.Fatalf("from %d partitions to %d: %v", t.Partitions, total, err)
		}
		return
	case err != nil:
		rt.Fatalf("grow topic: %v", err)
	case got.Partitions != total:
		rt.Fatalf("%d partitions, want %d", got.Partitions, total)
	}
	for n := range t.Partitions {
		if got.Partition(n) != t.Partition(n) {
			rt.Fatalf("partition %d is %d, was %d", n, got.Partition(n), t.Partition(n))
		}
	}
	for n := t.Partitions; n < total; n++ {
		id := got.Partition(n)
		if m.partitions[id] != nil {
			rt.Fatalf("partition %d is of another topic", id)
		}
		m.partitions[id] = &modelPart{last: -1}
	}
	old := *t
	if t.Partitions, t.Added = got.Partitions, got.Added; total > old.Partitions {
		m.granted(&old, t)
	}
}

func (m *machine) deleteTopic(rt *rapid.T) {
	if len(m.topics) < 2 {
		rt.Skip("too few topics")
	}
	i := rapid.IntRange(0, len(m.topics)-1).Draw(rt, "topic")
	if err := m.store.DeleteTopic(m.Context(), m.topics[i].Name); err != nil {
		rt.Fatalf("delete topic: %v", err)
	}
	m.dropTopic(i)
}

func (m *machine) deleteGroup(rt *rapid.T) {
	if len(m.groups) < 2 {
		rt.Skip("too few groups")
	}
	i := rapid.IntRange(0, len(m.groups)-1).Draw(rt, "group")
	if err := m.store.DeleteGroup(m.Context(), m.groups[i].Name); err != nil {
		rt.Fatalf("delete group: %v", err)
	}
	m.dropGroup(i)
}

// remove trims a partition, at a record or at its end.
func (m *machine) remove(rt *rapid.T) {
	id := m.partition(rt)
	p := m.partitions[id]
	b, err := m.store.Bounds(id)
	if err != nil {
		rt.Fatalf("bounds: %v", err)
	}
	first := b.Next
	if n := rapid.IntRange(0, len(p.records)).Draw(rt, "removed"); n < len(p.records) {
		first = p.records[n].Offset
	}
	if err := m.store.Trim(m.Context(), id, first); err != nil {
		rt.Fatalf("trim to %d: %v", first, err)
	}
	m.trim(id, first)
}
