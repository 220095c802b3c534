package embedded

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
)

func TestRetryComesWhenItIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 1, 0)
		m := join(t, b, queue.Group{Order: queue.Unordered})
		for attempt, after := range []time.Duration{time.Minute, 100 * time.Millisecond, 0, time.Hour} {
			h := m.one()
			if h.Attempt != attempt+1 || string(h.Value) != "0" {
				t.Fatalf("attempt %d, value %q; want attempt %d of value 0", h.Attempt, h.Value, attempt+1)
			}
			failed := time.Now()
			if err := m.settle(h, queue.SettleRetry, after); err != nil {
				t.Fatal(err)
			}
			again := m.one()
			if waited := time.Since(failed); waited != after {
				t.Errorf("it came after %v, want %v", waited, after)
			}
			if err := m.settle(again, queue.SettleRelease, 0); err != nil { // costs no attempt
				t.Fatal(err)
			}
		}
	})
}

func TestEarlierRetryOvertakesTheTimerOfALaterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 2, 0)
		m := join(t, b, queue.Group{Order: queue.Unordered, Concurrency: 2})
		x, y := m.one(), m.one()
		began := time.Now()
		m.settle(x, queue.SettleRetry, time.Hour)
		m.settle(y, queue.SettleRetry, time.Second)
		if h := m.one(); h.Position != y.Position || time.Since(began) != time.Second {
			t.Errorf("%s came after %v", h.Position, time.Since(began))
		}
		if h := m.one(); h.Position != x.Position || time.Since(began) != time.Hour {
			t.Errorf("%s came after %v", h.Position, time.Since(began))
		}
	})
}

func TestSecondAttemptHasTheBytesThatWereStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		m := queue.Message{Topic: "t", Key: []byte("key"), Value: []byte("value"), Headers: queue.Headers{}.With("a", "1").With("b", "")}
		if _, err := b.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		member := join(t, b, queue.Group{})
		first := member.one()
		clear(first.Key) // the bytes are the handler's
		clear(first.Value)
		clear(first.Headers[0].Value)
		member.settle(first, queue.SettleRetry, time.Second)
		h := member.one()
		if string(h.Key) != "key" || string(h.Value) != "value" || len(h.Headers) != 2 || h.Headers.Get("a") != "1" {
			t.Errorf("got key %q, value %q, headers %v", h.Key, h.Value, h.Headers)
		}
		if h.Timestamp.IsZero() || !h.Timestamp.Equal(first.Timestamp) || !h.Appended.Equal(first.Appended) {
			t.Errorf("times %v and %v, before %v and %v", h.Timestamp, h.Appended, first.Timestamp, first.Appended)
		}
	})
}

func TestStaleHandles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 3, 0)
		m, other := join(t, b, queue.Group{Order: queue.Unordered}), join(t, b, queue.Group{Order: queue.Unordered})
		h := m.one()
		if err := other.settle(h, queue.SettleDone, 0); err != queue.ErrLeaseLost {
			t.Errorf("another member's handle: %v", err)
		}
		m.settle(h, queue.SettleRelease, 0)
		again := m.one()
		for name, handle := range map[string]any{"settled": h.Handle, "none": nil, "foreign": "x"} {
			ss := []queue.Settlement{{Handle: handle, Outcome: queue.SettleDone}}
			if m.Settle(t.Context(), ss); ss[0].Err != queue.ErrLeaseLost {
				t.Errorf("%s handle: %v", name, ss[0].Err)
			}
		}
		m.ack(again)
		last := other.one()
		other.leave()
		if err := other.settle(last, queue.SettleDone, 0); err != queue.ErrLeaseLost {
			t.Errorf("after Leave: %v", err)
		}
		if got := m.drain(); len(got) != 2 {
			t.Errorf("%v came after all, want what the other held and what nobody had", got)
		}
	})
}
