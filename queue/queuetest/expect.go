package queuetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/queue"
)

// ExpectPublished fails t if the topic does not hold exactly want now: of each key these messages in that order, and those with a nil key in any. Key and Value have to be
// the same; Headers, ID and Timestamp as well where want has them; the rest is not looked at. To be called when what publishes is done: see Drain.
func ExpectPublished(t testing.TB, b *queue.Broker, topic string, want ...queue.Message) {
	t.Helper()
	left := Records(t, b, topic)
	var wrong []string
	for i := range want {
		w := &want[i]
		n := slices.IndexFunc(left, func(r *queue.Record) bool { return candidate(&r.Message, w) })
		if n < 0 || !fits(&left[n].Message, w) {
			have := "nothing"
			if n >= 0 {
				have = describe(&left[n].Message)
			}
			wrong = append(wrong, fmt.Sprintf("want %s, have %s in its place", describe(w), have))
		}
		if n >= 0 {
			left = slices.Delete(left, n, n+1)
		}
	}
	for _, r := range left {
		wrong = append(wrong, fmt.Sprintf("not expected: %s at %s", describe(&r.Message), r.Position))
	}
	if wrong != nil {
		t.Errorf("topic %q does not hold what was expected:\n\t%s", topic, strings.Join(wrong, "\n\t"))
	}
}

// candidate tells whether m would be the one that is wanted, if it fits: the first of its key, or any without one that does.
func candidate(m, want *queue.Message) bool {
	if want.Key == nil {
		return fits(m, want)
	}
	return m.Key != nil && string(m.Key) == string(want.Key)
}

func fits(m, want *queue.Message) bool {
	return (m.Key == nil) == (want.Key == nil) && string(m.Key) == string(want.Key) && string(m.Value) == string(want.Value) &&
		(want.Headers == nil || slices.EqualFunc(m.Headers, want.Headers, sameHeader)) &&
		(want.ID == "" || m.ID == want.ID) &&
		(want.Timestamp.IsZero() || m.Timestamp.Equal(want.Timestamp))
}

func sameHeader(a, b queue.Header) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }

func describe(m *queue.Message) string {
	var s strings.Builder
	if m.Key != nil {
		fmt.Fprintf(&s, "key %.100q, ", m.Key)
	}
	fmt.Fprintf(&s, "value %.100q", m.Value)
	for _, h := range m.Headers {
		fmt.Fprintf(&s, ", %s: %.100q", h.Key, h.Value)
	}
	if m.ID != "" {
		fmt.Fprintf(&s, ", ID %.100q", m.ID)
	}
	return s.String()
}
