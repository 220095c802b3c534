package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/codec"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/retry"
)

type order struct {
	ID, Customer string
	Cents        int
}

func orders() queue.Topic[order] {
	return queue.TopicOf("orders", codec.JSON[order]{}).
		Keyed(func(o order) string { return o.Customer }).
		Identified(func(o order) string { return o.ID })
}

// told is what events told.
type told struct {
	mu      sync.Mutex
	dead    []queue.DeadLetteredEvent
	dropped []queue.DiscardedEvent
	failed  []queue.FailedEvent
}

func (l *told) events() queue.Events {
	locked := func(f func()) { l.mu.Lock(); f(); l.mu.Unlock() }
	return queue.Events{
		DeadLettered: func(e queue.DeadLetteredEvent) { locked(func() { l.dead = append(l.dead, e) }) },
		Discarded:    func(e queue.DiscardedEvent) { locked(func() { l.dropped = append(l.dropped, e) }) },
		Failed:       func(e queue.FailedEvent) { locked(func() { l.failed = append(l.failed, e) }) },
	}
}

func inMemory(t testing.TB, e queue.Events, topics ...string) *queue.Broker {
	t.Helper()
	b, err := embedded.InMemory(embedded.Options{Broker: queue.Options{Events: e}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range topics {
		if err := b.EnsureTopic(t.Context(), name, queue.TopicConfig{}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// raw publishes a message that no typed topic made.
func raw(t testing.TB, b *queue.Broker, topic, key, value string) {
	t.Helper()
	if _, err := b.Publish(t.Context(), queue.Message{Topic: topic, Key: []byte(key), Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
}

// background runs consume until the groups are idle.
func background(t testing.TB, b *queue.Broker, group string, consume func(ctx context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- consume(ctx) }()
	enough, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := b.WaitIdle(enough, group); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTypedTopic(t *testing.T) {
	b := inMemory(t, queue.Events{}, "orders")
	topic := orders()
	want := []order{{"1", "ann", 5}, {"2", "", 6}, {"3", "ann", 7}, {"4", "bob", 8}}
	if _, err := topic.Publish(t.Context(), b, want[0]); err != nil {
		t.Fatal(err)
	}
	if r, err := topic.Publish(t.Context(), b, want[0]); err != nil || !r.Duplicate {
		t.Errorf("the same ID again: %+v, %v, want a duplicate", r, err)
	}
	if rs, err := topic.PublishBatch(t.Context(), b, want[1], want[2]); err != nil || len(rs) != 2 {
		t.Fatalf("a batch: %v, %v", rs, err)
	}
	if _, err := b.Transact(t.Context(), func(tx *queue.Tx) error { return topic.PublishIn(tx, want[3]) }); err != nil {
		t.Fatal(err)
	}
	var got []order
	background(t, b, "billing", func(ctx context.Context) error {
		return topic.Consume(ctx, b, queue.Group{Name: "billing", Concurrency: 1}, func(_ context.Context, d *queue.Delivery, o order) error {
			if string(d.Key) != o.Customer || d.Key == nil || d.ID != o.ID || d.Headers.Get(queue.HeaderContentType) != "application/json" {
				t.Errorf("%+v came with key %q, ID %q, headers %v", o, d.Key, d.ID, d.Headers)
			}
			got = append(got, o)
			return nil
		})
	})
	slices.SortFunc(got, func(a, b order) int { return strings.Compare(a.ID, b.ID) })
	if !slices.Equal(got, want) {
		t.Errorf("consumed %v, want %v", got, want)
	}
}

// What Message returns is the caller's.
func TestTypedMessageIsOwned(t *testing.T) {
	topic := orders()
	m, err := topic.Message(order{ID: "1"})
	if err != nil || m.Topic != "orders" || m.Key == nil || m.ID != "1" || string(m.Value) != `{"ID":"1","Customer":"","Cents":0}` {
		t.Fatalf("%+v, %v", m, err)
	}
	m.Headers[0].Value[0], m.Headers[0].Key = 'X', "changed"
	if m, _ := topic.Message(order{}); m.Headers.Get(queue.HeaderContentType) != "application/json" {
		t.Errorf("headers of another message are %v", m.Headers)
	}
	if plain, _ := queue.TopicOf("t", codec.String{}).Message("x"); plain.Key != nil || plain.ID != "" {
		t.Errorf("a topic without keys and IDs has %+v", plain)
	}
}

func TestTypedMisuse(t *testing.T) {
	b := inMemory(t, queue.Events{}, "orders")
	fn := func(context.Context, *queue.Delivery, order) error { return nil }
	var zero queue.Topic[order]
	noCodec := queue.TopicOf[order]("orders", nil)
	calls := map[string]func() error{
		"publish":           func() error { _, err := zero.Publish(t.Context(), b, order{}); return err },
		"publish, no codec": func() error { _, err := noCodec.Publish(t.Context(), b, order{}); return err },
		"publish a batch":   func() error { _, err := zero.PublishBatch(t.Context(), b, order{}); return err },
		"publish in":        func() error { return zero.PublishIn(queue.NewDelivery(queue.Record{}), order{}) },
		"message":           func() error { _, err := zero.Message(order{}); return err },
		"decode":            func() error { _, err := zero.Decode(&queue.Record{}); return err },
		"handle":            func() error { return queue.Handle(zero, fn)(t.Context(), queue.NewDelivery(queue.Record{})) },
		"consume":           func() error { return noCodec.Consume(t.Context(), b, queue.Group{Name: "g"}, fn) },
		"consume with topics": func() error {
			return orders().Consume(t.Context(), b, queue.Group{Name: "g", Topics: []string{"orders"}}, fn)
		},
		"consume with nothing": func() error { return orders().Consume(t.Context(), b, queue.Group{Name: "g"}, nil) },
		"a batch with nothing": func() error { return orders().ConsumeBatch(t.Context(), b, queue.Group{Name: "g"}, nil) },
		"deliveries": func() error {
			for _, err := range zero.Deliveries(t.Context(), b, queue.Group{Name: "g"}) {
				return err
			}
			return nil
		},
	}
	for name, call := range calls {
		var config *queue.ConfigError
		if err := call(); !errors.As(err, &config) {
			t.Errorf("%s: %v, want a *ConfigError", name, err)
		}
	}
	if queue.Handle[order](orders(), nil) != nil {
		t.Error("a handler of nothing is not nil")
	}
	type loop struct{ Self *loop }
	l := &loop{}
	l.Self = l
	var unencoded *queue.EncodeError
	loops := queue.TopicOf("orders", codec.JSON[*loop]{})
	if _, err := loops.Publish(t.Context(), b, l); !errors.As(err, &unencoded) {
		t.Errorf("a value that cannot be encoded: %v, want an *EncodeError", err)
	}
	if _, err := loops.PublishBatch(t.Context(), b, &loop{}, l); !errors.As(err, &unencoded) {
		t.Errorf("in a batch: %v, want an *EncodeError", err)
	}
	if n := b.Stats().Topics[0].Published; n != 0 {
		t.Errorf("%d messages were published", n)
	}
}

// shapes consume with a typed topic in each way.
var shapes = []struct {
	name    string
	consume func(ctx context.Context, b *queue.Broker, g queue.Group, fn func(order) error) error
}{
	{"Consume", func(ctx context.Context, b *queue.Broker, g queue.Group, fn func(order) error) error {
		return orders().Consume(ctx, b, g, func(_ context.Context, _ *queue.Delivery, o order) error { return fn(o) })
	}},
	{"Route", func(ctx context.Context, b *queue.Broker, g queue.Group, fn func(order) error) error {
		g.Topics = []string{"orders"}
		return b.Consume(ctx, g, queue.Route(map[string]queue.Handler{
			"orders": queue.Handle(orders(), func(_ context.Context, _ *queue.Delivery, o order) error { return fn(o) }),
		}))
	}},
	{"ConsumeBatch", func(ctx context.Context, b *queue.Broker, g queue.Group, fn func(order) error) error {
		return orders().ConsumeBatch(ctx, b, g, func(_ context.Context, items []queue.Item[order]) []error {
			errs := make([]error, len(items))
			for i, it := range items {
				errs[i] = fn(it.Data)
			}
			return errs
		})
	}},
	{"Deliveries", func(ctx context.Context, b *queue.Broker, g queue.Group, fn func(order) error) error {
		for l, err := range orders().Deliveries(ctx, b, g) {
			if err != nil {
				return err
			}
			settle := l.Ack
			if failed := fn(l.Data); failed != nil {
				settle = func(ctx context.Context) error { return l.Nack(ctx, failed) }
			}
			if err := settle(context.WithoutCancel(ctx)); err != nil { // ctx ends when all is done, which may be before the call knows it
				return err
			}
		}
		return nil
	}},
}

// stubborn takes every error for one that passes.
func stubborn(error) (retry.Class, time.Duration) { return retry.ClassTransient, 0 }

// A message that cannot be decoded is in the dead letters after its first attempt, with the reason, whatever the group says of errors; the others go their way, in order,
// and it is counted apart from what handlers fail.
func TestUndecodableIsADeadLetterAtOnce(t *testing.T) {
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l told
				b := inMemory(t, l.events(), "orders")
				for i := range 6 {
					if i == 2 || i == 3 {
						raw(t, b, "orders", "ann", "not JSON")
					}
					if _, err := orders().Publish(t.Context(), b, order{ID: fmt.Sprint(i), Customer: "ann"}); err != nil {
						t.Fatal(err)
					}
				}
				var got []string
				failures := 1
				g := queue.Group{Name: "billing", Concurrency: 1, Failure: queue.Failure{MaxAttempts: -1, Classify: stubborn}}
				background(t, b, "billing", func(ctx context.Context) error {
					return shape.consume(ctx, b, g, func(o order) error {
						if o.ID == "5" && failures > 0 {
							failures--
							return errors.New("db down")
						}
						got = append(got, o.ID)
						return nil
					})
				})
				if want := []string{"0", "1", "2", "3", "4", "5"}; !slices.Equal(slices.Compact(got), want) {
					t.Errorf("handled %v, want %v", got, want)
				}
				if len(l.dead) != 2 || len(l.failed) != 1 || b.Stats().Undecoded != 2 {
					t.Fatalf("%d dead letters, %d failed attempts, %d undecoded, want 2, 1, 2", len(l.dead), len(l.failed), b.Stats().Undecoded)
				}
				var undecoded *queue.DecodeError
				if e := l.dead[0]; e.Attempts != 1 || !errors.As(e.Err, &undecoded) || undecoded.Topic != "orders" {
					t.Errorf("told of %+v, want the first attempt and a *DecodeError", e)
				}
				n := 0
				for d, err := range b.DeadLetters("orders.dead").All(t.Context()) {
					if n++; err != nil || string(d.Value) != "not JSON" || d.Attempts != 1 || !strings.Contains(d.Error, "cannot be decoded") {
						t.Errorf("a letter is %+v, %v", d, err)
					}
				}
				if n != 2 {
					t.Errorf("%d letters, want 2", n)
				}
			})
		})
	}
}

func TestUndecodableAndExhausted(t *testing.T) {
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l told
				b := inMemory(t, l.events(), "orders")
				raw(t, b, "orders", "ann", "[")
				if _, err := orders().Publish(t.Context(), b, order{Customer: "ann"}); err != nil {
					t.Fatal(err)
				}
				handled := 0
				fn := func(order) error { handled++; return nil }
				var undecoded *queue.DecodeError
				for _, rule := range []queue.KeyRule{queue.BlockKey, queue.ParkKey} {
					stops := queue.Group{Name: rule.String(), Failure: queue.Failure{Exhausted: queue.StopGroup, WhileRetry: rule}}
					err := shape.consume(t.Context(), b, stops, fn)
					if !errors.As(err, &undecoded) || handled > 0 {
						t.Errorf("StopGroup, %v: ended with %v after %d handled, want a *DecodeError and none", rule, err, handled)
					}
				}
				discards := queue.Group{Name: "discards", Failure: queue.Failure{Exhausted: queue.Discard}}
				background(t, b, "discards", func(ctx context.Context) error { return shape.consume(ctx, b, discards, fn) })
				if len(l.dropped) != 1 || !errors.As(l.dropped[0].Err, &undecoded) || handled != 1 {
					t.Errorf("Discard: told of %+v, %d handled", l.dropped, handled)
				}
				once := queue.Group{Name: "once", Guarantee: queue.AtMostOnce}
				background(t, b, "once", func(ctx context.Context) error { return shape.consume(ctx, b, once, fn) })
				if len(l.dead) != 1 || handled != 2 {
					t.Errorf("AtMostOnce: told of %+v, %d handled, want a letter, and what is behind it handled", l.dead, handled)
				}
			})
		})
	}
}

// In a batch whose handler panics, a message that cannot be decoded is no victim of it; nor do those that the handler got get the wrong outcome.
func TestUndecodableInABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l told
		b := inMemory(t, l.events(), "orders")
		for i := range 6 {
			if i%2 == 1 {
				raw(t, b, "orders", fmt.Sprint("bad", i), "?")
			}
			if _, err := orders().Publish(t.Context(), b, order{ID: fmt.Sprint(i), Customer: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		var calls [][]string
		g := queue.Group{Name: "g", Concurrency: 1, Failure: queue.Failure{Retry: retry.Policy{First: time.Second, Jitter: retry.NoJitter}}}
		background(t, b, "g", func(ctx context.Context) error {
			return orders().ConsumeBatch(ctx, b, g, func(_ context.Context, items []queue.Item[order]) []error {
				var ids []string
				errs := make([]error, len(items))
				for i, it := range items {
					if ids = append(ids, it.Data.ID); it.Data.ID == "4" && it.Attempt == 2 {
						errs[i] = errors.New("not this one")
					}
				}
				slices.Sort(ids) // keys come again in any order
				calls = append(calls, ids)
				switch len(calls) {
				case 1:
					panic("all of them")
				case 2:
					return errs
				case 3:
					return []error{nil, nil}
				}
				return nil
			})
		})
		if want := "[[0 1 2 3 4 5] [0 1 2 3 4 5] [4] [4]]"; fmt.Sprint(calls) != want {
			t.Errorf("calls with %v, want %v", calls, want)
		}
		if len(l.dead) != 3 || l.dead[0].Attempts != 1 || b.Stats().Undecoded != 3 {
			t.Errorf("letters %+v, %d undecoded, want 3 at the first attempt", l.dead, b.Stats().Undecoded)
		}
	})
}

// A codec that panics has found a message that it cannot decode. The letter has the stack.
func TestCodecPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l told
		b := inMemory(t, l.events(), "orders")
		raw(t, b, "orders", "", "x")
		topic := queue.TopicOf("orders", codec.Func[int]{Parse: func([]byte) (int, error) { panic("index out of range") }})
		background(t, b, "g", func(ctx context.Context) error {
			return topic.Consume(ctx, b, queue.Group{Name: "g"}, func(context.Context, *queue.Delivery, int) error { return nil })
		})
		for d, err := range b.DeadLetters("orders.dead").All(t.Context()) {
			if err != nil || !strings.Contains(d.Error, "index out of range") || !strings.Contains(d.Stack, "TestCodecPanics") {
				t.Errorf("the letter is %+v, %v", d, err)
			}
			return
		}
		t.Error("no letter")
	})
}

// Who wraps a handler has the last word: nil is done.
func TestUndecodableForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l told
		b := inMemory(t, l.events(), "orders")
		raw(t, b, "orders", "", "x")
		raw(t, b, "orders", "", "y")
		h := queue.Handle(orders(), func(context.Context, *queue.Delivery, order) error { return nil })
		background(t, b, "g", func(ctx context.Context) error {
			return b.Consume(ctx, queue.Group{Name: "g", Topics: []string{"orders"}}, func(ctx context.Context, d *queue.Delivery) error {
				err := h(ctx, d)
				if string(d.Value) == "x" {
					return nil
				}
				return fmt.Errorf("wrapped: %w", err)
			})
		})
		if len(l.dead) != 1 || !strings.HasPrefix(l.dead[0].Err.Error(), "wrapped: ") {
			t.Errorf("letters %+v, want that of y, as it was wrapped", l.dead)
		}
	})
}

func TestDecodeLooksAtHeaders(t *testing.T) {
	topic := queue.TopicOf("t", codec.Func[string]{Type: "text/x; v=1", Parse: func(b []byte) (string, error) { return string(b), nil }})
	for _, c := range []struct {
		name    string
		headers queue.Headers
		ok      bool
	}{
		{"none", nil, true},
		{"its own", queue.Headers{}.With("content-type", "text/x; v=1"), true},
		{"other parameters", queue.Headers{}.With("content-type", "Text/X ;v=2"), true},
		{"another", queue.Headers{}.With("content-type", "application/json"), false},
		{"the first is not all", queue.Headers{}.With("content-type", "text/x").With("content-type", "application/json"), false},
		{"compressed", queue.Headers{}.With("compression", "zstd"), false},
		{"not compressed", queue.Headers{}.With("compression", ""), true},
	} {
		v, err := topic.Decode(&queue.Record{Message: queue.Message{Topic: "t", Headers: c.headers, Value: []byte("v")}})
		if (err == nil) != c.ok || c.ok && v != "v" {
			t.Errorf("%s: %q, %v", c.name, v, err)
		}
	}
}

// Many publish at a time, from buffers that are used again.
func TestTypedPublishersAtOnce(t *testing.T) {
	b := inMemory(t, queue.Events{}, "orders")
	topic := queue.TopicOf("orders", codec.JSON[order]{}).Keyed(func(o order) string { return o.Customer })
	const publishers, each = 8, 100
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range each {
				o := order{ID: strings.Repeat(fmt.Sprint(p), i), Customer: fmt.Sprint(p), Cents: i}
				if _, err := topic.Publish(t.Context(), b, o); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	n := 0
	for r, err := range b.Read(t.Context(), queue.Range{Topic: "orders"}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if o, err := topic.Decode(r); err != nil || o.Customer != string(r.Key) || o.ID != strings.Repeat(o.Customer, o.Cents) {
			t.Errorf("%+v, key %q, %v", o, r.Key, err)
		}
	}
	if n != publishers*each {
		t.Errorf("%d messages, want %d", n, publishers*each)
	}
}

// Values go through a Publisher as they are, from buffers that are used again while they wait there.
func TestTypedThroughAPublisher(t *testing.T) {
	b := inMemory(t, queue.Events{}, "orders")
	p, err := b.Publisher(queue.PublisherOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if _, err := orders().Go(t.Context(), p, order{ID: fmt.Sprint(i), Customer: fmt.Sprint("c", i%7), Cents: i}); err != nil {
			t.Fatal(err)
		}
	}
	var unencoded *queue.EncodeError
	if _, err := queue.TopicOf("orders", codec.String{}).Go(t.Context(), p, "\xff"); !errors.As(err, &unencoded) {
		t.Errorf("a value that is none: %v, want an *EncodeError", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	for r, err := range b.Read(t.Context(), queue.Range{Topic: "orders"}) {
		if err != nil {
			t.Fatal(err)
		}
		want := order{fmt.Sprint(n), fmt.Sprint("c", n%7), n}
		if o, err := orders().Decode(r); err != nil || o != want || r.ID != want.ID || string(r.Key) != want.Customer {
			t.Errorf("message %d is %+v, %v, ID %q, key %q", n, o, err, r.ID, r.Key)
		}
		n++
	}
	if n != 1000 {
		t.Errorf("%d messages, want 1000", n)
	}
}

func TestRouteWithoutHandler(t *testing.T) {
	d := queue.NewDelivery(queue.Record{Position: queue.PositionAt("other", 0, 0)})
	err := queue.Route(map[string]queue.Handler{"orders": nil})(t.Context(), d)
	if class, _ := retry.Classify(err); class != retry.ClassPermanent || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("%v, want a permanent error that names the topic", err)
	}
}
