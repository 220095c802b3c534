package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/timers"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// delayedID is a message of topic "t" that is delayed by d.
func delayedID(id string, d time.Duration) queue.Message {
	return queue.Message{Topic: "t", ID: id, NotBefore: time.Now().Add(d)}
}

func publishOne(t testing.TB, b *queue.Broker, m queue.Message) queue.Receipt {
	t.Helper()
	r, err := b.Publish(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestDelayedIDsAreExactAtTheMoment publishes the ID of each message as soon as anybody sees it in its topic, also where the table of IDs is not made yet: it has its position by then.
func TestDelayedIDsAreExactAtTheMoment(t *testing.T) {
	n := sized(t, 300, 3_000, 30_000)
	for _, reopened := range []bool{false, true} {
		t.Run(fmt.Sprintf("reopened=%v", reopened), func(t *testing.T) {
			for round := range max(1, n/100) {
				exactAtTheMoment(t, 100, round, reopened)
			}
		})
	}
}

func exactAtTheMoment(t *testing.T, n, round int, reopened bool) {
	d := disktest.New()
	b := ondisk(t, d)
	ensure(t, b, "t", 2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var ms []queue.Message
	for i := range n {
		ms = append(ms, delayedID(fmt.Sprint(i), time.Duration(5+i%10+round%5)*time.Millisecond))
	}
	if _, err := b.PublishBatch(ctx, ms...); err != nil {
		t.Fatal(err)
	}
	if reopened {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = ondisk(t, d)
	}
	var all sync.WaitGroup
	for p := range 2 {
		all.Go(func() {
			for {
				for r, err := range b.Read(ctx, queue.Range{Topic: "t"}) {
					if err != nil {
						t.Error(err)
						return
					}
					if r.Position.Partition() != p {
						continue
					}
					if got := publishOne(t, b, queue.Message{Topic: "t", ID: r.ID}); !got.Duplicate || got.Position != r.Position {
						t.Errorf("ID %s: %+v, and it is at %v", r.ID, got, r.Position)
					}
				}
				if stored(t, b) == int64(n) || ctx.Err() != nil {
					return
				}
			}
		})
	}
	all.Wait()
	if got := stored(t, b); got != int64(n) {
		t.Errorf("%d messages, want %d", got, n)
	}
	b.Close()
}

// TestChangesOfIDsAndTheIndex has the index written while a message is on its way to its topic: it covers nothing that the table does not know. And what is stored while the table is
// made is read again.
func TestChangesOfIDsAndTheIndex(t *testing.T) {
	d := disktest.New()
	b := ondisk(t, d)
	ensure(t, b, "t", 1)
	publishOne(t, b, delayedID("a", time.Hour))
	e := From(b).engine
	s, err := e.idsOf(t.Context(), e.topics["t"])
	if err != nil {
		t.Fatal(err)
	}
	indexNow(t, b)
	before := s.index.covered[slot(0)]
	f := newFlight()
	c := s.begin([16]byte{1}, f)
	publishOne(t, b, queue.Message{Topic: "t"})
	indexNow(t, b)
	indexNow(t, b)
	if got := s.index.covered[slot(0)]; got != before {
		t.Errorf("covered up to %d, while something of before %d is under way", got, before)
	}
	c.end(nil, func() {})
	indexNow(t, b)
	if got := s.index.covered[slot(0)]; got != before+1 {
		t.Errorf("covered up to %d, want %d", got, before+1)
	}

	made := newIDs(e, s.topic)
	c = made.begin([16]byte{1}, f)
	c.end(nil, func() { t.Error("a table that is not made is told") })
	if made.made() {
		t.Error("the logs are not read again")
	}
	if !made.made() {
		t.Error("the logs are read for ever")
	}
}

// TestDuplicatesWaitForChanges: who wants to know of an ID, of whose message the timer is being cancelled, waits for that, and no longer than its context.
func TestDuplicatesWaitForChanges(t *testing.T) { synctest.Test(t, testDuplicatesWait) }

func testDuplicatesWait(t *testing.T) {
	d := disktest.New()
	b := ondisk(t, d)
	ensure(t, b, "t", 1)
	waits := publishOne(t, b, delayedID("a", time.Hour))
	stalled, goOn := stall(d)
	cancelled := make(chan error, 1)
	go func() { cancelled <- b.Cancel(context.Background(), waits.Timer) }()
	<-stalled
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if r, err := b.Publish(short, delayedID("a", time.Hour)); !errors.Is(err, queue.ErrIndeterminate) {
		t.Errorf("%+v, %v, while it is being cancelled", r, err)
	}
	published := make(chan queue.Receipt, 1)
	go func() { published <- publishOne(t, b, delayedID("a", time.Hour)) }()
	goOn()
	if err := <-cancelled; err != nil {
		t.Error(err)
	}
	if r := <-published; r.Duplicate || r.Timer == waits.Timer {
		t.Errorf("%+v, after %q was cancelled", r, waits.Timer)
	}
}

// TestUnknownOutcomeOfADelayedMessage: who publishes its ID again, when nobody knows whether it was stored, gets its timer if it was, and its position if it has come since.
func TestUnknownOutcomeOfADelayedMessage(t *testing.T) {
	for _, delay := range []time.Duration{time.Millisecond, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			d := disktest.New()
			b := ondisk(t, d)
			ensure(t, b, "t", 1)
			m := delayedID("doubtful", delay)
			publishOne(t, b, delayedID("another", time.Hour)) // the index of timers is made
			stalled, goOn := stall(d)
			ctx, cancel := context.WithCancel(t.Context())
			errs := make(chan error, 1)
			go func() {
				_, err := b.Publish(ctx, m)
				errs <- err
			}()
			<-stalled
			cancel()
			if err := <-errs; !errors.Is(err, queue.ErrIndeterminate) {
				t.Errorf("a publish that waits for a stalled disk: %v", err)
			}
			goOn()
			time.Sleep(time.Minute)
			r := publishOne(t, b, m)
			if !r.Duplicate || (r.Timer != "") != (delay == time.Hour) || r.Position.IsZero() != (delay == time.Hour) {
				t.Errorf("%+v, of what is delayed by %v", r, delay)
			}
			if s := From(b).engine.topics["t"].ids.Load(); len(s.doubts)+len(s.flights)+len(s.changing) > 0 {
				t.Errorf("%d doubts, %d flights and %d changes are left", len(s.doubts), len(s.flights), len(s.changing))
			}
			if r.Timer != "" {
				if err := b.Cancel(t.Context(), r.Timer); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestWaitLog: the log of IDs that wait is made when it is needed, is stored as its topic is, goes with it, and is nobody's business.
func TestWaitLog(t *testing.T) { synctest.Test(t, testWaitLog) }

func testWaitLog(t *testing.T) {
	d := disktest.New()
	b := ondisk(t, d)
	ensure(t, b, "t", 1)
	e := From(b).engine
	logs := func() (ts []storage.Topic) {
		for _, s := range e.store.Topics() {
			if strings.HasPrefix(s.Name, waitNames) {
				ts = append(ts, s)
			}
		}
		return ts
	}
	publishOne(t, b, queue.Message{Topic: "t", ID: "now"})
	publishOne(t, b, queue.Message{Topic: "t", NotBefore: time.Now().Add(time.Hour)})
	if n := len(logs()); n != 0 {
		t.Errorf("%d logs, and nothing with an ID waits", n)
	}
	kept := publishOne(t, b, delayedID("a", time.Hour))
	if s := logs(); len(s) != 1 || s[0].Strategy.Sync != storage.SyncAlways || s[0].Strategy.Cleanup.MaxAge != 11*time.Minute {
		t.Fatalf("%+v, want one, synced, for a minute more than the window", s)
	}
	err := From(b).AlterTopic(t.Context(), "t", queue.TopicConfig{Dedup: queue.Dedup{Window: time.Hour}}, storage.Strategy{Sync: storage.SyncOS, NoBackup: true})
	if err != nil {
		t.Fatal(err)
	}
	if s := logs(); len(s) != 1 || s[0].Strategy.Sync != storage.SyncOS || s[0].Strategy.Cleanup.MaxAge != 61*time.Minute || !s[0].Strategy.NoBackup {
		t.Errorf("%+v after the topic was altered", s)
	}
	if r := publishOne(t, b, delayedID("a", time.Hour)); !r.Duplicate || r.Timer != kept.Timer {
		t.Errorf("%+v after the topic was altered, want %+v", r, kept)
	}
	if err := e.store.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	b = ondisk(t, d.Killed())
	e = From(b).engine
	synctest.Wait()
	if n := len(logs()); n != 0 {
		t.Errorf("%d logs of a topic that is gone, after an open", n)
	}
	ensure(t, b, "t", 1)
	publishOne(t, b, delayedID("a", time.Hour))
	if err := b.Admin().DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if n := len(logs()); n != 0 {
		t.Errorf("%d logs, and the topic is deleted", n)
	}
}

// TestIDsForgottenBeforeTheIndexIsWritten: an ID that was forgotten by number before the index knew it, and came again, is after an open what it was.
func TestIDsForgottenBeforeTheIndexIsWritten(t *testing.T) {
	const now = 21 // a step that publishes at once
	steps := []idStep{{4, 2}, {now, 2}, {now, 1}, {3, 1}, {now, 12}, {now, 2}, {now, 19}, {0, 1}, {now, 1}}
	var err error
	synctest.Test(t, func(t *testing.T) { err = playIDs(steps) })
	if err != nil {
		t.Error(err)
	}
}

// TestDuplicatesWaitForArrivals: who publishes the ID of a message that is on its way to its topic gets its position, and nothing that is true no more.
func TestDuplicatesWaitForArrivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disktest.New()
		b := ondisk(t, d)
		ensure(t, b, "t", 1)
		publishOne(t, b, delayedID("a", time.Hour))
		e := From(b).engine
		topic := e.topics["t"]
		m := timers.Message{Envelope: timers.Envelope{Topic: "t", First: topic.First}, To: topic.First}
		m.Record.Headers = storage.AppendHeader(appendTime(nil, sinceHeader, time.Now()), idHeader, []byte("a"))
		ms := []timers.Message{m}
		left := e.delays.leave(ms)
		var r queue.Receipt
		done := make(chan struct{})
		go func() {
			defer close(done)
			r = publishOne(t, b, delayedID("a", time.Hour))
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Fatalf("%+v, while the message is on its way", r)
		default:
		}
		ms[0].Record.Offset = 7
		left(nil)
		<-done
		if want := topic.position(0, 7); !r.Duplicate || r.Position != want {
			t.Errorf("%+v, want a duplicate at %v", r, want)
		}
	})
}
