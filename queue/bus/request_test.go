package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/bus"
	"github.com/leatmq/leat/queue/codec"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/queue/queuetest"
	"github.com/leatmq/leat/retry"
)

var (
	asked = queue.TopicOf("prices.asked", codec.String{})
	price = bus.RequestOf(asked, codec.JSON[int]{})
)

// answer is how many letters a question has, but for some.
func answer(_ context.Context, d *queue.Delivery, q string) (int, error) {
	switch {
	case q == "refused":
		return 0, retry.Permanent(errors.New("no such thing"))
	case q == "third" && d.Attempt < 3:
		return 0, errBusy
	}
	return len(q), nil
}

func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := queuetest.Broker(t, "prices.asked")
		events := newBus(t, b, bus.Options{})
		subscribe(t, events, queue.Group{Name: "pricing"}, price.Answer(answer))
		for _, q := range []string{"apple", "", "third"} {
			if got, err := price.Call(t.Context(), events, q); err != nil || got != len(q) {
				t.Errorf("%q: %d, %v", q, got, err)
			}
		}
		var refused *bus.RefusalError
		if got, err := price.Call(t.Context(), events, "refused"); !errors.As(err, &refused) || refused.Reason != "no such thing" || refused.Topic != "prices.asked" {
			t.Errorf("refused: %d, %v, want a *RefusalError", got, err)
		}
		// An answer is one commit with its question being done: as many as there were questions, though one was tried three times.
		queuetest.Drain(t, b, "pricing")
		if n := len(queuetest.Records(t, b, "replies.main")); n != 4 {
			t.Errorf("%d answers, want 4", n)
		}
	})
}

func TestCallsAtOnce(t *testing.T) {
	b := queuetest.Broker(t, "prices.asked")
	events, others := newBus(t, b, bus.Options{}), newBus(t, b, bus.Options{Name: "others"})
	subscribe(t, events, queue.Group{Name: "pricing", Concurrency: 4}, price.Answer(answer))
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			from, q := events, strings.Repeat("x", i)
			if i%2 == 0 {
				from = others
			}
			if got, err := price.Call(t.Context(), from, q); err != nil || got != i {
				t.Errorf("%d: %d, %v", i, got, err)
			}
		})
	}
	all.Wait()
}

// Nobody works for who is gone: a question is not handed out when its deadline has passed, and who works on it has its deadline.
func TestCallDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := queuetest.Broker(t, "prices.asked")
		events := newBus(t, b, bus.Options{Timeout: 3 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := price.Call(ctx, events, "nobody"); !errors.Is(err, bus.ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody there: %d, %v, want ErrNoAnswer", got, err)
		}
		began := time.Now()
		if _, err := price.Call(t.Context(), events, "still nobody"); !errors.Is(err, bus.ErrNoAnswer) || time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %v, want ErrNoAnswer after 3s", time.Since(began), err)
		}
		var worked atomic.Int64
		subscribe(t, events, queue.Group{Name: "pricing"}, price.Answer(func(ctx context.Context, _ *queue.Delivery, q string) (int, error) {
			worked.Add(1)
			if q == "slow" {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return 0, errBusy
		}))
		queuetest.Drain(t, b, "pricing")
		if n := worked.Load(); n != 0 {
			t.Errorf("%d questions were worked on whose deadline had passed", n)
		}
		began = time.Now()
		if _, err := price.Call(t.Context(), events, "slow"); !errors.Is(err, bus.ErrNoAnswer) || time.Since(began) != 3*time.Second {
			t.Errorf("slow: %v after %v, want ErrNoAnswer after 3s", err, time.Since(began))
		}
		if _, err := price.Call(t.Context(), events, "busy"); !errors.Is(err, bus.ErrNoAnswer) {
			t.Errorf("busy: %v, want ErrNoAnswer", err)
		}
		queuetest.Drain(t, b, "pricing")
		before := worked.Load()
		time.Sleep(time.Hour)
		if now := worked.Load(); now != before {
			t.Errorf("%d attempts after the deadline", now-before)
		}
	})
}

// What cannot be answered says so; a question is an event like any other where nobody waits, and answers go to topics of answers alone.
func TestAnswersThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := queuetest.Broker(t, "prices.asked", "orders.created")
		events := newBus(t, b, bus.Options{Timeout: 10 * time.Second})
		huge := bus.RequestOf(asked, codec.Func[int]{
			Append: func(dst []byte, n int) ([]byte, error) {
				if n < 0 {
					return dst, errors.New("below 0")
				}
				return append(dst, make([]byte, n)...), nil
			},
			Parse: func(b []byte) (int, error) { return 0, errors.New("not readable") },
		})
		sizes := map[string]int{"too large": 100 << 20, "not encodable": -1, "not decodable": 1}
		var worked atomic.Int64
		subscribe(t, events, queue.Group{Name: "pricing", Failure: queue.Failure{MaxAttempts: 2}}, huge.Answer(func(_ context.Context, _ *queue.Delivery, q string) (int, error) {
			worked.Add(1)
			return sizes[q], nil
		}))
		for q := range sizes {
			_, err := huge.Call(t.Context(), events, q)
			var refused *bus.RefusalError
			var undecoded *queue.DecodeError
			if q == "not decodable" && !errors.As(err, &undecoded) || q != "not decodable" && !errors.As(err, &refused) {
				t.Errorf("%s: %v", q, err)
			}
		}
		if _, err := asked.Publish(t.Context(), b, "nobody waits"); err != nil {
			t.Fatal(err)
		}
		m, err := asked.Message("sly")
		if err != nil {
			t.Fatal(err)
		}
		m.Headers = m.Headers.With(bus.HeaderReplyTo, "orders.created")
		if _, err := b.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		m.Headers = queue.Headers{}.With(bus.HeaderReplyTo, "replies.gone")
		if _, err := b.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		queuetest.Drain(t, b, "pricing")
		if n := len(queuetest.Records(t, b, "orders.created")); n != 0 || worked.Load() != 6 {
			t.Errorf("%d answers among the orders, %d questions worked on, want 0, 6", n, worked.Load())
		}
		if letters := queuetest.Records(t, b, "prices.asked.dead"); len(letters) != 1 {
			t.Errorf("%d dead letters, want that of the answer that was to go among orders", len(letters))
		}
	})
}

func TestCallMisuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := queuetest.Broker(t, "prices.asked")
		events := newBus(t, b, bus.Options{Calls: 1, Timeout: time.Minute})
		unknown := bus.RequestOf(queue.TopicOf("unknown", codec.String{}), codec.String{})
		if _, err := unknown.Call(t.Context(), events, ""); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("an unknown topic: %v, want ErrNotFound", err)
		}
		var unencoded *queue.EncodeError
		if _, err := price.Call(t.Context(), events, "\xff"); !errors.As(err, &unencoded) {
			t.Errorf("a question that is none: %v, want an *EncodeError", err)
		}
		waits := make(chan error, 1)
		go func() {
			_, err := price.Call(t.Context(), events, "waits")
			waits <- err
		}()
		synctest.Wait()
		if _, err := price.Call(t.Context(), events, "one too many"); !errors.Is(err, queue.ErrFull) {
			t.Errorf("one too many: %v, want ErrFull", err)
		}
		if err := events.Close(); err != nil {
			t.Error(err)
		}
		if err := <-waits; !errors.Is(err, queue.ErrClosed) {
			t.Errorf("a call when the bus was closed: %v, want ErrClosed", err)
		}
		if _, err := price.Call(t.Context(), events, "closed"); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("a call after: %v, want ErrClosed", err)
		}
		events.Close()

		if err := b.EnsureTopic(t.Context(), "full", queue.TopicConfig{Limit: queue.Limit{Messages: 1, WhenFull: backpressure.DropNew}}); err != nil {
			t.Fatal(err)
		}
		full := queue.TopicOf("full", codec.String{})
		if err := b.Admin().CreateGroup(t.Context(), queue.Group{Name: "behind", Topics: []string{"full"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := full.Publish(t.Context(), b, "first"); err != nil {
			t.Fatal(err)
		}
		if _, err := bus.RequestOf(full, codec.String{}).Call(t.Context(), newBus(t, b, bus.Options{}), "dropped"); !errors.Is(err, queue.ErrFull) {
			t.Errorf("a question that was dropped: %v, want ErrFull", err)
		}
		named := bus.RequestOf(asked.Identified(func(q string) string { return q }), codec.String{})
		others := newBus(t, b, bus.Options{Timeout: time.Second})
		for _, want := range []error{bus.ErrNoAnswer, bus.ErrAsked} {
			if _, err := named.Call(t.Context(), others, "id"); !errors.Is(err, want) {
				t.Errorf("a question with an ID: %v, want %v", err, want)
			}
		}
	})
}

// On a disk questions may be durable or in memory, and the topic of answers outlives the process.
func TestCallOnDisk(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		b, err := embedded.Open(dir, embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		events, err := bus.New(b, bus.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range []queue.Durability{queue.Synced, queue.Memory} {
			name := fmt.Sprint("asked", i)
			if err := b.EnsureTopic(t.Context(), name, queue.TopicConfig{Durability: d}); err != nil {
				t.Fatal(err)
			}
			request := bus.RequestOf(queue.TopicOf(name, codec.String{}), codec.String{})
			s, err := events.Subscribe(t.Context(), queue.Group{Name: name}, request.Answer(func(_ context.Context, _ *queue.Delivery, q string) (string, error) { return q + "!", nil }))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			if got, err := request.Call(t.Context(), events, "hello"); err != nil || got != "hello!" {
				t.Errorf("%v: %q, %v", d, got, err)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		events.Close()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
