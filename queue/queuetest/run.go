package queuetest

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
)

// Run calls h once, in the caller's goroutine, with m as a group gets it at its first attempt, and returns what h published through its delivery, and its error. There is
// no broker: nothing is stored, topics need not exist, Mark is always the first, and a panic is not caught. Of an attempt that fails nothing is published, as in a group. The message that h gets is a
// copy, at offset 0 of partition 0 unless m names one.
func Run(t testing.TB, h queue.Handler, m queue.Message) ([]queue.Message, error) {
	t.Helper()
	partition, _ := m.Partition.N()
	r := queue.Record{Message: m, Position: queue.NewPosition(m.Topic, partition, 1, 0), Appended: time.Now()}
	r.Key, r.Value, r.Headers = bytes.Clone(m.Key), bytes.Clone(m.Value), slices.Clone(m.Headers)
	for i := range r.Headers {
		r.Headers[i].Value = bytes.Clone(r.Headers[i].Value)
	}
	r.NotBefore, r.Partition = time.Time{}, queue.Pin{}
	if r.Timestamp.IsZero() {
		r.Timestamp = r.Appended
	}
	d := queue.NewDelivery(r)
	if err := h(t.Context(), d); err != nil {
		return nil, err
	}
	return d.Published(), nil
}
