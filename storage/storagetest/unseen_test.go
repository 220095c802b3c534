package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
)

// shelf is what a check sees of a store: topics of one partition, in which offsets count.
type shelf struct {
	storage.Store
	topics  []storage.Topic
	groups  []storage.Group
	parts   map[storage.PartitionID]*shelved
	cursors []storage.Cursor
}

type shelved struct {
	first, next int64
	records     []storage.Record
}

func (s *shelf) Topics() []storage.Topic { return s.topics }
func (s *shelf) Groups() []storage.Group { return s.groups }

func (s *shelf) Bounds(p storage.PartitionID) (storage.Bounds, error) {
	return storage.Bounds{First: s.parts[p].first, Next: s.parts[p].next, Records: s.parts[p].next}, nil
}

func (s *shelf) Read(dst []storage.Record, p storage.PartitionID, from int64, _ int) ([]storage.Record, int64, error) {
	for _, r := range s.parts[p].records {
		if r.Offset >= max(from, s.parts[p].first) {
			dst = append(dst, r)
		}
	}
	return dst, s.parts[p].next, nil
}

func (s *shelf) Ordinal(p storage.PartitionID, offset int64) (int64, error) {
	return min(offset, s.parts[p].next), nil
}

func (s *shelf) OffsetAt(p storage.PartitionID, t time.Time) (int64, error) {
	for _, r := range s.parts[p].records {
		if r.Offset >= s.parts[p].first && !r.Appended.Before(t) {
			return r.Offset, nil
		}
	}
	return s.parts[p].next, nil
}

func (s *shelf) Cursor(g storage.GroupID, p storage.PartitionID) (storage.Cursor, bool) {
	for _, c := range s.cursors {
		if c.Group == g && c.Partition == p {
			return c, true
		}
	}
	return storage.Cursor{}, false
}

// unseenTest is a history, and a store that may have it.
type unseenTest struct {
	t *testing.T
	h *History
	s *shelf
}

// The partitions of two topics, and a group.
const (
	left, right storage.PartitionID = 0, 1
	some        storage.GroupID     = 7
)

func newUnseen(t *testing.T) *unseenTest {
	u := &unseenTest{t, NewHistory(), &shelf{parts: map[storage.PartitionID]*shelved{left: {}, right: {}}}}
	for p, name := range []string{"left", "right"} {
		spec := storage.TopicSpec{Name: name, Partitions: 1}
		topic, err := u.h.CreateTopic(func(s storage.TopicSpec) (storage.Topic, error) {
			return storage.Topic{TopicSpec: s, First: storage.PartitionID(p)}, nil
		}, spec)
		u.must(err)
		u.s.topics = append(u.s.topics, topic)
	}
	g, err := u.h.CreateGroup(func(name string) (storage.Group, error) { return storage.Group{ID: some, Name: name}, nil }, "some")
	u.must(err)
	u.s.groups = append(u.s.groups, g)
	return u
}

func (u *unseenTest) must(err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatal(err)
	}
}

// put stores an entry with a record in each partition, as if its owner had died before he was told.
func (u *unseenTest) put(ps ...storage.PartitionID) *Attempt {
	plan := Plan{}
	for _, p := range ps {
		plan.Batches = append(plan.Batches, PlanBatch{p, []int{30}})
	}
	return u.store(u.h.Begin(plan))
}

func (u *unseenTest) store(a *Attempt) *Attempt {
	for i := range a.Entry.Batches {
		b := &a.Entry.Batches[i]
		part := u.s.parts[b.Partition]
		for j := range b.Records {
			b.Records[j].Offset, b.Records[j].Appended = part.next, time.Unix(part.next, 0)
			part.records = append(part.records, b.Records[j])
			part.next++
		}
	}
	return a
}

func (u *unseenTest) told(a *Attempt) *Attempt {
	u.t.Helper()
	u.must(u.h.End(a, storage.Synced, nil))
	return a
}

func (u *unseenTest) trim(p storage.PartitionID, first int64) {
	u.t.Helper()
	u.must(u.h.Trim(p, first, func() error { u.s.parts[p].first = first; return nil }))
}

func (u *unseenTest) alter(name string, cleanup storage.CleanupPolicy) {
	u.t.Helper()
	i := slices.IndexFunc(u.s.topics, func(t storage.Topic) bool { return t.Name == name })
	t := u.s.topics[i]
	t.Strategy.Cleanup = cleanup
	u.must(u.h.AlterTopic(t, func() error { u.s.topics[i] = t; return nil }))
}

func (u *unseenTest) drop(name string) {
	u.t.Helper()
	u.must(u.h.DeleteTopic(name, func() error {
		u.s.topics = slices.DeleteFunc(u.s.topics, func(t storage.Topic) bool { return t.Name == name })
		return nil
	}))
}

// compact takes away a record.
func (u *unseenTest) compact(p storage.PartitionID, offset int64) {
	u.s.parts[p].records = slices.DeleteFunc(u.s.parts[p].records, func(r storage.Record) bool { return r.Offset == offset })
}

// until refuses entries up to one whose records have the keys of a's.
func (u *unseenTest) until(a *Attempt) {
	u.t.Helper()
	for u.h.Entries()%16 != a.Number%16 {
		u.must(u.h.End(u.h.Begin(Plan{}), 0, errors.New("refused")))
	}
}

// check wants the store to be right, or what is wrong with it to begin with bad.
func (u *unseenTest) check(bad string) {
	u.t.Helper()
	v := u.h.Check(u.s, Died, 1)
	if bad == "" && v.Bad() || bad != "" && (len(v.Problems) == 0 || !strings.HasPrefix(v.Problems[0], bad)) {
		u.t.Errorf("found %q, want %q", v.Problems, bad)
	}
}

var latestByKey = storage.CleanupPolicy{LatestByKey: true}

// What is trimmed or compacted after a death, before anyone has looked, is missing rightly: but only where that may have removed it.
func TestRemovedUnseen(t *testing.T) {
	for name, test := range map[string]func(u *unseenTest){
		"a part trimmed": func(u *unseenTest) {
			u.put(right, left)
			u.trim(left, 1)
			u.check("")
			u.trim(left, 1)
			u.check("")
		},
		"a part trimmed, the rest dropped later": func(u *unseenTest) {
			u.put(right, left)
			u.trim(left, 1)
			u.check("")
			u.drop("right")
			u.check("")
		},
		"a part trimmed, and dropped later": func(u *unseenTest) {
			u.put(right, left)
			u.trim(left, 1)
			u.check("")
			u.drop("left")
			u.check("")
		},
		"a part read and dropped, the rest trimmed": func(u *unseenTest) {
			u.put(right, left)
			u.must(u.h.Saw(right, u.s.parts[right].records))
			u.drop("right")
			u.trim(left, 1)
			u.check("")
		},
		"a part trimmed, the rest dropped": func(u *unseenTest) {
			u.put(right, left)
			u.trim(left, 1)
			u.drop("right")
			u.check("")
		},
		"trimmed, and its cursor is there": func(u *unseenTest) {
			c := storage.Cursor{Group: some, Partition: right}
			u.store(u.h.Begin(Plan{Batches: []PlanBatch{{left, []int{30, 30}}}, Cursors: []storage.Cursor{c}}))
			u.s.cursors = append(u.s.cursors, c)
			u.trim(left, 2)
			u.check("")
			u.check("")
		},
		"never stored, and what it would have been dropped": func(u *unseenTest) {
			c := storage.Cursor{Group: some, Partition: left}
			u.h.Begin(Plan{Batches: []PlanBatch{{right, []int{30}}}, Cursors: []storage.Cursor{c}})
			u.drop("right")
			u.check("")
			u.check("")
			u.s.cursors = append(u.s.cursors, c)
			u.check("group 7, partition 0: a cursor that nobody asked for")
		},
		"half trimmed": func(u *unseenTest) {
			u.store(u.h.Begin(Plan{Batches: []PlanBatch{{left, []int{30, 30}}}}))
			u.trim(left, 1)
			u.check("")
			u.compact(left, 1)
			u.check("entry 0: 1 of 2 records")
		},
		"all trimmed": func(u *unseenTest) {
			u.put(left)
			u.trim(left, 1)
			u.check("")
			u.s.parts[left].next = 2
			u.check("partition 0: 2 records by its bounds; 0 are there, 0 were trimmed, 0 compacted, 1 to 1 removed unseen")
		},
		"lost": func(u *unseenTest) {
			u.put(right, left)
			u.compact(left, 0)
			u.check("entry 0: 1 of 2 records")
		},
		"lost, and its cursor is there": func(u *unseenTest) {
			c := storage.Cursor{Group: some, Partition: right}
			u.h.Begin(Plan{Batches: []PlanBatch{{left, []int{30}}}, Cursors: []storage.Cursor{c}})
			u.s.cursors = append(u.s.cursors, c)
			u.check("entry 0: records there false")
		},
		"lost behind what was trimmed": func(u *unseenTest) {
			u.told(u.put(left))
			u.put(right, left)
			u.trim(left, 1)
			u.compact(left, 1)
			u.check("entry 1: 1 of 2 records")
		},
		"trimmed with what is in front of it": func(u *unseenTest) {
			u.told(u.put(left))
			u.put(right, left)
			u.trim(left, 2)
			u.check("")
		},
		"back again": func(u *unseenTest) {
			u.put(right, left)
			u.trim(left, 1)
			u.check("")
			u.s.parts[left].first = 0
			u.check("partition 0, offset 0: record 1 of entry 0, which had been removed")
		},
		"compacted": func(u *unseenTest) {
			u.alter("left", latestByKey)
			a := u.put(right, left)
			u.until(a)
			u.told(u.put(right, left))
			u.compact(left, 0)
			u.check("")
			u.check("")
			u.trim(left, 1)
			u.check("")
		},
		"compacted, and what superseded it is lost": func(u *unseenTest) {
			u.alter("left", latestByKey)
			u.put(right, left)
			u.told(u.put(right, left))
			u.compact(left, 0)
			u.check("entry 0: 1 of 2 records")
		},
		"compacted by what was there before": func(u *unseenTest) {
			u.alter("left", latestByKey)
			a := u.told(u.put(right, left))
			u.until(a)
			b := u.put(right, left)
			u.compact(left, 1)
			u.check(fmt.Sprintf("entry %d: 1 of 2 records", b.Number))
		},
		"compacted in a topic that keeps all": func(u *unseenTest) {
			a := u.put(right, left)
			u.until(a)
			u.told(u.put(right, left))
			u.compact(left, 0)
			u.check("entry 0: 1 of 2 records")
		},
		"compacted in a topic that once kept the latest": func(u *unseenTest) {
			u.alter("left", latestByKey)
			u.alter("left", storage.CleanupPolicy{})
			a := u.told(u.put(right, left))
			u.until(a)
			u.told(u.put(right, left))
			u.compact(left, 0)
			u.check("partition 0: offset 0 is missing below 1")
		},
		"compacted before the topic kept all": func(u *unseenTest) {
			u.alter("left", latestByKey)
			a := u.told(u.put(right, left))
			u.until(a)
			u.told(u.put(right, left))
			u.alter("left", storage.CleanupPolicy{})
			u.compact(left, 0)
			u.check("")
			u.check("")
		},
		"compacted in a topic altered by who was killed": func(u *unseenTest) {
			was := u.s.topics[left]
			a := u.told(u.put(right, left))
			latest := was
			latest.Strategy.Cleanup = latestByKey
			u.h.AlterTopic(latest, func() error { return storage.ErrIndeterminate })
			u.until(a)
			u.told(u.put(right, left))
			u.compact(left, 0)
			u.alter("left", storage.CleanupPolicy{MaxRecords: 100})
			u.check("")
			u.check("")
		},
	} {
		t.Run(name, func(t *testing.T) { test(newUnseen(t)) })
	}
}
