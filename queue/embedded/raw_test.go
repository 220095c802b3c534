package embedded_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/storage"
)

// TestRawRecords: whatever the store holds is seen, what is delayed included.
func TestRawRecords(t *testing.T) {
	b, err := embedded.InMemory(embedded.Options{})
	must(t, err)
	defer b.Close()
	e := embedded.From(b)
	must(t, b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Partitions: 2}))
	for _, v := range []string{"a", "b", "c"} {
		_, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: []byte(v), Partition: queue.PinTo(1)})
		must(t, err)
	}
	_, err = b.Publish(t.Context(), queue.Message{Topic: "t", Value: []byte("later"), NotBefore: time.Now().Add(time.Hour)})
	must(t, err)
	ps, err := e.RawPartitions()
	must(t, err)
	var values []string
	for _, p := range ps {
		if p.Topic == "t" && (len(p.Incarnations) != 1 || p.First != 0 || p.Compacted) {
			t.Errorf("got %+v", p)
		}
		next, err := e.ReadRaw(t.Context(), p.ID, p.First, func(r *storage.Record) bool {
			values = append(values, string(r.Value))
			return true
		})
		must(t, err)
		if next != p.Next {
			t.Errorf("topic %s goes on at %d, want %d", p.Topic, next, p.Next)
		}
	}
	if slices.Sort(values); !slices.Equal(values[max(0, len(values)-4):], []string{"a", "b", "c", "later"}) {
		t.Errorf("got %q", values)
	}
	i := slices.IndexFunc(ps, func(p embedded.RawPartition) bool { return p.Topic == "t" && p.Next > 0 })
	if next, err := e.ReadRaw(t.Context(), ps[i].ID, 1, func(*storage.Record) bool { return false }); next != 2 || err != nil {
		t.Errorf("stopped at once: %d, %v, want 2", next, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.ReadRaw(ended, ps[i].ID, 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	b.Close()
	if _, err := e.RawPartitions(); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := (*embedded.Engine)(nil).RawPartitions(); !errors.Is(err, queue.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}
