package queuetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
)

func TestRun(t *testing.T) {
	m := queue.Message{Topic: "orders", Key: []byte("c1"), Value: []byte("o1"), Partition: queue.PinTo(3), NotBefore: time.Now(),
		Headers: queue.Headers{{Key: "h", Value: []byte("v")}}}
	synctest.Test(t, func(t *testing.T) {
		out, err := Run(t, func(ctx context.Context, d *queue.Delivery) error {
			offset, _ := d.Position.Offset()
			if d.Attempt != 1 || d.Topic != "orders" || d.Position.Partition() != 3 || offset != 0 || d.Timestamp.IsZero() || d.Appended.IsZero() || !d.NotBefore.IsZero() || ctx.Err() != nil {
				t.Errorf("%+v", d)
			}
			if first, err := d.Mark(ctx, "charged", d.Identity()); !first || err != nil {
				t.Errorf("Mark: %v, %v", first, err)
			}
			err := d.Publish(queue.Message{Topic: "invoices", Key: d.Key, Value: []byte("of " + string(d.Value))})
			d.Key[0], d.Value[0], d.Headers[0].Value[0] = 'x', 'x', 'x'
			return err
		}, m)
		if err != nil || len(out) != 1 || out[0].Topic != "invoices" || string(out[0].Key) != "c1" || string(out[0].Value) != "of o1" {
			t.Errorf("it published %v and returned %v", out, err)
		}
	})
	if string(m.Key)+string(m.Value)+string(m.Headers[0].Value) != "c1o1v" {
		t.Error("the handler has changed its caller's message")
	}
	out, err := Run(t, func(_ context.Context, d *queue.Delivery) error {
		if err := d.Publish(queue.Message{Topic: "invoices"}); err != nil {
			t.Error(err)
		}
		return errAgain
	}, m)
	if err != errAgain || out != nil {
		t.Errorf("a failed attempt published %v and returned %v", out, err)
	}
}

func TestExpectPublished(t *testing.T) {
	b := Broker(t)
	if err := b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Partitions: 4}); err != nil {
		t.Fatal(err)
	}
	message := func(key, value string) queue.Message {
		m := queue.Message{Topic: "t", Value: []byte(value)}
		if key != "" {
			m.Key = []byte(key)
		}
		return m
	}
	all := []queue.Message{message("a", "1"), message("b", "1"), message("a", "2"), message("", "x"), message("", "y"), message("", "x"), message("a", "3")}
	all[1].Headers, all[1].ID = queue.Headers{{Key: "h", Value: []byte("v")}}, "id"
	for _, m := range all {
		if _, err := b.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want []queue.Message) *judged {
		j := &judged{TB: t}
		j.run(func() { ExpectPublished(j, b, "t", want...) })
		return j
	}
	with := func(i int, change func(m *queue.Message)) []queue.Message {
		c := slices.Clone(all)
		change(&c[i])
		return c
	}
	for _, fine := range [][]queue.Message{
		all,
		{all[5], all[1], all[0], all[4], all[2], all[3], all[6]},
		with(1, func(m *queue.Message) { m.Headers, m.ID = nil, "" }),
	} {
		if j := expect(fine); j.said != nil {
			t.Error(j.said)
		}
	}
	for words, wrong := range map[string][]queue.Message{
		`not expected: key "a", value "3" at t/`:                     all[:6],
		`want key "a", value "4", have nothing in its place`:         append(slices.Clone(all), message("a", "4")),
		`want key "a", value "2", have key "a", value "1" in its`:    {all[2], all[0], all[1], all[3], all[4], all[5], all[6]},
		`want value "z", have nothing in its place`:                  with(3, func(m *queue.Message) { m.Value = []byte("z") }),
		`not expected: value "x"`:                                    with(3, func(m *queue.Message) { m.Value = []byte("z") }),
		`want key "b", value "1", ID "other", have key "b"`:          with(1, func(m *queue.Message) { m.Headers, m.ID = nil, "other" }),
		`want key "b", value "1", h: "w", ID "id", have key "b", va`: with(1, func(m *queue.Message) { m.Headers = queue.Headers{{Key: "h", Value: []byte("w")}} }),
		`want key "", value "1", have nothing`:                       with(0, func(m *queue.Message) { m.Key = []byte{} }),
	} {
		expect(wrong).wantSaid(t, words)
	}
}

// TestCrashLosesWhatWasNotSynced: of a topic whose publishes are with the system only, what no sync has covered is gone; a synced one keeps everything.
func TestCrashLosesWhatWasNotSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Durable(t, "orders")
		if err := b.EnsureTopic(t.Context(), "hints", queue.TopicConfig{Durability: queue.OS}); err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"orders", "hints"} {
			if _, err := b.Publish(t.Context(), queue.Message{Topic: topic, Value: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		b = Crash(t, b)
		if orders, hints := len(Records(t, b, "orders")), len(Records(t, b, "hints")); orders != 1 || hints != 0 {
			t.Errorf("%d orders and %d hints are left, want 1 and 0", orders, hints)
		}
	})
}

// TestCrashUnderWork crashes while handlers run: each order has one invoice in the end, whatever its handler did when the power went away.
func TestCrashUnderWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Durable(t, "orders", "invoices")
		g := queue.Group{Name: "billing", Topics: []string{"orders"}, Guarantee: queue.ExactlyOnce, Concurrency: 4}
		charge := func(ctx context.Context, d *queue.Delivery) error {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
			return d.Publish(queue.Message{Topic: "invoices", Key: d.Value})
		}
		var want []queue.Message
		for n := range byte(20) {
			if _, err := b.Publish(t.Context(), queue.Message{Topic: "orders", Value: []byte{n}}); err != nil {
				t.Fatal(err)
			}
			want = append(want, queue.Message{Key: []byte{n}})
		}
		for range 3 {
			Consume(t, b, g, charge)
			time.Sleep(1500 * time.Millisecond)
			b = Crash(t, b)
		}
		if n := len(Records(t, b, "invoices")); n == 0 || n == 20 {
			t.Errorf("%d invoices after the crashes: they came too early or too late", n)
		}
		Consume(t, b, g, charge)
		Drain(t, b, "billing")
		ExpectPublished(t, b, "invoices", want...)
	})
}

func TestCrashInMemory(t *testing.T) {
	b := Broker(t, "orders")
	after := Crash(t, b)
	if _, err := b.Publish(t.Context(), queue.Message{Topic: "orders"}); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("a publish to what crashed: %v", err)
	}
	if _, err := after.Publish(t.Context(), queue.Message{Topic: "orders"}); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("a topic that was in memory: %v", err)
	}
}

// TestCrashTellsOfStuckHandlers has a handler not heed its context.
func TestCrashTellsOfStuckHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Durable(t, "orders")
		if _, err := b.Publish(t.Context(), queue.Message{Topic: "orders"}); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		go b.Consume(t.Context(), queue.Group{Name: "g", Topics: []string{"orders"}}, func(context.Context, *queue.Delivery) error {
			<-release
			return nil
		})
		synctest.Wait()
		j := &judged{TB: t}
		j.run(func() {
			defer close(release)
			Crash(j, b)
		})
		j.wantSaid(t, "1 handler")
	})
}
