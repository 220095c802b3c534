package embedded_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

// What PublishBatch refuses as one a publisher stores as if each message had been published alone: two of one ID, topics in memory together with others, and
// one that cannot be among many that can.
func TestPublisherStoresWhatABatchRefuses(t *testing.T) {
	b, err := embedded.Open(t.TempDir(), embedded.Options{})
	must(t, err)
	defer b.Close()
	must(t, b.EnsureTopic(t.Context(), "disk", queue.TopicConfig{Partitions: 3, MaxBytes: 100}))
	must(t, b.EnsureTopic(t.Context(), "memory", queue.TopicConfig{Durability: queue.Memory}))
	p, err := b.Publisher(queue.PublisherOptions{})
	must(t, err)
	type result struct {
		durability queue.Durability
		duplicate  bool
		err        error
	}
	var fs []queue.Pending
	var want []result
	give := func(m queue.Message, r result) {
		t.Helper()
		f, err := p.Go(t.Context(), m)
		must(t, err)
		fs, want = append(fs, f), append(want, r)
	}
	for i := range 100 {
		id := fmt.Sprint("id ", i%60)
		give(queue.Message{Topic: "disk", ID: id, Key: []byte(id)}, result{queue.Synced, i >= 60, nil})
		give(queue.Message{Topic: "memory"}, result{queue.Memory, false, nil})
		if i%10 == 0 {
			give(queue.Message{Topic: "disk", Value: []byte(strings.Repeat("x", 101))}, result{err: queue.ErrTooLarge})
			give(queue.Message{Topic: "nowhere"}, result{err: queue.ErrNotFound})
			give(queue.Message{Topic: "disk", Partition: queue.PinTo(3)}, result{err: queue.ErrNotFound})
		}
	}
	for i, f := range fs {
		r, err := f.Wait(t.Context())
		if !errors.Is(err, want[i].err) || r.Durability != want[i].durability || r.Duplicate != want[i].duplicate {
			t.Errorf("message %d: %+v, %v, want %+v", i, r, err, want[i])
		}
	}
	must(t, p.Close(t.Context()))
}
