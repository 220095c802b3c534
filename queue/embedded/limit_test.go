package embedded

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// limited opens a broker in memory with topic "t" of that limit.
func limited(t *testing.T, o Options, partitions int, l queue.Limit) *queue.Broker {
	t.Helper()
	b, err := InMemory(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	limit(t, b, "t", partitions, l)
	return b
}

func limit(t *testing.T, b *queue.Broker, topic string, partitions int, l queue.Limit) {
	t.Helper()
	if err := b.EnsureTopic(t.Context(), topic, queue.TopicConfig{Partitions: partitions, Limit: l}); err != nil {
		t.Fatal(err)
	}
}

func publishTo(b *queue.Broker, topic string) error {
	_, err := b.Publish(context.Background(), queue.Message{Topic: topic, Value: []byte("0123456789")})
	return err
}

// fillUp publishes until the topic is full, and returns how many went in.
func fillUp(t *testing.T, b *queue.Broker, topic string) (n int) {
	t.Helper()
	for ; n < 1_000_000; n++ {
		if err := publishTo(b, topic); err != nil {
			if !errors.Is(err, queue.ErrFull) {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("it is never full")
	return 0
}

func wantBacklog(t *testing.T, b *queue.Broker, want int64) {
	t.Helper()
	if s := b.Stats().Topics[0]; s.Backlog != want {
		t.Errorf("the backlog is %d, want %d", s.Backlog, want)
	}
}

// TestLimitIsThatOfTheSlowestGroupThatCounts: one that is done with everything does not help it, nor does one that does not count hold it up.
func TestLimitIsThatOfTheSlowestGroupThatCounts(t *testing.T) {
	synctest.Test(t, testLimitIsThatOfTheSlowestGroupThatCounts)
}

func testLimitIsThatOfTheSlowestGroupThatCounts(t *testing.T) {
	b := limited(t, Options{}, 3, queue.Limit{Messages: 10, WhenFull: backpressure.Reject})
	for range 100 {
		if err := publishTo(b, "t"); err != nil {
			t.Fatal("without groups:", err)
		}
	}
	fast := join(t, b, queue.Group{Name: "fast", StartIfNew: queue.Latest(), Concurrency: 100})
	slow := join(t, b, queue.Group{Name: "slow", StartIfNew: queue.Latest(), Concurrency: 100})
	join(t, b, queue.Group{Name: "audit", Uncounted: true})
	wantBacklog(t, b, 0)
	if n := fillUp(t, b, "t"); n != 10 {
		t.Errorf("%d went in", n)
	}
	if n := len(fast.drain()); n != 10 {
		t.Errorf("the fast group got %d", n)
	}
	if n := fillUp(t, b, "t"); n != 0 {
		t.Errorf("%d went in though the slow group did nothing", n)
	}
	for range 4 {
		slow.ack(slow.one())
	}
	if n := fillUp(t, b, "t"); n != 4 {
		t.Errorf("%d went in when the slow group had done 4", n)
	}
	h := slow.one()
	if err := slow.settle(h, queue.SettleRetry, time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := fillUp(t, b, "t"); n != 0 {
		t.Errorf("%d went in when an attempt had failed", n)
	}
	if err := b.Admin().DeleteGroup(t.Context(), "slow"); err != nil {
		t.Fatal(err)
	}
	if n := fillUp(t, b, "t"); n != 6 { // the fast one has four before it
		t.Errorf("%d went in when the slow group was deleted", n)
	}
	if s := b.Stats().Topics[0]; s.QueueFull != 5 || s.Backlog != 10 || s.BacklogBytes != 100 {
		t.Errorf("%+v", s)
	}
}

func TestLimitOfBytes(t *testing.T) { synctest.Test(t, testLimitOfBytes) }

func testLimitOfBytes(t *testing.T) {
	const most = 1<<10 + queue.MinLimitBytes
	b, err := InMemory(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	err = b.EnsureTopic(t.Context(), "t", queue.TopicConfig{MaxBytes: 1 << 10, Limit: queue.Limit{Bytes: most, WhenFull: backpressure.Reject}})
	if err != nil {
		t.Fatal(err)
	}
	m := join(t, b, queue.Group{Concurrency: 10_000})
	if n := fillUp(t, b, "t"); n != most/10 {
		t.Errorf("%d messages of 10 bytes in %d", n, most)
	}
	m.ack(m.receive(100, queue.ReceiveLimits{})...)
	if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: make([]byte, 1000)}); err != nil {
		t.Error(err)
	}
	if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: make([]byte, 11)}); !errors.Is(err, queue.ErrFull) {
		t.Error(err)
	}
	m.drain()
	if s := b.Stats().Topics[0]; s.Backlog != 0 || s.BacklogBytes != 0 {
		t.Errorf("%+v", s)
	}
}

func TestBlockedPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := limited(t, Options{}, 1, queue.Limit{Messages: 2})
		m := join(t, b, queue.Group{})
		for range 2 {
			if err := publishTo(b, "t"); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := contextFor(t, time.Second)
		defer cancel()
		_, err := b.Publish(ctx, queue.Message{Topic: "t"})
		if !errors.Is(err, queue.ErrFull) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, queue.ErrRateLimited) {
			t.Errorf("a wait that ended: %v", err)
		}
		outcomes := make(chan error, 3)
		for i := range 3 {
			go func() {
				_, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: fmt.Append(nil, i)})
				outcomes <- err
			}()
			synctest.Wait()
		}
		if s := b.Stats().Topics[0]; s.Blocked != 3 || s.Backlog != 2 {
			t.Errorf("%+v", s)
		}
		var got []string
		for range 4 {
			h := m.one()
			got = append(got, string(h.Value))
			m.ack(h)
			synctest.Wait()
		}
		if !slices.Equal(got[2:], []string{"0", "1"}) {
			t.Errorf("got %v: they came in out of turn", got)
		}
		for range 3 {
			if err := <-outcomes; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestBlockedPublishersHearOfTheEnd: of the topic, or of the broker.
func TestBlockedPublishersHearOfTheEnd(t *testing.T) {
	for name, end := range map[string]struct {
		do   func(b *queue.Broker) error
		want error
	}{
		"deleted": {func(b *queue.Broker) error { return b.Admin().DeleteTopic(context.Background(), "t") }, queue.ErrNotFound},
		"closed":  {func(b *queue.Broker) error { return b.Close() }, queue.ErrClosed},
		"purged": {func(b *queue.Broker) error {
			_, err := b.Admin().Purge(context.Background(), "t")
			return err
		}, nil},
		"group deleted": {func(b *queue.Broker) error { return b.Admin().DeleteGroup(context.Background(), "g") }, nil},
		"group moved":   {func(b *queue.Broker) error { return b.Admin().Seek(context.Background(), "g", queue.Latest()) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := limited(t, Options{}, 1, queue.Limit{Messages: 2})
				if err := b.Admin().CreateGroup(t.Context(), queue.Group{Name: "g", Topics: []string{"t"}}); err != nil {
					t.Fatal(err)
				}
				store(t, b, 2)
				outcome := make(chan error, 1)
				go func() { outcome <- publishTo(b, "t") }()
				synctest.Wait()
				if err := end.do(b); err != nil {
					t.Fatal(err)
				}
				if err := <-outcome; !errors.Is(err, end.want) {
					t.Errorf("got %v, want %v", err, end.want)
				}
			})
		})
	}
}

// TestRetentionMakesRoom, though the group that had not done what is removed has nobody to hear of it.
func TestRetentionMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := InMemory(Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		err = b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Retention: queue.Retention{Age: time.Minute}, Limit: queue.Limit{Messages: 5}})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Admin().CreateGroup(t.Context(), queue.Group{Name: "g", Topics: []string{"t"}}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range 6 {
			if err := publishTo(b, "t"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 55*time.Second || took > 70*time.Second {
			t.Errorf("the sixth waited %v", took)
		}
		wantBacklog(t, b, 1)
	})
}

func TestLimitSurvivesReopening(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	b := reopen(t, dir)
	const most = 1<<10 + queue.MinLimitBytes
	config := queue.TopicConfig{Partitions: 2, Durability: queue.OS, MaxBytes: 1 << 10, Limit: queue.Limit{Messages: 20, Bytes: most, Rate: 1e6, WhenFull: backpressure.Reject}}
	if err := b.EnsureTopic(t.Context(), "t", config); err != nil {
		t.Fatal(err)
	}
	for name, uncounted := range map[string]bool{"slow": false, "audit": true} {
		if err := b.Admin().CreateGroup(t.Context(), queue.Group{Name: name, Topics: []string{"t"}, Uncounted: uncounted}); err != nil {
			t.Fatal(err)
		}
	}
	m := join(t, b, queue.Group{Name: "slow", Concurrency: 10})
	if n := fillUp(t, b, "t"); n != 20 {
		t.Fatalf("%d went in", n)
	}
	m.ack(m.receive(1, queue.ReceiveLimits{})[0], m.receive(1, queue.ReceiveLimits{})[0], m.receive(1, queue.ReceiveLimits{})[0])
	m.leave()
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = reopen(t, dir)
		if err := b.EnsureTopic(t.Context(), "t", config); err != nil {
			t.Error("the same configuration:", err)
		}
		n := fillUp(t, b, "t")
		if s := b.Stats().Topics[0]; s.Backlog != 20 || s.BacklogBytes != 200 || n != 3 && n != 0 {
			t.Errorf("%d went in, and %+v", n, s)
		}
	}
	g, err := b.Admin().Group(t.Context(), "audit")
	if err != nil || !g.Uncounted {
		t.Errorf("%+v, %v", g, err)
	}
	other := config
	other.Limit.Messages, other.Limit.WhenFull = 21, backpressure.Block
	wantFaults(t, "another limit", b.EnsureTopic(t.Context(), "t", other), "Limit.Messages", "Limit.WhenFull")
}

func TestLimitIsJudged(t *testing.T) {
	b := memory(t, 1)
	for _, x := range []struct {
		limit queue.Limit
		field string
	}{
		{queue.Limit{Messages: -1}, "Limit.Messages"},
		{queue.Limit{Bytes: 1 << 20}, "Limit.Bytes"},
		{queue.Limit{Bytes: -1}, "Limit.Bytes"},
		{queue.Limit{Rate: -1}, "Limit.Rate"},
		{queue.Limit{Burst: 1}, "Limit.Burst"},
		{queue.Limit{Rate: 1, Burst: -1}, "Limit.Burst"},
		{queue.Limit{Messages: 1, WhenFull: 9}, "Limit.WhenFull"},
	} {
		wantFaults(t, fmt.Sprintf("%+v", x.limit), b.EnsureTopic(t.Context(), "x", queue.TopicConfig{Limit: x.limit}), x.field)
	}
	if _, err := InMemory(Options{Limit: backpressure.Weight{Count: -1}}); !errors.As(err, new(*queue.ConfigError)) {
		t.Errorf("a limit of the broker below zero: %v", err)
	}
	limit(t, b, "small", 1, queue.Limit{Messages: 2, Rate: 10, Burst: 1})
	_, err := b.PublishBatch(t.Context(), queue.Message{Topic: "small"}, queue.Message{Topic: "small"}, queue.Message{Topic: "small"})
	if !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("a batch that never fits: %v", err)
	}
}

func TestLimitOfRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := limited(t, Options{}, 1, queue.Limit{Rate: 10, Burst: 2})
		limit(t, b, "u", 1, queue.Limit{Rate: 10, Burst: 2, WhenFull: backpressure.Reject})
		limit(t, b, "v", 1, queue.Limit{Rate: 10, Burst: 2, WhenFull: backpressure.DropNew})
		began := time.Now()
		for range 12 {
			if err := publishTo(b, "t"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 990*time.Millisecond || took > 1010*time.Millisecond {
			t.Errorf("12 of 10 a second and a burst of 2 took %v", took)
		}
		ctx, cancel := contextFor(t, time.Millisecond)
		defer cancel()
		if _, err := b.Publish(ctx, queue.Message{Topic: "t"}); !errors.Is(err, queue.ErrRateLimited) || !errors.Is(err, queue.ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no time to wait: %v", err)
		}
		for i := range 4 {
			if err := publishTo(b, "u"); (i < 2) != (err == nil) || err != nil && (!errors.Is(err, queue.ErrRateLimited) || !errors.Is(err, queue.ErrFull)) {
				t.Errorf("publish %d: %v", i, err)
			}
			r, err := b.Publish(t.Context(), queue.Message{Topic: "v"})
			if err != nil || r.Dropped != (i >= 2) {
				t.Errorf("publish %d: %+v, %v", i, r, err)
			}
		}
		s := b.Stats().Topics
		if s[0].RateLimited != 1 || s[1].RateLimited != 2 || s[1].QueueFull != 0 || s[2].DroppedNew != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// TestBatchesAndLimits: all or none, but for what is dropped; two batches that want the same topics in another order do not wait for each other.
func TestBatchesAndLimits(t *testing.T) {
	b := limited(t, Options{}, 1, queue.Limit{Messages: 3, WhenFull: backpressure.Reject})
	limit(t, b, "u", 1, queue.Limit{Messages: 3, WhenFull: backpressure.DropNew})
	limit(t, b, "v", 1, queue.Limit{Messages: 3})
	join(t, b, queue.Group{Topics: []string{"t", "u"}})
	v := join(t, b, queue.Group{Name: "v", Topics: []string{"v"}, Concurrency: 9})
	batch := func(topics string) ([]queue.Receipt, error) {
		var ms []queue.Message
		for _, topic := range topics {
			ms = append(ms, queue.Message{Topic: string(topic)})
		}
		return b.PublishBatch(t.Context(), ms...)
	}
	rs, err := batch("tutu")
	if err != nil || rs[1].Dropped {
		t.Fatal(rs, err)
	}
	if _, err := batch("utt"); !errors.Is(err, queue.ErrFull) {
		t.Errorf("more than fits: %v", err)
	}
	if rs, err = batch("utu"); err != nil || rs[0].Dropped || rs[1].Dropped || !rs[2].Dropped || rs[1].Position.IsZero() || !rs[2].Position.IsZero() {
		t.Errorf("what fits of a batch: %+v, %v", rs, err)
	}
	if s := b.Stats().Topics; s[0].Backlog != 3 || s[1].Backlog != 3 || s[1].DroppedNew != 1 {
		t.Errorf("%+v", s)
	}
	limit(t, b, "w", 1, queue.Limit{Messages: 3})
	w := join(t, b, queue.Group{Name: "w", Topics: []string{"w"}, Concurrency: 9})
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 50 {
				if _, err := batch([]string{"vvw", "wwv", "wv", "vw"}[i]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, m := range []*testMember{v, w} {
		all.Go(func() {
			for range 50 * 5 {
				m.ack(m.one())
			}
		})
	}
	all.Wait()
}

// TestDuplicatesNeedNoRoom, and what was dropped was never there.
func TestDuplicatesNeedNoRoom(t *testing.T) {
	b := limited(t, Options{}, 1, queue.Limit{Messages: 1, WhenFull: backpressure.DropNew})
	m := join(t, b, queue.Group{})
	publish := func(id string) queue.Receipt {
		t.Helper()
		r, err := b.Publish(t.Context(), queue.Message{Topic: "t", ID: id})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := publish("a")
	if r := publish("a"); !r.Duplicate || r.Position != first.Position {
		t.Errorf("the same again: %+v", r)
	}
	if r := publish("b"); !r.Dropped {
		t.Errorf("another: %+v", r)
	}
	m.ack(m.one())
	if r := publish("b"); r.Dropped || r.Duplicate {
		t.Errorf("what was dropped, again: %+v", r)
	}
}

func TestBacklogIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []queue.BacklogEvent
		o := Options{Broker: queue.Options{Events: queue.Events{Backlog: func(x queue.BacklogEvent) { told = append(told, x) }}}}
		b := limited(t, o, 1, queue.Limit{Messages: 10, WhenFull: backpressure.Reject})
		m := join(t, b, queue.Group{Concurrency: 10})
		for range 9 {
			publishTo(b, "t")
			synctest.Wait()
		}
		for range 3 { // up and down, around one level
			m.ack(m.one(), m.one())
			publishTo(b, "t")
			publishTo(b, "t")
			synctest.Wait()
		}
		m.drain()
		synctest.Wait()
		want := []queue.BacklogEvent{{Topic: "t", High: true, Messages: 8, Bytes: 80}, {Topic: "t", Messages: 4, Bytes: 40}}
		if !slices.Equal(told, want) {
			t.Errorf("told %+v, want %+v", told, want)
		}
	})
}

// TestDelayedMessagesAndLimits: they wait until there is room, and go no further than the reserve.
func TestGroupThatMovesBackFillsTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := limited(t, Options{}, 2, queue.Limit{Messages: 10, WhenFull: backpressure.Reject})
		m := join(t, b, queue.Group{Concurrency: 10})
		fillUp(t, b, "t")
		m.drain()
		fillUp(t, b, "t")
		m.drain()
		if err := b.Admin().Seek(t.Context(), "g", queue.Earliest()); err != nil {
			t.Fatal(err)
		}
		wantBacklog(t, b, 20)
		for range 11 {
			if n := fillUp(t, b, "t"); n != 0 {
				t.Errorf("%d went in", n)
			}
			m.ack(m.one())
		}
		if n := fillUp(t, b, "t"); n != 1 {
			t.Errorf("%d went in when 9 were left", n)
		}
		m.drain()
		wantBacklog(t, b, 0)
	})
}

// TestRecordsCountOnce: by who stores them, or by who measures the backlog meanwhile.
func TestRecordsCountOnce(t *testing.T) {
	b := limited(t, Options{}, 1, queue.Limit{Messages: 10})
	join(t, b, queue.Group{})
	e := From(b).engine
	f, g := e.topics["t"].flow.Load(), e.groups["g"]
	w := backpressure.Weight{Count: 1, Bytes: 10}
	if err := f.control.TryAdmit(w); err != nil {
		t.Fatal(err)
	}
	f.reserve(w)
	p := &publish{placed: []place{{topic: f.topic}}, entry: storage.Entry{Batches: []storage.Batch{{Partition: f.topic.First, Records: []storage.Record{{Value: make([]byte, 10)}}}}}}
	if _, err := e.store.Append(t.Context(), &p.entry); err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	g.account(f.topic, nil) // before the publish comes back
	g.mu.Unlock()
	f.landed(p, w, true)
	wantBacklog(t, b, 1)
}

func TestDelayedMessagesAndLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := limited(t, Options{}, 1, queue.Limit{Messages: 8, WhenFull: backpressure.Reject})
		m := join(t, b, queue.Group{Concurrency: 100})
		for range 20 {
			if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", NotBefore: time.Now().Add(time.Minute)}); err != nil {
				t.Fatal("delayed messages are in no backlog:", err)
			}
		}
		wantBacklog(t, b, 0)
		time.Sleep(2 * time.Minute)
		if s := b.Stats().Topics[0]; s.Backlog < 8 || s.Backlog > 10 {
			t.Errorf("%d behind, want 8 to 10", s.Backlog)
		}
		if n := fillUp(t, b, "t"); n != 0 {
			t.Errorf("%d went in beside them", n)
		}
		for done := 0; done < 20; done++ {
			m.ack(m.one())
		}
		wantBacklog(t, b, 0)
	})
}

func TestPublishToALimitedTopicAllocatesLittle(t *testing.T) {
	b := limited(t, Options{Limit: backpressure.Weight{Count: 1 << 40}}, 8, queue.Limit{Messages: 1 << 30, Bytes: 1 << 40, Rate: 1e12, Burst: 1 << 30})
	join(t, b, queue.Group{})
	e, ms, rs := b.Engine(), []queue.Message{{Topic: "t", Key: []byte("k"), Value: make([]byte, 100)}}, make([]queue.Receipt, 1)
	if n := testing.AllocsPerRun(100, func() {
		if err := e.Publish(t.Context(), ms, rs); err != nil {
			t.Fatal(err)
		}
	}); n > 4 {
		t.Errorf("%v allocations", n)
	}
}
