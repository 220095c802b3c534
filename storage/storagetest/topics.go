package storagetest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/leatmq/leat/storage"
)

func testTopics(t *testing.T, s *suite) {
	st := s.open()
	settings := []byte("settings")
	specs := []storage.TopicSpec{
		{Name: "a", Partitions: 3, Settings: settings},
		{Name: "../../etc/passwd", Partitions: 1, Strategy: storage.Strategy{Sync: storage.SyncOS}},
		{Name: "a\x00\n\xff", Partitions: 2, Strategy: storage.Strategy{Sync: storage.SyncInterval(1)}},
		{Name: strings.Repeat("x", storage.MaxName), Partitions: 1},
	}
	var made []storage.Topic
	next := storage.PartitionID(0)
	for _, spec := range specs {
		topic, err := st.CreateTopic(t.Context(), spec)
		if err != nil {
			t.Fatalf("create %q: %v", spec.Name, err)
		}
		if !reflect.DeepEqual(normal(topic).TopicSpec, spec) || topic.Incarnation == 0 {
			t.Errorf("made %+v of %+v", topic, spec)
		}
		if topic.First < next {
			t.Errorf("topic %q: first partition is %d, %d was given away before", spec.Name, topic.First, next-1)
		}
		next = topic.First + storage.PartitionID(topic.Partitions)
		made = append(made, topic)
	}
	copy(settings, "scribble")
	made[0].Settings = []byte("settings")
	checkTopics(t, st, made)
	if made[0].Incarnation == made[1].Incarnation {
		t.Error("two topics of one incarnation")
	}
	if _, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "a", Partitions: 1}); !errors.Is(err, storage.ErrExists) {
		t.Errorf("creating a topic again: %v, want ErrExists", err)
	}
	if _, ok := st.Topic("b"); ok {
		t.Error("found a topic that was never made")
	}
	if s.Volatile {
		return
	}
	s.close(st)
	st = s.open()
	checkTopics(t, st, made)
	if topic := s.topic(st, "later", 1, storage.SyncAlways); topic.First < next {
		t.Errorf("after a reopen partition %d is given away again", topic.First)
	}
}

func checkTopics(t *testing.T, st storage.Store, want []storage.Topic) {
	t.Helper()
	got := st.Topics()
	if len(got) != len(want) {
		t.Fatalf("%d topics, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(normal(got[i]), normal(want[i])) {
			t.Errorf("topic %d is %+v, want %+v", i, got[i], want[i])
		}
		found, ok := st.Topic(want[i].Name)
		if !ok || !reflect.DeepEqual(normal(found), normal(want[i])) {
			t.Errorf("topic %q: found %v, %+v; want %+v", want[i].Name, ok, found, want[i])
		}
	}
}

// wantLimit checks that err is a *LimitError.
func wantLimit(t *testing.T, err error, what string) {
	t.Helper()
	var limit *storage.LimitError
	if !errors.As(err, &limit) {
		t.Errorf("%s: %v, want *LimitError", what, err)
	}
}

func testTopicLimits(t *testing.T, s *suite) {
	st := s.open()
	for what, spec := range map[string]storage.TopicSpec{
		"no name":             {Partitions: 1},
		"long name":           {Name: strings.Repeat("x", storage.MaxName+1), Partitions: 1},
		"no partitions":       {Name: "x"},
		"negative partitions": {Name: "x", Partitions: -1},
		"many partitions":     {Name: "x", Partitions: storage.MaxPartitions + 1},
		"large settings":      {Name: "x", Partitions: 1, Settings: make([]byte, storage.MaxSettings+1)},
	} {
		_, err := st.CreateTopic(t.Context(), spec)
		wantLimit(t, err, what)
	}
	for what, name := range map[string]string{"no name": "", "long name": strings.Repeat("x", storage.MaxName+1)} {
		_, err := st.CreateGroup(t.Context(), name)
		wantLimit(t, err, "group with "+what)
	}
	if len(st.Topics())+len(st.Groups()) > 0 {
		t.Error("something was made that was refused")
	}
	spec := storage.TopicSpec{Name: "large", Partitions: 1, Settings: make([]byte, storage.MaxSettings)}
	if _, err := st.CreateTopic(t.Context(), spec); err != nil {
		t.Errorf("settings at the limit: %v", err)
	}
	if topic := s.topic(st, "wide", storage.MaxPartitions, storage.SyncAlways); topic.Partitions != storage.MaxPartitions {
		t.Errorf("made %d partitions", topic.Partitions)
	}
}

func testTopicRace(t *testing.T, s *suite) {
	st := s.open()
	const racers = 16
	topics, errs := make([]storage.Topic, racers), make([]error, racers)
	groups := make([]storage.Group, racers)
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() {
			topics[i], errs[i] = st.CreateTopic(t.Context(), storage.TopicSpec{Name: "one", Partitions: 1})
			var err error
			if groups[i], err = st.CreateGroup(t.Context(), "one"); err != nil {
				t.Errorf("create group: %v", err)
			}
		})
	}
	all.Wait()
	made := 0
	for i, err := range errs {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, storage.ErrExists):
			t.Errorf("create topic: %v", err)
		}
		if groups[i] != groups[0] {
			t.Errorf("one group is %+v and %+v", groups[i], groups[0])
		}
	}
	if made != 1 || len(st.Topics()) != 1 || len(st.Groups()) != 1 {
		t.Errorf("%d made, %d topics, %d groups; want 1 of each", made, len(st.Topics()), len(st.Groups()))
	}
}

func testManyTopics(t *testing.T, s *suite) {
	st := s.open()
	const n = 64
	for i := range n {
		topic := s.topic(st, fmt.Sprint("t", i), 1+i%7, storage.SyncOS)
		for p := range topic.Partitions {
			s.append(st, topic.Partition(p), values(fmt.Sprint(i, p))...)
		}
	}
	check := func() {
		topics := st.Topics()
		if len(topics) != n {
			t.Fatalf("%d topics, want %d", len(topics), n)
		}
		for i, topic := range topics {
			for p := range topic.Partitions {
				if got := valuesOf(s.read(st, topic.Partition(p))); len(got) != 1 || got[0] != fmt.Sprint(i, p) {
					t.Fatalf("topic %d, partition %d: %q", i, p, got)
				}
			}
		}
		if got := st.Stats(); got.Topics != n {
			t.Errorf("stats count %d topics", got.Topics)
		}
	}
	check()
	if !s.Volatile {
		s.close(st)
		st = s.open()
		check()
	}
}

func testGroups(t *testing.T, s *suite) {
	st := s.open()
	names := []string{"a", "\x00/..", strings.Repeat("g", storage.MaxName)}
	var made []storage.Group
	for _, name := range names {
		g, err := st.CreateGroup(t.Context(), name)
		if err != nil || g.Name != name {
			t.Fatalf("create %q: %+v, %v", name, g, err)
		}
		made = append(made, g)
	}
	check := func() {
		t.Helper()
		if got := st.Groups(); !reflect.DeepEqual(got, made) {
			t.Errorf("groups %+v, want %+v", got, made)
		}
		if again, err := st.CreateGroup(t.Context(), "a"); err != nil || again != made[0] {
			t.Errorf("finding a group: %+v, %v; want %+v", again, err, made[0])
		}
	}
	check()
	if made[0].ID == made[1].ID || made[1].ID == made[2].ID {
		t.Errorf("one ID for two groups: %+v", made)
	}
	if s.Volatile {
		return
	}
	s.close(st)
	st = s.open()
	check()
	if g := s.group(st, "later"); g == made[0].ID || g == made[1].ID || g == made[2].ID {
		t.Errorf("after a reopen ID %d is given away again", g)
	}
}
