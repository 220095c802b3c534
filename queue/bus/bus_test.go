package bus_test

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

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/bus"
	"github.com/leatmq/leat/queue/codec"
	"github.com/leatmq/leat/queue/queuetest"
	"github.com/leatmq/leat/retry"
)

type event struct {
	Key string
	N   int
}

func topic(name string) queue.Topic[event] {
	return queue.TopicOf(name, codec.JSON[event]{}).Keyed(func(e event) string { return e.Key })
}

var created, paid = topic("orders.created"), topic("orders.paid")

// got is what handlers were given.
type got struct {
	mu     sync.Mutex
	events []string
}

func (g *got) add(d *queue.Delivery) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, d.Topic+" "+string(d.Value))
}

func (g *got) handle(_ context.Context, d *queue.Delivery) error { g.add(d); return nil }

// inOrder is what there was so far.
func (g *got) inOrder() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.events)
}

func (g *got) sorted() []string { return slices.Sorted(slices.Values(g.inOrder())) }

func (g *got) typed(_ context.Context, d *queue.Delivery, _ event) error { g.add(d); return nil }

func newBus(t testing.TB, b *queue.Broker, o bus.Options) *bus.Bus {
	t.Helper()
	made, err := bus.New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { made.Close() })
	return made
}

// subscribe runs a subscriber until t ends, or stop is called.
func subscribe(t testing.TB, b *bus.Bus, g queue.Group, bindings ...bus.Binding) (s *bus.Subscriber, stop func()) {
	t.Helper()
	s, err := b.Subscribe(t.Context(), g, bindings...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("running %s: %v", s.Name(), err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func publish(t testing.TB, b *queue.Broker, to queue.Topic[event], es ...event) {
	t.Helper()
	for _, e := range es {
		if _, err := to.Publish(t.Context(), b, e); err != nil {
			t.Fatal(err)
		}
	}
}

func text(topic, key string, n int) string {
	return fmt.Sprintf(`%s {"Key":%q,"N":%d}`, topic, key, n)
}

// Every subscriber gets every event of its bindings, each key in order; an event is stored once.
func TestFanOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := queuetest.Broker(t, "orders.created", "orders.paid", "stock.low")
		events := newBus(t, b, bus.Options{})
		var typed, both, all, other got
		subscribe(t, events, queue.Group{Name: "typed"}, bus.On(created, typed.typed))
		subscribe(t, events, queue.Group{Name: "both", Concurrency: 8}, bus.On(created, both.typed), bus.On(paid, both.typed))
		s, _ := subscribe(t, events, queue.Group{Concurrency: 8}, bus.Match("orders.#", all.handle))
		subscribe(t, events, queue.Group{Name: "other"}, bus.Match("#.low", other.handle))
		var wantCreated, wantAll []string
		for i := range 50 {
			key := fmt.Sprint("k", i%5)
			publish(t, b, created, event{key, i})
			publish(t, b, paid, event{key, i})
			wantCreated = append(wantCreated, text("orders.created", key, i))
			wantAll = append(wantAll, text("orders.created", key, i), text("orders.paid", key, i))
		}
		queuetest.Drain(t, b, "typed", "both", "other", s.Name())
		slices.Sort(wantCreated)
		slices.Sort(wantAll)
		if !slices.Equal(typed.sorted(), wantCreated) || !slices.Equal(both.sorted(), wantAll) || !slices.Equal(all.sorted(), wantAll) || len(other.inOrder()) > 0 {
			t.Errorf("typed got %d, both %d, all %d, other %d events, want 50, 100, 100, 0", len(typed.inOrder()), len(both.inOrder()), len(all.inOrder()), len(other.inOrder()))
		}
		last := map[string]int{}
		for _, e := range all.inOrder() {
			topic, value, _ := strings.Cut(e, " ")
			var v event
			if _, err := fmt.Sscanf(value, `{"Key":%q,"N":%d}`, &v.Key, &v.N); err != nil {
				t.Fatal(err)
			}
			if before, ok := last[topic+v.Key]; ok && v.N < before {
				t.Errorf("%s came behind %d", e, before)
			}
			last[topic+v.Key] = v.N
		}
		for _, s := range b.Stats().Topics {
			if s.Name != "stock.low" && s.Records != 50 {
				t.Errorf("topic %s has %d records, want 50", s.Name, s.Records)
			}
		}
	})
}

// An ephemeral subscriber gets what is published after Subscribe, though Run comes later, and nothing else; what it fails is nobody's dead letter; then its group is gone.
func TestEphemeral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := queuetest.Broker(t, "orders.created")
		events := newBus(t, b, bus.Options{})
		publish(t, b, created, event{"before", 0})
		s, err := events.Subscribe(t.Context(), queue.Group{Failure: queue.Failure{MaxAttempts: 1}}, bus.Match("orders.*", func(context.Context, *queue.Delivery) error {
			return errors.New("the connection is gone")
		}))
		if err != nil {
			t.Fatal(err)
		}
		var seen got
		other, stop := subscribe(t, events, queue.Group{}, bus.On(created, seen.typed))
		publish(t, b, created, event{"after", 1})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		queuetest.Drain(t, b, s.Name(), other.Name())
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		stop()
		if want := []string{text("orders.created", "after", 1)}; !slices.Equal(seen.sorted(), want) {
			t.Errorf("got %v, want %v", seen.sorted(), want)
		}
		if groups, err := b.Admin().Groups(t.Context()); err != nil || len(groups) > 0 {
			t.Errorf("groups %v, %v are left", groups, err)
		}
		if topics, err := b.Admin().Topics(t.Context()); err != nil || len(topics) != 1 {
			t.Errorf("topics %v, %v, want no dead letters", topics, err)
		}
	})
}

// An ephemeral subscriber that never ran, or whose process died, expires by itself.
func TestEphemeralExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := queuetest.Broker(t, "orders.created")
		if _, err := newBus(t, b, bus.Options{}).Subscribe(t.Context(), queue.Group{}, bus.Match("#", new(got).handle)); err != nil {
			t.Fatal(err)
		}
		if groups, err := b.Admin().Groups(t.Context()); err != nil || len(groups) != 1 {
			t.Fatalf("groups %v, %v, want one", groups, err)
		}
		time.Sleep(5 * time.Minute)
		if groups, err := b.Admin().Groups(t.Context()); err != nil || len(groups) > 0 {
			t.Errorf("groups %v, %v are left", groups, err)
		}
	})
}

// An ephemeral subscriber that is slow holds up no publisher; a durable one does, as its group says.
func TestEphemeralHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := queuetest.Broker(t)
		if err := b.EnsureTopic(t.Context(), "orders.created", queue.TopicConfig{Limit: queue.Limit{Messages: 3, WhenFull: backpressure.Reject}}); err != nil {
			t.Fatal(err)
		}
		events := newBus(t, b, bus.Options{})
		for _, name := range []string{"", "durable"} {
			if _, err := events.Subscribe(t.Context(), queue.Group{Name: name}, bus.Match("#", new(got).handle)); err != nil {
				t.Fatal(err)
			}
			taken := 0
			for i := range 10 {
				if _, err := created.Publish(t.Context(), b, event{"k", i}); err == nil {
					taken++
				} else if !errors.Is(err, queue.ErrFull) {
					t.Fatal(err)
				}
			}
			if (taken == 10) != (name == "") {
				t.Errorf("group %q: %d of 10 events were taken", name, taken)
			}
		}
	})
}

// A durable subscriber misses nothing while it is away, in topics that are made meanwhile either, though it once began with the latest.
func TestDurableMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := queuetest.Broker(t, "orders.created")
		events := newBus(t, b, bus.Options{})
		publish(t, b, created, event{"too early", 0})
		var all got
		g := queue.Group{Name: "audit", StartIfNew: queue.Latest()}
		_, stop := subscribe(t, events, g, bus.Match("orders.#", all.handle))
		publish(t, b, created, event{"here", 1})
		queuetest.Drain(t, b, "audit")
		stop()
		publish(t, b, created, event{"away", 2})
		if err := b.EnsureTopic(t.Context(), "orders.paid", queue.TopicConfig{}); err != nil {
			t.Fatal(err)
		}
		publish(t, b, paid, event{"away", 3})
		subscribe(t, events, g, bus.Match("orders.#", all.handle))
		queuetest.Drain(t, b, "audit")
		want := []string{text("orders.created", "away", 2), text("orders.created", "here", 1), text("orders.paid", "away", 3)}
		if !slices.Equal(all.sorted(), want) {
			t.Errorf("got %v, want %v", all.sorted(), want)
		}
	})
}

// Topics come and go under a pattern while it is subscribed to, from the first event on, and the subscriber goes on.
func TestTopicsComeAndGo(t *testing.T) {
	for _, g := range []queue.Group{{Name: "audit"}, {}} {
		t.Run(g.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := queuetest.Broker(t)
				events := newBus(t, b, bus.Options{})
				var all got
				s, _ := subscribe(t, events, g, bus.Match("orders.*", all.handle))
				time.Sleep(time.Minute)
				for i, to := range []queue.Topic[event]{created, paid} {
					if err := b.EnsureTopic(t.Context(), to.Name(), queue.TopicConfig{}); err != nil {
						t.Fatal(err)
					}
					publish(t, b, to, event{"first", i})
					time.Sleep(10 * time.Second)
				}
				if err := b.Admin().DeleteTopic(t.Context(), "orders.created"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				publish(t, b, paid, event{"later", 2})
				queuetest.Drain(t, b, s.Name())
				want := []string{text("orders.created", "first", 0), text("orders.paid", "first", 1), text("orders.paid", "later", 2)}
				if !slices.Equal(all.sorted(), want) {
					t.Errorf("got %v, want %v", all.sorted(), want)
				}
			})
		})
	}
}

// What fails goes the way of the group's policy, and a subscriber to everything does not get its own dead letters, nor those of others.
func TestFailuresUnderAPattern(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := queuetest.Broker(t, "orders.created", "orders.paid")
		events := newBus(t, b, bus.Options{})
		var mu sync.Mutex
		attempts := map[string]int{}
		failure := queue.Failure{MaxAttempts: 3}
		count := func(_ context.Context, d *queue.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			attempts[d.Topic]++
			return errors.New("no")
		}
		subscribe(t, events, queue.Group{Name: "own", Failure: failure}, bus.Match("#", count))
		failure.DeadLetter = "graveyard"
		subscribe(t, events, queue.Group{Name: "named", Failure: failure}, bus.Match("#", count))
		publish(t, b, created, event{"a", 1})
		publish(t, b, paid, event{"b", 1})
		time.Sleep(10 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		// The letters of the second are events to the first, which knows nothing of their being so: once.
		if want := map[string]int{"orders.created": 6, "orders.paid": 6, "graveyard": 6}; fmt.Sprint(attempts) != fmt.Sprint(want) {
			t.Errorf("attempts %v, want %v", attempts, want)
		}
		topics, err := b.Admin().Topics(t.Context())
		if err != nil || len(topics) != 6 {
			t.Errorf("topics %v, %v, want 2 of events, 3 of dead letters to them, 1 of theirs", topics, err)
		}
	})
}

func TestSubscribeMisuse(t *testing.T) {
	b := queuetest.Broker(t, "orders.created")
	events := newBus(t, b, bus.Options{})
	var seen got
	on := bus.On(created, seen.typed)
	for name, c := range map[string]struct {
		group    queue.Group
		bindings []bus.Binding
		want     error
	}{
		"nothing":       {queue.Group{Name: "g"}, nil, nil},
		"topics":        {queue.Group{Name: "g", Topics: []string{"orders.created"}}, []bus.Binding{on}, nil},
		"twice":         {queue.Group{Name: "g"}, []bus.Binding{on, on}, nil},
		"no handler":    {queue.Group{Name: "g"}, []bus.Binding{bus.On[event](created, nil)}, nil},
		"no match":      {queue.Group{Name: "g"}, []bus.Binding{bus.Match("#", nil)}, nil},
		"no answer":     {queue.Group{Name: "g"}, []bus.Binding{bus.RequestOf(created, codec.String{}).Answer(nil)}, nil},
		"a bad pattern": {queue.Group{Name: "g"}, []bus.Binding{bus.Match("a..b", seen.handle)}, nil},
		"a bad name":    {queue.Group{Name: "g h"}, []bus.Binding{on}, nil},
		"an unknown":    {queue.Group{Name: "g"}, []bus.Binding{bus.On(paid, seen.typed)}, queue.ErrNotFound},
	} {
		_, err := events.Subscribe(t.Context(), c.group, c.bindings...)
		var config *queue.ConfigError
		if c.want == nil && !errors.As(err, &config) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want a *ConfigError, or %v", name, err, c.want)
		}
	}
	for _, o := range []bus.Options{{Name: "a.b"}, {Name: "*"}, {Name: "a b"}, {Timeout: -1}, {Rescan: -1}, {Calls: -1}} {
		var config *queue.ConfigError
		if _, err := bus.New(b, o); !errors.As(err, &config) {
			t.Errorf("%+v: %v, want a *ConfigError", o, err)
		}
	}
	if _, err := bus.New(nil, bus.Options{}); err == nil {
		t.Error("a bus over nothing")
	}
}

var errBusy = errors.New("busy")

// Retries of an event hold its key alone, as in any group.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := queuetest.Broker(t, "orders.created")
		events := newBus(t, b, bus.Options{})
		var seen got
		g := queue.Group{Name: "g", Concurrency: 1, Failure: queue.Failure{Retry: retry.Constant(time.Second)}}
		subscribe(t, events, g, bus.On(created, func(ctx context.Context, d *queue.Delivery, e event) error {
			if e.N == 1 && d.Attempt < 3 {
				return errBusy
			}
			return seen.typed(ctx, d, e)
		}))
		publish(t, b, created, event{"a", 1}, event{"a", 2}, event{"b", 3})
		queuetest.Drain(t, b, "g")
		if want := []string{text("orders.created", "b", 3), text("orders.created", "a", 1), text("orders.created", "a", 2)}; !slices.Equal(seen.inOrder(), want) {
			t.Errorf("got %v, want %v", seen.inOrder(), want)
		}
	})
}
