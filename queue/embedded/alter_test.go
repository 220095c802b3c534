package embedded

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// wantFaults wants a *queue.ConfigError about just these fields.
func wantFaults(t *testing.T, what string, err error, fields ...string) {
	t.Helper()
	var wrong *queue.ConfigError
	if !errors.As(err, &wrong) {
		t.Errorf("%s: %v, want a *queue.ConfigError", what, err)
		return
	}
	var got []string
	for _, f := range wrong.Faults {
		got = append(got, f.Field)
	}
	if !slices.Equal(got, fields) {
		t.Errorf("%s: faults in %v, want %v: %v", what, got, fields, err)
	}
}

// everywhere runs f over a broker in memory, and over one in a directory.
func everywhere(t *testing.T, f func(t *testing.T, b *queue.Broker)) {
	t.Run("memory", func(t *testing.T) {
		b, err := InMemory(Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		f(t, b)
	})
	t.Run("disk", func(t *testing.T) { f(t, reopen(t, filepath.Join(t.TempDir(), "data"))) })
}

func TestEnsureTopicComparesTheStrategy(t *testing.T) {
	everywhere(t, func(t *testing.T, b *queue.Broker) {
		e, ctx := From(b), t.Context()
		s := storage.Strategy{
			Level: storage.DiskOnly, Sync: storage.SyncInterval(time.Minute),
			Cleanup: storage.CleanupPolicy{MaxAge: time.Hour, WhenDone: true, HoldForGroups: true},
		}
		for range 2 {
			if err := e.EnsureTopic(ctx, "t", queue.TopicConfig{Partitions: 2, MaxBytes: 100}, s); err != nil {
				t.Fatal(err)
			}
		}
		other := storage.Strategy{Cleanup: storage.CleanupPolicy{MaxBytes: 1, MaxRecords: 1}, NoBackup: true}
		wantFaults(t, "another strategy", e.EnsureTopic(ctx, "t", queue.TopicConfig{}, other), "Partitions", "MaxBytes", "Strategy.Level", "Strategy.Sync",
			"Strategy.Cleanup.MaxAge", "Strategy.Cleanup.MaxBytes", "Strategy.Cleanup.MaxRecords", "Strategy.Cleanup.WhenDone",
			"Strategy.Cleanup.HoldForGroups", "Strategy.NoBackup")
		same := queue.TopicConfig{
			Partitions: 2, MaxBytes: 100, Durability: queue.Interval, SyncEvery: time.Minute, Retention: queue.Retention{Age: time.Hour, WhenDone: true},
			Dedup: queue.Dedup{}.WithDefaults(),
		}
		if err := b.EnsureTopic(ctx, "t", same); err != nil {
			t.Error("the same, as far as a TopicConfig can say it:", err)
		}
		wantFaults(t, "what a TopicConfig can say", b.EnsureTopic(ctx, "t", queue.TopicConfig{Partitions: 2, MaxBytes: 100}),
			"Durability", "SyncEvery", "Retention.Age", "Retention.WhenDone")
		wantFaults(t, "both", e.EnsureTopic(ctx, "u", same, s), "Durability", "SyncEvery", "Retention")
		wantFaults(t, "wrong", e.EnsureTopic(ctx, "u/", queue.TopicConfig{Durability: queue.OS, Partitions: -1}, s), "Durability", "Name", "Partitions")
		s.Cleanup.MaxAge = -1
		wantFaults(t, "a strategy that cannot be", e.EnsureTopic(ctx, "u", queue.TopicConfig{}, s), "Strategy.Cleanup.MaxAge")
		got, c, err := e.Strategy("t")
		if err != nil || got.Level != storage.DiskOnly || c != same {
			t.Errorf("%+v, %+v, %v", got, c, err)
		}
		_, _, err = e.Strategy("u")
		wantError(t, "Strategy of a topic that was refused", err, queue.ErrNotFound)
	})
}

// TestStrategyDifferences: every field of a strategy is compared, and nothing is said twice.
func TestStrategyDifferences(t *testing.T) {
	have := storage.Strategy{}
	for field, change := range map[string]func(*storage.Strategy){
		"Level":                  func(s *storage.Strategy) { s.Level = storage.DiskOnly },
		"Sync":                   func(s *storage.Strategy) { s.Sync = storage.SyncOS },
		"Compression.Level":      func(s *storage.Strategy) { s.Compression.Level = 1 },
		"Compression.Codec":      func(s *storage.Strategy) { s.Compression.Codec = 1 },
		"Compression.BlockBytes": func(s *storage.Strategy) { s.Compression.BlockBytes = 1 },
		"Cleanup.MaxAge":         func(s *storage.Strategy) { s.Cleanup.MaxAge = 1 },
		"Cleanup.MaxBytes":       func(s *storage.Strategy) { s.Cleanup.MaxBytes = 1 },
		"Cleanup.MaxRecords":     func(s *storage.Strategy) { s.Cleanup.MaxRecords = 1 },
		"Cleanup.WhenDone":       func(s *storage.Strategy) { s.Cleanup.WhenDone = true },
		"Cleanup.TombstoneAge":   func(s *storage.Strategy) { s.Cleanup.TombstoneAge = 1 },
		"Cleanup.HoldForGroups":  func(s *storage.Strategy) { s.Cleanup.HoldForGroups = true },
		"Memory.Bytes":           func(s *storage.Strategy) { s.Memory.Bytes = 1 },
		"Memory.WhenFull":        func(s *storage.Strategy) { s.Memory.WhenFull = storage.DropOldest },
		"NoBackup":               func(s *storage.Strategy) { s.NoBackup = true },
	} {
		want := have
		change(&want)
		fs := strategyDifferences(have, want)
		if len(fs) != 1 || fs[0].Field != "Strategy."+field || fs[0].Have == fs[0].Want {
			t.Errorf("%s differs: %v", field, fs)
		}
	}
	latest := storage.Strategy{Cleanup: storage.CleanupPolicy{LatestByKey: true}}
	if fs := strategyDifferences(have, latest); len(fs) != 2 {
		t.Errorf("the latest by key, and how long tombstones stay: %v", fs)
	}
	explicit := latest
	explicit.Cleanup.TombstoneAge = storage.DefaultTombstoneAge
	if fs := strategyDifferences(latest, explicit); fs != nil {
		t.Errorf("a default, and the same said: %v", fs)
	}
}

func TestAlterTopic(t *testing.T) {
	everywhere(t, func(t *testing.T, b *queue.Broker) {
		e, ctx := From(b), t.Context()
		ensure(t, b, "t", 2)
		if r, err := b.Publish(ctx, queue.Message{Topic: "t", Value: make([]byte, 500)}); err != nil || r.Durability == 0 {
			t.Fatal(r, err)
		}
		s := storage.Strategy{Sync: storage.SyncInterval(time.Hour), Cleanup: storage.CleanupPolicy{MaxRecords: 10}}
		if err := e.AlterTopic(ctx, "t", queue.TopicConfig{MaxBytes: 100}, s); err != nil {
			t.Fatal(err)
		}
		_, err := b.Publish(ctx, queue.Message{Topic: "t", Value: make([]byte, 500)})
		wantError(t, "a message larger than MaxBytes is now", err, queue.ErrTooLarge)
		r, err := b.Publish(ctx, queue.Message{Topic: "t"})
		if want := map[kind]queue.Durability{onDisk: queue.Interval, inMemory: queue.Memory}[e.engine.kind]; err != nil || r.Durability != want {
			t.Errorf("%v, %v, want %v", r.Durability, err, want)
		}
		want := queue.TopicConfig{
			Partitions: 2, MaxBytes: 100, Durability: queue.Interval, SyncEvery: time.Hour, Retention: queue.Retention{Records: 10},
		}
		if err := b.EnsureTopic(ctx, "t", want); err != nil {
			t.Error("EnsureTopic of what it is now:", err)
		}
		wantFaults(t, "more partitions", e.AlterTopic(ctx, "t", queue.TopicConfig{Partitions: 3}, s), "Partitions")
		wantFaults(t, "a durability", e.AlterTopic(ctx, "t", queue.TopicConfig{Durability: queue.OS}, s), "Durability")
		wantFaults(t, "to memory", e.AlterTopic(ctx, "t", queue.TopicConfig{}, storage.Strategy{Level: storage.MemoryOnly}), "Strategy.Level")
		s.Compression.BlockBytes = 1
		wantFaults(t, "a strategy that cannot be", e.AlterTopic(ctx, "t", queue.TopicConfig{}, s), "Strategy.Compression")
		wantError(t, "no topic", e.AlterTopic(ctx, "u", queue.TopicConfig{}, storage.Strategy{}), queue.ErrNotFound)
		if err := b.EnsureTopic(ctx, "t", want); err != nil {
			t.Error("it changed though that was refused:", err)
		}
	})
}

// TestDeleteTopic: whoever uses it ends with ErrNotFound, others do not notice, and a topic of the same name is another.
func TestDeleteTopic(t *testing.T) {
	everywhere(t, func(t *testing.T, b *queue.Broker) {
		e, ctx := From(b), t.Context()
		ensure(t, b, "t", 2)
		ensure(t, b, "u", 2)
		fill(t, b, 2, 10, 3)
		var handled atomic.Int32
		consume := func(name string, topics ...string) chan error {
			ended := make(chan error, 1)
			go func() {
				ended <- b.Consume(ctx, queue.Group{Name: name, Topics: topics}, func(context.Context, *queue.Delivery) error {
					handled.Add(1)
					return nil
				})
			}()
			return ended
		}
		both, other := consume("both", "t", "u"), consume("other", "u")
		within, cancel := contextFor(t, time.Minute)
		defer cancel()
		if err := b.WaitIdle(within, "both", "other"); err != nil {
			t.Fatal(err)
		}
		old, err := b.Publish(ctx, queue.Message{Topic: "t"})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Admin().DeleteTopic(ctx, "t"); err != nil {
			t.Fatal(err)
		}
		err = <-both
		wantError(t, "Consume of the topic and another", err, queue.ErrNotFound)
		if err == nil || !strings.Contains(err.Error(), `"t"`) {
			t.Errorf("%v does not name the topic", err)
		}
		_, err = b.Publish(ctx, queue.Message{Topic: "t"})
		wantError(t, "Publish", err, queue.ErrNotFound)
		wantError(t, "DeleteTopic again", b.Admin().DeleteTopic(ctx, "t"), queue.ErrNotFound)
		if got := groupStats(b, "both"); got.Ready+got.InFlight+got.Waiting != 0 {
			t.Errorf("%+v: of a topic that is not there", got)
		}
		ensure(t, b, "t", 2)
		fill(t, b, 2, 5, 3)
		wantError(t, "a position of the old topic", e.Trim(ctx, old.Position), queue.ErrNotFound)
		handled.Store(0)
		both = consume("both", "t", "u")
		again, cancel := contextFor(t, time.Minute)
		defer cancel()
		for handled.Load() < 10 { // the group exists, and may be idle before its member has joined
			if err := b.WaitIdle(again, "both", "other"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if err := b.Close(); err != nil {
			t.Error("Close:", err)
		}
		wantError(t, "Consume", <-both, queue.ErrClosed)
		wantError(t, "Consume of the other topic, which noticed nothing", <-other, queue.ErrClosed)
	})
}

// TestDeletedWhileInUse: cursors that are to be written, messages in flight and members that join meet a topic or group that is deleted.
func TestDeletedWhileInUse(t *testing.T) {
	everywhere(t, func(t *testing.T, b *queue.Broker) {
		ensure(t, b, "keep", 1)
		var work sync.WaitGroup
		stop := make(chan struct{})
		work.Go(func() {
			defer close(stop)
			for i := range 30 {
				ensure(t, b, "t", 2)
				for range 20 {
					_, err := b.Publish(t.Context(), queue.Message{Topic: "t", Key: []byte{byte(i)}})
					if err == nil {
						_, err = b.Publish(t.Context(), queue.Message{Topic: "keep"})
					}
					if err != nil {
						t.Error("Publish:", err)
					}
				}
				var err error
				if i%3 == 0 {
					err = b.Admin().DeleteGroup(t.Context(), "g")
				} else {
					err = b.Admin().DeleteTopic(t.Context(), "t")
				}
				if err != nil && !errors.Is(err, queue.ErrNotFound) {
					t.Error("deleting:", err)
				}
			}
		})
		handle := func(context.Context, *queue.Delivery) error { return nil }
		for range 2 {
			work.Go(func() {
				for {
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Millisecond)
					err := b.Consume(ctx, queue.Group{Name: "g", Topics: []string{"t", "keep"}, Concurrency: 2}, handle)
					cancel()
					if err != nil && !errors.Is(err, queue.ErrNotFound) {
						t.Error("Consume:", err)
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		bystander := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { bystander <- b.Consume(ctx, queue.Group{Name: "bystander", Topics: []string{"keep"}}, handle) }()
		work.Wait()
		within, done := contextFor(t, time.Minute)
		defer done()
		if err := b.WaitIdle(within, "bystander"); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-bystander; err != nil {
			t.Error("a group that has nothing to do with all that:", err)
		}
		if got := groupStats(b, "bystander"); got.Done != 600 {
			t.Errorf("%+v, want 600 done", got)
		}
	})
}

// TestCursorOfADeletedTopic: the cursors that are to be written with it are written all the same.
func TestCursorOfADeletedTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		ensure(t, b, "u", 1)
		fill(t, b, 1, 3, 0)
		if _, err := b.Publish(t.Context(), queue.Message{Topic: "u"}); err != nil {
			t.Fatal(err)
		}
		one, other := join(t, b, queue.Group{Name: "one"}), join(t, b, queue.Group{Name: "other", Topics: []string{"u"}})
		e := From(b).engine
		u := e.topics["u"]
		one.ack(one.one())
		other.ack(other.one())
		if err := e.store.DeleteTopic(t.Context(), "t"); err != nil { // and nobody has been told
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if c, _ := e.store.Cursor(e.existing("other").id, u.First); c.Floor != 1 || c.Passed != 1 {
			t.Errorf("the store has %+v", c)
		}
		if err := e.existing("other").err; err != nil {
			t.Error(err)
		}
	})
}

func TestTrimAndClean(t *testing.T) {
	everywhere(t, func(t *testing.T, b *queue.Broker) {
		e, ctx := From(b), t.Context()
		ensure(t, b, "t", 1)
		var at []queue.Position
		for range 10 {
			r, err := b.Publish(ctx, queue.Message{Topic: "t"})
			if err != nil {
				t.Fatal(err)
			}
			at = append(at, r.Position)
		}
		if err := e.Trim(ctx, at[4]); err != nil {
			t.Fatal(err)
		}
		read := func() (first queue.Position, n int) {
			for r, err := range b.Read(ctx, queue.Range{Topic: "t"}) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == 1 {
					first = r.Position
				}
			}
			return first, n
		}
		if first, n := read(); n != 6 || first != at[4] {
			t.Errorf("%d records from %s on, want 6 from %s on", n, first, at[4])
		}
		offset, _ := at[9].Offset()
		wantError(t, "beyond the end", e.Trim(ctx, queue.PositionAt("t", 0, offset+2)), queue.ErrNotFound)
		wantError(t, "no partition", e.Trim(ctx, queue.PositionAt("t", 1, 0)), queue.ErrNotFound)
		wantError(t, "no topic", e.Trim(ctx, queue.PositionAt("u", 0, 0)), queue.ErrNotFound)
		if err := e.AlterTopic(ctx, "t", queue.TopicConfig{}, storage.Strategy{Cleanup: storage.CleanupPolicy{MaxRecords: 2}}); err != nil {
			t.Fatal(err)
		}
		if err := e.Clean(ctx); err != nil {
			t.Fatal(err)
		}
		if first, n := read(); n != 2 || first != at[8] {
			t.Errorf("%d records from %s on, want 2 from %s on", n, first, at[8])
		}
		for _, topic := range b.Stats().Topics {
			if topic.Records != 2 {
				t.Errorf("%+v", topic)
			}
		}
		if got := e.Storage(); got.Trimmed != 8 || got.Topics != 1 {
			t.Errorf("%+v: eight records were removed", got)
		}
		b.Close()
		wantError(t, "Clean when closed", e.Clean(ctx), queue.ErrClosed)
		wantError(t, "Trim when closed", e.Trim(ctx, at[9]), queue.ErrClosed)
		wantError(t, "AlterTopic when closed", e.AlterTopic(ctx, "t", queue.TopicConfig{}, storage.Strategy{}), queue.ErrClosed)
		wantError(t, "DeleteTopic when closed", b.Admin().DeleteTopic(ctx, "t"), queue.ErrClosed)
		wantError(t, "DeleteGroup when closed", b.Admin().DeleteGroup(ctx, "g"), queue.ErrClosed)
	})
}

// TestNoEngine: what only the embedded engine can do is refused for other brokers.
func TestNoEngine(t *testing.T) {
	var e *Engine
	ctx := t.Context()
	wantRefused(t, "EnsureTopic", e.EnsureTopic(ctx, "t", queue.TopicConfig{}, storage.Strategy{}))
	wantRefused(t, "AlterTopic", e.AlterTopic(ctx, "t", queue.TopicConfig{}, storage.Strategy{}))
	wantRefused(t, "Trim", e.Trim(ctx, queue.Position{}))
	wantRefused(t, "Clean", e.Clean(ctx))
	_, _, err := e.Strategy("t")
	wantRefused(t, "Strategy", err)
	if got := e.Storage(); got.Topics != 0 {
		t.Errorf("%+v", got)
	}
}
