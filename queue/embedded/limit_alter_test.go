package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// alter gives topic "t" another limit.
func alter(t *testing.T, b *queue.Broker, l queue.Limit) {
	t.Helper()
	if err := From(b).AlterTopic(context.Background(), "t", queue.TopicConfig{Limit: l}, storage.Strategy{}); err != nil {
		t.Errorf("%+v: %v", l, err)
	}
}

// waiting has n publishers wait for room in topic "t", and returns their outcomes.
func waiting(t *testing.T, b *queue.Broker, n int) chan error {
	t.Helper()
	outcomes := make(chan error, n)
	for i := range n {
		go func() {
			_, err := b.Publish(context.Background(), queue.Message{Topic: "t", Value: fmt.Append(nil, "waited ", i)})
			outcomes <- err
		}()
		synctest.Wait()
	}
	if s := b.Stats().Topics[0]; int(s.Blocked) != n {
		t.Fatalf("%d wait, want %d", s.Blocked, n)
	}
	return outcomes
}

// onDiskAndInMemory runs f in bubbles over a broker of each kind, of whose topic "t" group "g" has a member.
func onDiskAndInMemory(t *testing.T, l queue.Limit, f func(t *testing.T, b *queue.Broker, m *testMember)) {
	for name, open := range map[string]func() (*queue.Broker, error){
		"memory": func() (*queue.Broker, error) { return InMemory(Options{}) },
		"disk":   func() (*queue.Broker, error) { return openOn(disktest.New()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, err := open()
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				limit(t, b, "t", 1, l)
				f(t, b, join(t, b, queue.Group{Order: queue.Unordered, Concurrency: 100}))
			})
		})
	}
}

// A limit grows, shrinks below what is there, comes where there was none, and goes.
func TestAlterLimit(t *testing.T) {
	onDiskAndInMemory(t, queue.Limit{}, func(t *testing.T, b *queue.Broker, m *testMember) {
		reject := func(n int64) queue.Limit { return queue.Limit{Messages: n, WhenFull: backpressure.Reject} }
		for range 12 {
			if err := publishTo(b, "t"); err != nil {
				t.Fatal(err)
			}
		}
		alter(t, b, reject(20))
		if n := fillUp(t, b, "t"); n != 8 {
			t.Errorf("%d went in beside 12, the bound is 20", n)
		}
		alter(t, b, reject(25))
		if n := fillUp(t, b, "t"); n != 5 {
			t.Errorf("%d went in when the bound grew by 5", n)
		}
		alter(t, b, reject(10))
		if n := fillUp(t, b, "t"); n != 0 {
			t.Errorf("%d went in beyond the bound", n)
		}
		wantBacklog(t, b, 25)
		for range 17 {
			m.ack(m.one())
		}
		if n := fillUp(t, b, "t"); n != 2 {
			t.Errorf("%d went in beside 8, the bound is 10", n)
		}
		if err := b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Partitions: 1, Limit: reject(10)}); err != nil {
			t.Error("EnsureTopic of what it is now:", err)
		}
		alter(t, b, queue.Limit{})
		for range 100 {
			if err := publishTo(b, "t"); err != nil {
				t.Fatal("without a limit:", err)
			}
		}
		alter(t, b, reject(111))
		if n := fillUp(t, b, "t"); n != 1 {
			t.Errorf("%d went in beside 110, the bound is 111", n)
		}
		wantFaults(t, "one that cannot be", From(b).AlterTopic(t.Context(), "t", queue.TopicConfig{Limit: queue.Limit{Messages: -1}}, storage.Strategy{}), "Limit.Messages")
		if n := fillUp(t, b, "t"); n != 0 {
			t.Errorf("%d went in by a limit that was refused", n)
		}
	})
}

// Who waits keeps its turn while only the bound changes, is let in when there is none, and is judged by the new policy when that changes.
func TestAlterLimitWhilePublishersWait(t *testing.T) {
	onDiskAndInMemory(t, queue.Limit{Messages: 2}, func(t *testing.T, b *queue.Broker, m *testMember) {
		fill(t, b, 1, 2, 0)
		outcomes := waiting(t, b, 4)
		alter(t, b, queue.Limit{Messages: 4})
		synctest.Wait()
		if len(outcomes) != 2 {
			t.Fatalf("%d were let in, want 2", len(outcomes))
		}
		alter(t, b, queue.Limit{Messages: 1})
		m.ack(m.one(), m.one())
		first, second := m.one(), m.one()
		if got := []string{string(first.Value), string(second.Value)}; !slices.Contains(got, "waited 0") || !slices.Contains(got, "waited 1") {
			t.Errorf("%v were let in, want the first two", got)
		}
		m.ack(first, second)
		synctest.Wait()
		if h := m.one(); string(h.Value) != "waited 2" || len(outcomes) != 3 {
			t.Errorf("then %s, %d are let in", h.Value, len(outcomes))
		}
		alter(t, b, queue.Limit{})
		for range 4 {
			if err := <-outcomes; err != nil {
				t.Error(err)
			}
		}
		m.ack(m.one())

		alter(t, b, queue.Limit{Messages: 1})
		outcomes = waiting(t, b, 3)
		full := b.Stats().Topics[0].QueueFull
		alter(t, b, queue.Limit{Messages: 1, WhenFull: backpressure.Reject})
		for range 3 {
			if err := <-outcomes; !errors.Is(err, queue.ErrFull) || errors.Is(err, context.Canceled) {
				t.Errorf("refused by the new policy: %v", err)
			}
		}
		if s := b.Stats().Topics[0]; s.QueueFull != full+3 || s.Blocked != 0 || s.Backlog != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A batch that could never pass the new bound is told so.
func TestAlterLimitBelowWhatWaits(t *testing.T) {
	onDiskAndInMemory(t, queue.Limit{Messages: 5}, func(t *testing.T, b *queue.Broker, _ *testMember) {
		fill(t, b, 1, 5, 0)
		outcome := make(chan error)
		go func() {
			_, err := b.PublishBatch(context.Background(), queue.Message{Topic: "t"}, queue.Message{Topic: "t"}, queue.Message{Topic: "t"})
			outcome <- err
		}()
		synctest.Wait()
		alter(t, b, queue.Limit{Messages: 2})
		if err := <-outcome; !errors.Is(err, queue.ErrTooLarge) {
			t.Errorf("got %v", err)
		}
	})
}

// A rate that is altered counts for those who wait for tokens, too.
func TestAlterLimitOfRate(t *testing.T) {
	onDiskAndInMemory(t, queue.Limit{Rate: 0.001, Burst: 1}, func(t *testing.T, b *queue.Broker, _ *testMember) {
		if err := publishTo(b, "t"); err != nil {
			t.Fatal(err)
		}
		outcomes := make(chan error, 3)
		for range 3 {
			go func() { outcomes <- publishTo(b, "t") }()
		}
		synctest.Wait()
		began := time.Now()
		alter(t, b, queue.Limit{Rate: 1, Burst: 1})
		for range 2 {
			if err := <-outcomes; err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("two were let in after %v", d)
		}
		alter(t, b, queue.Limit{})
		if err := <-outcomes; err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("%v, after %v", err, time.Since(began))
		}
	})
}

// What drops the oldest by a new limit drops it for groups that nobody has joined since the open, too.
func TestAlterLimitToDropOldest(t *testing.T) {
	dir := t.TempDir()
	b := reopen(t, dir)
	limit(t, b, "t", 1, queue.Limit{Messages: 10, WhenFull: backpressure.Reject})
	if err := b.Admin().CreateGroup(t.Context(), queue.Group{Name: "g", Topics: []string{"t"}}); err != nil {
		t.Fatal(err)
	}
	fillUp(t, b, "t")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = reopen(t, dir)
	if n := fillUp(t, b, "t"); n != 0 {
		t.Errorf("%d went in", n)
	}
	alter(t, b, queue.Limit{Messages: 4, WhenFull: backpressure.DropOldest})
	if err := publishTo(b, "t"); err != nil {
		t.Fatal(err)
	}
	if s := b.Stats().Topics[0]; s.Backlog != 4 || s.DroppedOldest != 7 {
		t.Errorf("%+v", s)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = reopen(t, dir)
	if n := len(join(t, b, queue.Group{Concurrency: 100}).drain()); n != 4 {
		t.Errorf("%d are left", n)
	}
}

// The backlog is told of by the new bound.
func TestAlterLimitIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []queue.BacklogEvent
		b := limited(t, Options{Broker: queue.Options{Events: queue.Events{Backlog: func(x queue.BacklogEvent) { told = append(told, x) }}}}, 1, queue.Limit{Messages: 100})
		join(t, b, queue.Group{})
		fill(t, b, 1, 50, 0)
		for i, most := range []int64{60, 100, 50, 0, 50} {
			alter(t, b, queue.Limit{Messages: most})
			synctest.Wait()
			want := []bool{true, true, true, false, true}[i] // at 50 of 100 it is not low again
			if i == 1 {
				want = false // but by a new bound it is not high
			}
			if len(told) == 0 || told[len(told)-1].High != want || told[len(told)-1].Messages != 50 {
				t.Errorf("bound %d: told %+v", most, told)
			}
		}
	})
}

// Bytes are bounded where they were not, while messages wait of which nothing is known.
func TestAlterLimitToBytes(t *testing.T) {
	dir := t.TempDir()
	b := reopen(t, dir)
	limit(t, b, "t", 1, queue.Limit{Messages: 1000, WhenFull: backpressure.Reject})
	if err := b.Admin().CreateGroup(t.Context(), queue.Group{Name: "g", Topics: []string{"t"}}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Value: make([]byte, 10_000)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = reopen(t, dir)
	fill(t, b, 1, 1, 0) // so that the group is counted, without bytes
	const most = queue.MinLimitBytes + 1<<20
	if err := From(b).AlterTopic(t.Context(), "t", queue.TopicConfig{MaxBytes: 10_000, Limit: queue.Limit{Bytes: most, WhenFull: backpressure.Reject}}, storage.Strategy{}); err != nil {
		t.Fatal(err)
	}
	if s := b.Stats().Topics[0]; s.Backlog != 21 || s.BacklogBytes < 150_000 || s.BacklogBytes > 250_000 {
		t.Errorf("%d messages of %d bytes", s.Backlog, s.BacklogBytes)
	}
	n := len(join(t, b, queue.Group{Concurrency: 100, Order: queue.Unordered}).drain())
	if s := b.Stats().Topics[0]; n != 21 || s.Backlog != 0 || s.BacklogBytes != 0 {
		t.Errorf("%d messages; then %d of %d bytes", n, s.Backlog, s.BacklogBytes)
	}
}

// A backlog that is high by the old bound and by the new is not told of again.
func TestAlterLimitIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []queue.BacklogEvent
		b := limited(t, Options{Broker: queue.Options{Events: queue.Events{Backlog: func(x queue.BacklogEvent) { told = append(told, x) }}}}, 1, queue.Limit{Messages: 100})
		join(t, b, queue.Group{})
		fill(t, b, 1, 90, 0)
		synctest.Wait()
		if err := mustTopicOf(t, b).flow.Load().agree(queue.Limit{Messages: 110}); err != nil { // what is counted anew behind it might be told in between
			t.Fatal(err)
		}
		synctest.Wait()
		if len(told) != 1 || !told[0].High {
			t.Errorf("told %+v", told)
		}
	})
}

// What is parked, and in the windows of members, is weighed as it is when a topic is bounded by bytes that nothing bounded: nothing of it is estimated.
func TestAlterLimitToBytesOfWhatIsInHand(t *testing.T) {
	onDiskAndInMemory(t, queue.Limit{}, func(t *testing.T, b *queue.Broker, m *testMember) {
		const large = 100_000
		publishOne(t, b, queue.Message{Topic: "t", Key: []byte("k"), Value: make([]byte, large)})
		fill(t, b, 1, 50, 0)
		for range 51 {
			if h := m.one(); len(h.Value) < large {
				m.ack(h)
			} else if err := m.settle(h, queue.SettleRetry, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if s := groupStats(b, "g"); s.Parked != 1 {
			t.Fatalf("%+v, want one parked", s)
		}
		alter(t, b, queue.Limit{Bytes: 10 << 20})
		if s := b.Stats().Topics[0]; s.Backlog != 1 || s.BacklogBytes < large || s.BacklogBytes > large+1000 {
			t.Errorf("%d messages of %d bytes, want one of %d", s.Backlog, s.BacklogBytes, large)
		}
	})
}

// TestAlterLimitThroughCrashes alters limits, and kills or cuts the power at operations that change the disk: the limit is the last that AlterTopic returned from, or that of the call that was cut off.
func TestAlterLimitThroughCrashes(t *testing.T) {
	target := sized(t, 60, 1_000, 20_000)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	points := 0
	for round := uint64(0); points < target && !t.Failed(); round++ {
		points += alterThroughCrashes(t, rand.New(rand.NewPCG(seed, round)))
	}
	t.Logf("%d crash points: lost 0", points)
}

func alterThroughCrashes(t *testing.T, rng *rand.Rand) int {
	d := disktest.New()
	b, err := openOn(d)
	if err != nil {
		t.Fatal(err)
	}
	limit(t, b, "t", 1, queue.Limit{})
	type image struct {
		crash
		may []int64
	}
	var mu sync.Mutex
	var images []image
	may := []int64{0} // what Limit.Messages may be
	stop := photograph(d, rng, 2, math.MaxInt, func() func(crash) {
		mu.Lock()
		defer mu.Unlock()
		known := slices.Clone(may)
		return func(c crash) { images = append(images, image{c, known}) }
	})
	for n := range int64(5) {
		set := func(to ...int64) {
			mu.Lock()
			defer mu.Unlock()
			may = to
		}
		set(may[0], (n+1)%4)
		alter(t, b, queue.Limit{Messages: (n + 1) % 4})
		set((n + 1) % 4)
	}
	stop()
	b.Close()
	for _, im := range images {
		b, err := openOn(im.disk)
		if err != nil {
			t.Fatal(err)
		}
		info, err := b.Admin().Topic(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(im.may, info.Config.Limit.Messages) {
			t.Errorf("the limit is %d, want one of %v", info.Config.Limit.Messages, im.may)
		}
		b.Close()
	}
	return len(images)
}

// What was being stored when a limit came counts once, whether it was stored before its backlog was counted or behind that.
func TestAlterLimitWhileStoring(t *testing.T) {
	for name, before := range map[string]bool{"counted when it was there": true, "counted when it comes back": false} {
		t.Run(name, func(t *testing.T) {
			onDiskAndInMemory(t, queue.Limit{}, func(t *testing.T, b *queue.Broker, m *testMember) {
				e, ctx := From(b).engine, context.Background()
				p := e.publishes.Get().(*publish)
				ms := []queue.Message{{Topic: "t"}, {Topic: "t"}}
				if err := e.place(ctx, p, ms); err != nil {
					t.Fatal(err)
				}
				p.fill(ms)
				if err := p.enter(ctx, ms); err != nil {
					t.Fatal(err)
				}
				store := func() {
					if _, err := e.store.Append(ctx, &p.entry); err != nil {
						t.Fatal(err)
					}
				}
				if before {
					store()
				}
				alter(t, b, queue.Limit{Messages: 10, WhenFull: backpressure.Reject})
				if !before {
					store()
				}
				p.left(nil)
				p.giveBack(e)
				wantBacklog(t, b, 2)
				if n := fillUp(t, b, "t"); n != 8 {
					t.Errorf("%d went in", n)
				}
				if n := len(m.drain()); n != 10 {
					t.Errorf("%d came", n)
				}
				wantBacklog(t, b, 0)
			})
		})
	}
}
