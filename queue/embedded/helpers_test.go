package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
)

// memory opens a broker in memory with topic "t", and closes it with the test.
func memory(t *testing.T, partitions int) *queue.Broker {
	t.Helper()
	b, err := InMemory(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	ensure(t, b, "t", partitions)
	return b
}

func ensure(t *testing.T, b *queue.Broker, topic string, partitions int) {
	t.Helper()
	if err := b.EnsureTopic(t.Context(), topic, queue.TopicConfig{Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
}

// fill stores n messages in each of so many partitions of "t", with values 0, 1, ... and one of so many keys; keys 0: none.
func fill(t *testing.T, b *queue.Broker, partitions, n, keys int) {
	t.Helper()
	var ms []queue.Message
	for i := range n {
		for p := range partitions {
			m := queue.Message{Topic: "t", Value: fmt.Append(nil, i), Partition: queue.PinTo(p)}
			if keys > 0 {
				m.Key = fmt.Append(nil, "key-", i%keys)
			}
			ms = append(ms, m)
		}
	}
	if _, err := b.PublishBatch(t.Context(), ms...); err != nil {
		t.Fatal(err)
	}
}

// join makes a member of group "g" directly at the engine, of topic "t" unless g has others. It leaves with the test.
func join(t *testing.T, b *queue.Broker, g queue.Group) *testMember {
	t.Helper()
	if g.Name == "" {
		g.Name = "g"
	}
	if g.Topics == nil {
		g.Topics = []string{"t"}
	}
	g.Concurrency = max(g.Concurrency, 1)
	if g.InFlightBytes == 0 {
		g.InFlightBytes = 64 << 20
	}
	m := &testMember{t: t}
	member, err := b.Engine().Join(t.Context(), m.membership(g))
	if err != nil {
		t.Fatal(err)
	}
	m.Member = member
	t.Cleanup(m.leave)
	return m
}

// membership has m note what it is told.
func (m *testMember) membership(g queue.Group) queue.Membership {
	return queue.Membership{
		Group:    g,
		Assigned: func(topic string, p int) { m.note("+", topic, p) },
		Revoked:  func(topic string, p int) { m.note("-", topic, p) },
		Missed: func(from, to queue.Position, n int64) {
			a, _ := from.Offset()
			z, _ := to.Offset()
			m.note(fmt.Sprintf("missed %d from %d to %d of ", n, a, z), to.Topic(), to.Partition())
		},
		Damaged: func(topic string, p int, _ error) { m.note("damaged ", topic, p) },
		Expired: m.expired,
		Fenced:  func(any) {},
	}
}

// contextFor returns one that ends after d, of the bubble's time if the test runs in one.
func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// testMember is a member that a test drives step by step.
type testMember struct {
	queue.Member
	t *testing.T

	mu    sync.Mutex
	notes []string
}

func (m *testMember) note(sign, topic string, p int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notes = append(m.notes, fmt.Sprintf("%s%s/%d", sign, topic, p))
}

// told returns what the member was told since the last look.
func (m *testMember) told() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	notes := m.notes
	m.notes = nil
	return notes
}

func (m *testMember) leave() {
	if err := m.Leave(context.Background()); err != nil && !errors.Is(err, queue.ErrClosed) && !errors.Is(err, queue.ErrStopped) {
		m.t.Error(err)
	}
}

// receive returns up to n messages, or fails if none comes.
func (m *testMember) receive(n int, limits queue.ReceiveLimits) []queue.Handover {
	m.t.Helper()
	dst := make([]queue.Handover, n)
	ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
	defer cancel()
	got, err := m.Receive(ctx, dst, limits)
	if err != nil {
		m.t.Fatal("nothing to receive: ", err)
	}
	return dst[:got]
}

func (m *testMember) one() queue.Handover {
	m.t.Helper()
	return m.receive(1, queue.ReceiveLimits{})[0]
}

// nothing fails if something can be received within d.
func (m *testMember) nothing(d time.Duration) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var dst [1]queue.Handover
	if _, err := m.Receive(ctx, dst[:], queue.ReceiveLimits{}); err == nil {
		m.t.Fatalf("received %s, value %s, though nothing may run", dst[0].Position, dst[0].Value)
	}
}

func (m *testMember) settle(h queue.Handover, o queue.Outcome, after time.Duration) error {
	ss := []queue.Settlement{{Handle: h.Handle, Outcome: o, After: after}}
	m.Settle(context.Background(), ss)
	return ss[0].Err
}

func (m *testMember) ack(hs ...queue.Handover) {
	m.t.Helper()
	for _, h := range hs {
		if err := m.settle(h, queue.SettleDone, 0); err != nil {
			m.t.Fatalf("settling %s: %v", h.Position, err)
		}
	}
}

// drain receives and acks until nothing comes for a second, and returns the values in order.
func (m *testMember) drain() []string {
	m.t.Helper()
	var got []string
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		var dst [1]queue.Handover
		_, err := m.Receive(ctx, dst[:], queue.ReceiveLimits{})
		cancel()
		if err != nil {
			return got
		}
		got = append(got, string(dst[0].Value))
		m.ack(dst[0])
	}
}
