package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
	"github.com/leatmq/leat/storage/disk/disktest"
)

var errBroken = errors.New("broken")

// parkingGroup has what fails come again every hour.
func parkingGroup(rule queue.KeyRule) queue.Group {
	return queue.Group{
		Name: "g", Topics: []string{"t"}, Concurrency: 4,
		Failure: queue.Failure{Retry: retry.Constant(time.Hour), MaxAttempts: -1, WhileRetry: rule},
	}
}

// consume runs h until the returned function is called, which returns when it has ended.
func consume(t *testing.T, b *queue.Broker, g queue.Group, h queue.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Consume(ctx, g, h) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, queue.ErrClosed) {
			t.Error("Consume: ", err)
		}
	}
}

// TestFailingKeyDoesNotStopTheOthers: a key that fails has more followers than a window holds, and messages of other keys are between them and behind.
func TestFailingKeyDoesNotStopTheOthers(t *testing.T) {
	followers := sized(t, windowRecords+20_000, 200_000, 200_000)
	for _, rule := range []queue.KeyRule{queue.BlockKey, queue.ParkKey} {
		t.Run(rule.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { othersGoOn(t, rule, followers) })
		})
	}
}

func othersGoOn(t *testing.T, rule queue.KeyRule, followers int) {
	b := memory(t, 1)
	const others = 1000
	publishBatches(t, b, followers+1+others, func(i int) queue.Message {
		m := queue.Message{Topic: "t", Key: []byte("bad"), Value: fmt.Append(nil, i)}
		if i%(followers/others) == 1 || i > followers {
			m.Key = []byte("good")
		}
		return m
	})
	var mu sync.Mutex
	healed, good, bad := false, 0, -1
	g := parkingGroup(rule)
	g.Failure.Retry = retry.Constant(time.Second) // not long
	stop := consume(t, b, g, func(_ context.Context, d *queue.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		var n int
		fmt.Sscan(string(d.Value), &n)
		if string(d.Key) == "good" {
			good++
			return nil
		}
		if !healed {
			return errBroken
		}
		if n <= bad {
			t.Errorf("message %d comes behind %d", n, bad)
		}
		bad = n
		return nil
	})
	defer stop()
	time.Sleep(30 * time.Second)
	mu.Lock()
	if s := b.Stats().Groups[0]; s.Ready+s.Waiting+s.InFlight != int64(followers+1+others-good) || s.Parked < int64(followers-others)/2 {
		t.Errorf("%d others are done: %+v", good, s)
	}
	if b.Stats().Groups[0].Done != int64(good) || good < others {
		t.Errorf("%d of at least %d others are done", good, others)
	}
	healed = true
	mu.Unlock()
	if err := b.WaitIdle(t.Context(), "g"); err != nil {
		t.Error(err)
	}
	if s := b.Stats().Groups[0]; s.Parked != 0 || s.Done != int64(followers+1+others) {
		t.Errorf("at the end: %+v", s)
	}
}

// publishBatches stores n messages.
func publishBatches(t *testing.T, b *queue.Broker, n int, m func(i int) queue.Message) {
	t.Helper()
	var ms []queue.Message
	for i := range n {
		if ms = append(ms, m(i)); len(ms) == 5000 || i == n-1 {
			if _, err := b.PublishBatch(t.Context(), ms...); err != nil {
				t.Fatal(err)
			}
			ms = ms[:0]
		}
	}
}

// TestParkedMessageIsAsItWasPublished in all that a handler sees of it, and its dead letter.
func TestParkedMessageIsAsItWasPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		at := time.Now().Add(-time.Minute)
		m := queue.Message{
			Topic: "t", Key: []byte("k"), Value: []byte("value"), ID: "first", Timestamp: at, Headers: queue.Headers{}.With("a", "1").With("b", ""), Expires: at.Add(time.Hour * 24),
		}
		r, err := b.Publish(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		stored := time.Now()
		g := parkingGroup(queue.ParkKey)
		g.Failure.MaxAttempts = 3
		attempts := 0
		stop := consume(t, b, g, func(_ context.Context, d *queue.Delivery) error {
			if string(d.Value) == "x" {
				return nil
			}
			attempts++
			if d.Position != r.Position || d.Appended.UnixNano() != stored.UnixNano() || d.ID != "first" || !d.Timestamp.Equal(at) || !d.Expires.Equal(m.Expires) || len(d.Headers) != 2 ||
				d.Headers.Get("a") != "1" || string(d.Key) != "k" || string(d.Value) != "value" || d.Identity() != "first" {
				t.Errorf("attempt %d: %+v", attempts, d.Record)
			}
			if d.Attempt != attempts || attempts > 1 && (d.LastError != "broken") {
				t.Errorf("attempt %d, before: %q; want %d", d.Attempt, d.LastError, attempts)
			}
			copy(d.Value, "?????") // it is the handler's
			if attempts == 2 {
				second, err := b.Publish(context.Background(), queue.Message{Topic: "t", Value: []byte("x")})
				if err == nil {
					err = From(b).Trim(context.Background(), second.Position) // where it was published there is nothing any more
				}
				if err != nil {
					t.Error(err)
				}
			}
			return errBroken
		})
		defer stop()
		time.Sleep(90 * time.Minute)
		if s := b.Stats().Groups[0]; s.Parked != 1 || s.Waiting != 1 || s.Ready != 0 || s.Idle == "" {
			t.Errorf("after the second attempt: %+v", s)
		}
		time.Sleep(time.Hour)
		n := 0
		for l, err := range b.DeadLetters("t.dead").All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if l.Origin != r.Position || l.Attempts != 3 || string(l.Value) != "value" || l.Headers.Get("a") != "1" || len(l.Headers) != 2 {
				t.Errorf("the letter: %+v", l)
			}
		}
		if attempts != 3 || n != 1 {
			t.Errorf("%d attempts, %d letters", attempts, n)
		}
		wantIdle(t, b)
	})
}

// TestParkingFollowsItsGroup through what operators do.
func TestParkingFollowsItsGroup(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, b *queue.Broker) error
		left int64 // messages that the group has before it then
		park bool  // there is a topic to park in
	}{
		{"nothing", func(t *testing.T, b *queue.Broker) error { return nil }, 10, true},
		{"seek to the end", func(t *testing.T, b *queue.Broker) error { return b.Admin().Seek(t.Context(), "g", queue.Latest()) }, 0, true},
		{"seek to the beginning", func(t *testing.T, b *queue.Broker) error { return b.Admin().Seek(t.Context(), "g", queue.Earliest()) }, 20, true},
		{"purge", func(t *testing.T, b *queue.Broker) error { _, err := b.Admin().Purge(t.Context(), "t"); return err }, 0, true},
		{"pause", func(t *testing.T, b *queue.Broker) error { return b.Admin().Pause(t.Context(), "g") }, 10, true},
		{"delete the group", func(t *testing.T, b *queue.Broker) error { return b.Admin().DeleteGroup(t.Context(), "g") }, -1, false},
		{"delete the topic", func(t *testing.T, b *queue.Broker) error { return b.Admin().DeleteTopic(t.Context(), "t") }, -1, false},
	} {
		for _, live := range []bool{true, false} {
			t.Run(fmt.Sprint(c.name, ", live ", live), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := memory(t, 2)
					fill(t, b, 2, 10, 2)
					stop := consume(t, b, parkingGroup(queue.ParkKey), func(_ context.Context, d *queue.Delivery) error {
						if string(d.Key) == "key-0" {
							return errBroken
						}
						return nil
					})
					time.Sleep(time.Minute)
					if s := b.Stats().Groups[0]; s.Parked != 10 || s.Waiting != 2 || s.Ready != 8 || s.Done != 10 {
						t.Errorf("parked: %+v", s)
					}
					if !live {
						stop()
						stop = func() {}
						forgetGroups(b)
						if s := b.Stats().Groups[0]; s.Parked != 10 || s.Ready != 10 {
							t.Errorf("asleep: %+v", s)
						}
					}
					if err := c.do(t, b); err != nil {
						t.Fatal(err)
					}
					e := From(b).engine
					if got := len(e.parkTopics()) > 0; got != c.park {
						t.Errorf("there is a topic to park in: %v, want %v", got, c.park)
					}
					if c.left >= 0 && c.name != "seek to the beginning" {
						wantLeft(t, b, c.left)
					}
					ctx, cancel := context.WithCancel(context.Background())
					cancel()
					if !live && c.left >= 0 {
						if err := b.Consume(ctx, parkingGroup(queue.ParkKey), func(context.Context, *queue.Delivery) error { return nil }); err != nil {
							t.Error(err)
						}
						wantLeft(t, b, c.left)
					}
					if live && c.left < 0 {
						stop = func() {} // it has ended with that error
					}
					stop()
				})
			})
		}
	}
}

func wantLeft(t *testing.T, b *queue.Broker, want int64) {
	t.Helper()
	if s := b.Stats().Groups[0]; s.Ready+s.Waiting+s.InFlight != want {
		t.Errorf("%+v, want %d left", s, want)
	}
	info, err := b.Admin().Group(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, p := range info.Partitions {
		sum += p.Ready + p.Waiting + p.InFlight
	}
	if sum != want {
		t.Errorf("%+v, want %d left", info, want)
	}
}

// forgetGroups has the engine know of its groups what a new process would.
func forgetGroups(b *queue.Broker) {
	e := From(b).engine
	e.flusher.flush(context.Background())
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.store.Groups() {
		if !internal(g.Name) {
			e.groups[g.Name] = newGroup(e, g)
		}
	}
}

// TestFullParkingBlocks, and says so, until there is room.
// TestParkedIsDoneBeforeWhatIsNot: a crash does not have what was parked of a key come again behind what was not, though the one was a note in memory and the other was written at once.
func TestParkedIsDoneBeforeWhatIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disktest.New()
		b := ondisk(t, d)
		ensure(t, b, "t", 1)
		publish := func() {
			if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Key: []byte("k")}); err != nil {
				t.Fatal(err)
			}
		}
		publish()
		m := join(t, b, queue.Group{Failure: queue.Failure{WhileRetry: queue.ParkKey}})
		m.settle(m.one(), queue.SettleRetry, time.Second)
		time.Sleep(time.Second / 2)
		if got := groupStats(b, "g"); got.Parked != 1 {
			t.Fatalf("%+v, want one parked", got)
		}
		m.ack(m.one())
		publish()
		ss := []queue.Settlement{{Handle: m.one().Handle, Outcome: queue.SettleDone, Wait: true}}
		m.Settle(t.Context(), ss)
		if ss[0].Err != nil {
			t.Fatal(ss[0].Err)
		}
		after := ondisk(t, d.Killed())
		c := consume(t, after, queue.Group{Name: "g", Topics: []string{"t"}}, func(_ context.Context, d *queue.Delivery) error {
			t.Errorf("%s came again", d.Position)
			return nil
		})
		wantIdle(t, after)
		c()
	})
}

func TestFullParkingBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		From(b).engine.parkRecords = 20_000
		publishBatches(t, b, windowRecords+30_000, func(i int) queue.Message {
			return queue.Message{Topic: "t", Key: []byte("k"), Value: fmt.Append(nil, i)}
		})
		var mu sync.Mutex
		var got []string
		healed := false
		stop := consume(t, b, parkingGroup(queue.ParkKey), func(_ context.Context, d *queue.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			if !healed {
				return errBroken
			}
			got = append(got, string(d.Value))
			return nil
		})
		defer stop()
		time.Sleep(time.Minute)
		if s := b.Stats().Groups[0]; s.Parked != 20_000 || !strings.Contains(s.Idle, "window full") || !strings.Contains(s.Idle, "too much is parked") {
			t.Errorf("%+v", s)
		}
		mu.Lock()
		healed = true
		mu.Unlock()
		if err := b.WaitIdle(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		if len(got) != windowRecords+30_000 {
			t.Errorf("%d came", len(got))
		}
		for i, v := range got {
			if v != fmt.Sprint(i) {
				t.Fatalf("message %s is number %d", v, i)
			}
		}
	})
}

// TestParkedRecordsSurviveTheirEncoding.
func TestParkedRecordsSurviveTheirEncoding(t *testing.T) {
	s := parkedState{origin: 1 << 40, appended: -5, passes: true, attempts: 7, due: 1 << 60, note: note{first: 3, cause: strings.Repeat("x", maxCause)}.encode()}
	own := appendParked(nil, &parkedState{}, nil)
	encoded := appendParked(nil, &s, own)
	if got, err := decodeParked(encoded); err != nil || got != s {
		t.Errorf("got %+v, %v", got, err)
	}
	if n := len(encoded) - len(own); n > maxParkHeader {
		t.Errorf("the header takes %d bytes", n)
	}
	if !bytes.HasSuffix(encoded, own) {
		t.Error("the headers of the message are not behind")
	}
	for n := range encoded {
		decodeParked(encoded[:n]) // does not panic
	}
	if _, err := decodeParked(nil); err == nil {
		t.Error("no header is no error")
	}
}

// TestParkingIsTidied: a key waits for long, and thousands of others are parked for a moment each.
func TestParkingIsTidied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		const n = 4 * tidyRecords
		publishBatches(t, b, n, func(i int) queue.Message {
			m := queue.Message{Topic: "t", Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)}
			if i%1000 == 0 {
				m.Key = []byte("stuck")
			}
			return m
		})
		g := parkingGroup(queue.ParkKey)
		g.Failure.Retry = retry.Constant(time.Second)
		g.Concurrency = 64
		healed, done, next := false, 0, 0
		var mu sync.Mutex
		h := func(_ context.Context, d *queue.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			stuck := string(d.Key) == "stuck"
			switch {
			case stuck && !healed:
				return retry.After(time.Hour, errBroken)
			case d.Attempt == 1:
				return errBroken
			case stuck && string(d.Value) != fmt.Sprint(next):
				t.Errorf("%s comes, want %d", d.Value, next)
			case stuck:
				next += 1000
			}
			done++
			return nil
		}
		stop := consume(t, b, g, h)
		time.Sleep(10 * time.Minute)
		const left = (n + 999) / 1000
		if s := b.Stats().Groups[0]; s.Parked != left || s.Waiting != 1 || done != n-left {
			t.Errorf("%d are done: %+v", done, s)
		}
		p := From(b).engine.groups["g"].active[0]
		if k := p.park.window.Len(); k > 2*tidyRecords {
			t.Errorf("%d records are held for %d that are parked", k, left)
		}
		stop()
		forgetGroups(b)
		if s := b.Stats().Groups[0]; s.Parked != left {
			t.Errorf("asleep: %+v", s)
		}
		stop = consume(t, b, g, h)
		defer stop()
		time.Sleep(time.Minute)
		mu.Lock()
		healed = true
		mu.Unlock()
		if err := b.WaitIdle(t.Context(), "g"); err != nil {
			t.Error(err)
		}
		if done != n {
			t.Errorf("%d of %d are done", done, n)
		}
	})
}

// TestParkingWithoutKeys: what waits in groups that hold nothing behind it does not fill the window either.
func TestParkingWithoutKeys(t *testing.T) {
	groups := []queue.Group{
		{Order: queue.Unordered},
		{Order: queue.ByKey, Failure: queue.Failure{WhileRetry: queue.PassKey}},
		{Order: queue.ByKey, Failure: queue.Failure{WhileRetry: queue.ParkKey}},
	}
	for _, g := range groups[:sized(t, 1, 3, 3)] {
		t.Run(fmt.Sprint(g.Order, " ", g.Failure.WhileRetry), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { loneOnes(t, g) })
		})
	}
}

// loneOnes has more messages wait than a window holds.
func loneOnes(t *testing.T, g queue.Group) {
	b := memory(t, 1)
	const n = windowRecords + 4096
	publishBatches(t, b, n, func(i int) queue.Message {
		m := queue.Message{Topic: "t", Value: fmt.Append(nil, i)}
		if g.Failure.WhileRetry == queue.PassKey {
			m.Key = fmt.Append(nil, i)
		}
		return m
	})
	g.Name, g.Topics, g.Concurrency = "g", []string{"t"}, 16
	g.Failure.Retry, g.Failure.MaxAttempts = retry.Constant(time.Second*30), -1
	var mu sync.Mutex
	healed, tried, done := false, map[string]bool{}, 0
	h := func(_ context.Context, d *queue.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		tried[string(d.Value)] = true
		if healed {
			done++
			return nil
		}
		return errBroken
	}
	stop := consume(t, b, g, h)
	time.Sleep(40 * time.Second)
	if s := b.Stats().Groups[0]; len(tried) != n || s.Parked < n/3 {
		t.Errorf("%d of %d were tried: %+v", len(tried), n, s)
	}
	stop()
	healed = true
	stop = consume(t, b, g, h)
	defer stop()
	if err := b.WaitIdle(t.Context(), "g"); err != nil {
		t.Error(err)
	}
	if done != n {
		t.Errorf("%d of %d are done", done, n)
	}
}
