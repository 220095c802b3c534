package embedded

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk/disktest"
)

// expiring publishes n messages to topic "t" that expire in d, with values 0, 1, ....
func expiring(t *testing.T, b *queue.Broker, n int, d time.Duration) {
	t.Helper()
	for i := range n {
		publishOne(t, b, queue.Message{Topic: "t", Value: fmt.Append(nil, i), Expires: time.Now().Add(d)})
	}
}

// storedIn counts what is stored of topic "t".
func storedIn(t *testing.T, b *queue.Broker) int64 {
	t.Helper()
	return From(b).engine.stored(mustTopic(t, From(b).engine.store, "t").First)
}

func wantStored(t *testing.T, what string, b *queue.Broker, want int64) {
	t.Helper()
	if got := storedIn(t, b); got != want {
		t.Errorf("%s: %d messages are stored, want %d", what, got, want)
	}
}

// TestExpiredAreKeptForWhoBuriesAcrossARestart: what a group with BuryExpired has not seen stays, also where nobody has joined it since the open; when it is joined without, it goes.
func TestExpiredAreKeptForWhoBuriesAcrossARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disktest.New()
		b := ondisk(t, d)
		ensure(t, b, "t", 1)
		g := queue.Group{Name: "g", Topics: []string{"t"}, Failure: queue.Failure{BuryExpired: true}}
		finish := func(context.Context, *queue.Delivery) error { return nil }
		stop := consume(t, b, g, finish)
		wantIdle(t, b)
		stop()
		expiring(t, b, 3, time.Second)
		again := func() {
			t.Helper()
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			b = ondisk(t, d)
			expiring(t, b, 1, time.Second) // so that the topic is looked at
			time.Sleep(time.Minute)
		}
		again()
		wantStored(t, "after a restart", b, 4)
		again()
		wantStored(t, "after another", b, 5)
		stop = consume(t, b, g, finish)
		wantIdle(t, b)
		stop()
		if n := len(lettersOf(t, b)); n != 5 {
			t.Errorf("%d dead letters, want 5", n)
		}
		time.Sleep(time.Minute)
		wantStored(t, "when all are buried", b, 0)
		expiring(t, b, 3, time.Second)
		again()
		wantStored(t, "after a restart", b, 4)
		g.Failure.BuryExpired = false
		join(t, b, g).leave()
		time.Sleep(time.Minute)
		wantStored(t, "when nobody buries", b, 0)
	})
}

func lettersOf(t *testing.T, b *queue.Broker) (ls []*queue.DeadLetter) {
	t.Helper()
	for l, err := range b.DeadLetters("t.dead").All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		ls = append(ls, l)
	}
	return ls
}

// TestExpiredAreKeptWhileOneMemberBuries: a member that joined later counts, too, and is remembered.
func TestExpiredAreKeptWhileOneMemberBuries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disktest.New()
		b := ondisk(t, d)
		ensure(t, b, "t", 1)
		g := queue.Group{Name: "g", Topics: []string{"t"}}
		first := join(t, b, g)
		g.Failure.BuryExpired = true
		second := join(t, b, g)
		expiring(t, b, 2, time.Second)
		time.Sleep(time.Minute)
		wantStored(t, "while both are there", b, 2)
		second.leave()
		first.leave()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = ondisk(t, d)
		expiring(t, b, 1, time.Second)
		time.Sleep(time.Minute)
		wantStored(t, "after a restart", b, 3)
	})
}

// TestExpiredAreKeptForGroups: where the topic holds what groups have not done, what has expired waits for them, too.
func TestExpiredAreKeptForGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		if err := From(b).AlterTopic(t.Context(), "t", queue.TopicConfig{}, storage.Strategy{Cleanup: storage.CleanupPolicy{HoldForGroups: true}}); err != nil {
			t.Fatal(err)
		}
		join(t, b, queue.Group{Name: "g"}).leave()
		expiring(t, b, 2, time.Second)
		time.Sleep(time.Minute)
		wantStored(t, "while a group has not passed them", b, 2)
		join(t, b, queue.Group{Name: "g"}).nothing(time.Second)
		time.Sleep(time.Minute)
		wantStored(t, "when it has", b, 0)
		if got := groupStats(b, "g"); got.Expired != 2 || got.Missed != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// TestExpiredUnderAMember: what is removed is in lanes, in flight, and waits for its next attempt. It is expired for the group, and none of it is missed.
func TestExpiredUnderAMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		m := join(t, b, queue.Group{Concurrency: 4, Order: queue.Unordered})
		expiring(t, b, 6, time.Minute)
		done, failed := m.one(), m.one()
		if err := m.settle(failed, queue.SettleRetry, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		again := m.one() // in flight when it goes
		time.Sleep(2 * time.Minute)
		wantStored(t, "two minutes later", b, 0)
		m.ack(done)
		if err := m.settle(again, queue.SettleRetry, time.Second); err != nil {
			t.Fatal(err)
		}
		m.nothing(time.Minute)
		if got := groupStats(b, "g"); got.Done != 1 || got.Expired != 5 || got.Missed != 0 || got.Ready+got.InFlight+got.Waiting != 0 {
			t.Errorf("%+v, want one done and five expired", got)
		}
	})
}

// TestExpiredBehindOthers: other rules remove what is before them. What they remove is missed, and what has expired is not.
func TestExpiredBehindOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		m := join(t, b, queue.Group{})
		m.leave()
		fill(t, b, 1, 3, 0)
		expiring(t, b, 4, time.Second)
		fill(t, b, 1, 2, 0)
		time.Sleep(time.Minute)
		wantStored(t, "behind what does not expire", b, 9)
		if err := From(b).Trim(t.Context(), mustTopicOf(t, b).position(0, 3)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		wantStored(t, "when that is removed", b, 2)
		m = join(t, b, queue.Group{})
		if got := m.drain(); len(got) != 2 {
			t.Errorf("%q are delivered, want the last two", got)
		}
		if got := groupStats(b, "g"); got.Done != 2 || got.Expired != 4 || got.Missed != 3 {
			t.Errorf("%+v, want 3 missed and 4 expired", got)
		}
	})
}

func mustTopicOf(t *testing.T, b *queue.Broker) *topic {
	t.Helper()
	found, err := From(b).engine.topic("t")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestManyExpire: more than one look takes, and none that has not.
func TestManyExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		value := make([]byte, 1<<20)
		for range sweepBytes>>20 + 5 {
			publishOne(t, b, queue.Message{Topic: "t", Value: value, Expires: time.Now().Add(time.Second)})
		}
		time.Sleep(sweepEvery)
		synctest.Wait()
		if n := storedIn(t, b); n == 0 || n > 6 {
			t.Errorf("%d are left after the first look", n)
		}
		time.Sleep(sweepAgain)
		synctest.Wait()
		wantStored(t, "after the second", b, 0)
	})
}

// TestNothingIsSweptThatDoesNotExpire: topics without messages that expire are not looked at.
func TestNothingIsSweptThatDoesNotExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 10, 0)
		join(t, b, queue.Group{}).drain()
		time.Sleep(time.Hour)
		if n := len(From(b).engine.sweeper.topics); n != 0 {
			t.Errorf("%d topics are looked at", n)
		}
		wantStored(t, "an hour later", b, 10)
	})
}
