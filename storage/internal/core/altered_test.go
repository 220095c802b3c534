package core

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// altered is a topic of one partition in memory.
type altered struct {
	*memory
	t     *testing.T
	topic storage.Topic
	p     *Partition
}

func newAltered(t *testing.T, rules storage.CleanupPolicy) *altered {
	m := &memory{}
	m.core = New(m)
	m.core.SetSeed(frame.Seed(1))
	topic, err := m.core.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: storage.Strategy{Cleanup: rules}})
	if err != nil {
		t.Fatal(err)
	}
	return &altered{m, t, topic, m.core.Catalog.Partition(topic.First)}
}

func (a *altered) append(keys ...string) {
	a.t.Helper()
	for _, k := range keys {
		e := &storage.Entry{Batches: []storage.Batch{{Partition: a.topic.First, Records: []storage.Record{{Key: []byte(k), Value: []byte("v")}}}}}
		if _, err := a.core.Append(a.t.Context(), e); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *altered) alter(rules storage.CleanupPolicy) {
	a.t.Helper()
	if err := a.core.AlterTopic(a.t.Context(), "t", storage.Strategy{Cleanup: rules}, nil); err != nil {
		a.t.Fatal(err)
	}
}

// A topic is altered to keep everything while its cleanup is being planned: what is appended from then on stays.
func TestAlteredWhileCleanupIsPlanned(t *testing.T) {
	for _, rules := range []storage.CleanupPolicy{{MaxRecords: 1}, {MaxBytes: 1}} {
		a := newAltered(t, rules)
		a.append("a", "b", "c")
		once := true
		cuts, err := new(Sweep).Plan(a.core, func(*Partition) []Holding {
			if once {
				once = false
				a.alter(storage.CleanupPolicy{})
				a.append("d", "e")
			}
			return nil
		})
		if err != nil || len(cuts) != 0 {
			t.Errorf("%+v: cuts %+v, %v", rules, cuts, err)
		}
	}
}

// A list of topics that keep the latest of each key may be older than the alteration of one of them.
func TestAlteredBeforeTheLatestAreKept(t *testing.T) {
	a := newAltered(t, storage.CleanupPolicy{LatestByKey: true})
	a.append("a", "a")
	left := func() int {
		t.Helper()
		if err := a.p.keepLatest(&keeping{pool: NewPool(1 << 20), hold: 1 << 60, now: time.Now()}, true); err != nil {
			t.Fatal(err)
		}
		rs, _, err := a.core.Read(nil, a.topic.First, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return len(rs)
	}
	if n := left(); n != 1 {
		t.Errorf("%d records of one key are left", n)
	}
	a.alter(storage.CleanupPolicy{})
	a.append("a", "a")
	if n := left(); n != 3 {
		t.Errorf("%d records are left in a topic that keeps everything, of 3", n)
	}
}

// When the rule of age becomes a shorter one, it applies at once, not when the longer one would have.
func TestAlteredAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAltered(t, storage.CleanupPolicy{MaxAge: 24 * time.Hour})
		a.append("a")
		time.Sleep(time.Hour)
		a.append("b")
		var s Sweep
		file := func(*Partition) []Holding {
			return []Holding{{Base: 0, Next: 2, Records: 2, Bytes: 100, Newest: time.Now().UnixNano()}}
		}
		if cuts, err := s.Plan(a.core, file); err != nil || len(cuts) != 0 {
			t.Errorf("cuts %+v, %v", cuts, err)
		}
		a.alter(storage.CleanupPolicy{MaxAge: 30 * time.Minute})
		if cuts, err := s.Plan(a.core, file); err != nil || len(cuts) != 1 || cuts[0].First != 1 {
			t.Errorf("under the shorter rule: cuts %+v, %v; want one at 1", cuts, err)
		}
	})
}
