package core

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/leatmq/leat/storage"
)

// TestFaultNoIDsAreLeft: a topic that there are no IDs for is refused, made or grown.
func TestFaultNoIDsAreLeft(t *testing.T) {
	m, _ := openPooled(t, 1)
	next, _ := m.core.Catalog.NextIDs()
	m.core.Catalog.takePartitions(math.MaxUint32 - int(next) - 2)
	var limit *storage.LimitError
	if _, err := m.core.CreateTopic(t.Context(), storage.TopicSpec{Name: "large", Partitions: 3}); !errors.As(err, &limit) {
		t.Errorf("a topic of more partitions than there are IDs: %v", err)
	}
	if _, err := m.core.GrowTopic(t.Context(), "t", 4); !errors.As(err, &limit) {
		t.Errorf("one that grows: %v", err)
	}
}

// eventful is a backend in whose Room something happens, once.
type eventful struct {
	*pooled
	once func() error
}

func (m *eventful) Room(ctx context.Context, e *Entry) error {
	if once := m.once; once != nil {
		m.once = nil
		return once()
	}
	return m.pooled.Room(ctx, e)
}

// TestFaultAGroupGoesWhileATopicGrows: then it gets no cursor, and all others do.
func TestFaultAGroupGoesWhileATopicGrows(t *testing.T) {
	p, _ := openPooled(t, 1)
	m := &eventful{pooled: p}
	m.core = New(m)
	topic, err := m.core.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	var groups []storage.GroupID
	for _, name := range []string{"stays", "goes"} {
		g, err := m.core.CreateGroup(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g.ID)
		if _, err := m.core.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{{Group: g.ID, Partition: topic.First}}}); err != nil {
			t.Fatal(err)
		}
	}
	m.once = func() error { return storage.ErrFull }
	if _, err := m.core.GrowTopic(t.Context(), "t", 2); !errors.Is(err, storage.ErrFull) {
		t.Errorf("where there is no room: %v", err)
	}
	m.once = func() error { return m.core.DeleteGroup(t.Context(), "goes") }
	grown, err := m.core.GrowTopic(t.Context(), "t", 2)
	if err != nil || grown.Partitions != 2 {
		t.Fatalf("%+v, %v", grown, err)
	}
	for i, want := range []bool{true, false} {
		if _, ok := m.core.Cursor(groups[i], grown.Partition(1)); ok != want {
			t.Errorf("group %d has a cursor on the new partition: %v", groups[i], ok)
		}
	}
}
