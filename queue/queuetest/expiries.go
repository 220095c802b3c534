package queuetest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/leatmq/leat/queue"
)

func expiryCases() []testCase {
	expire := []queue.Feature{queue.CanExpireMessages}
	return []testCase{
		{name: "ExpiredMessagesAreNotHandedOut", needs: expire, run: expiredUnseen},
		{name: "ExpiredMessagesAreNotTriedAgain", needs: expire, run: expiredBetween, asks: asksBubble},
		{name: "ExpiredMessagesAreBuried", needs: append(expire[:1:1], queue.CanCommit, queue.CanRead), run: expiredBuried},
		{name: "ExpiredMessagesAreDone", needs: append(expire, queue.CanRemoveDone, queue.CanRead), run: expiredDone},
		{name: "ExpiredMessagesAreRemoved", needs: append(expire[:1:1], queue.CanRead, queue.CanRetain), run: expiredRemoved, asks: asksBubble},
		{name: "ExpiredMessagesToBeBuriedAreKept", needs: append(expire[:1:1], queue.CanRead, queue.CanRetain, queue.CanCommit), run: expiredKept, asks: asksBubble},
		{name: "ExpiredWhileDelayed", needs: append(expire, queue.CanDelay, queue.CanRead), run: expiredDelayed},
		{name: "ExpiryAcrossARestart", needs: expire, run: expiredRestart, asks: asksRestart},
		{name: "ExpiryRefused", needs: expire, run: expiryRefused},
	}
}

// wantExpired wants to have been told of that many messages of a group.
func (s *stage) wantExpired(group string, n int) {
	s.Helper()
	got := 0
	for _, e := range s.log.lapsed() {
		if e.Group != group {
			continue
		}
		got++
		if e.Topic != "t" || e.Expires.IsZero() || e.Position.IsZero() != (group == "") {
			s.Errorf("told of %+v", e)
		}
	}
	if got != n {
		s.Errorf("told of %d expired messages of group %q, want %d", got, group, n)
	}
}

func expiredUnseen(s *stage) {
	s.topic("t", 1)
	far := time.Now().Add(time.Hour)
	s.publish(
		queue.Message{Topic: "t", Value: []byte("0"), Expires: in(-1)},
		queue.Message{Topic: "t", Value: []byte("1"), Expires: far, Headers: queue.Headers{}.With("a", "b")},
		queue.Message{Topic: "t", Value: []byte("2"), Expires: time.Unix(-5, 0)},
		queue.Message{Topic: "t", Value: []byte("3")},
		queue.Message{Topic: "t", Value: []byte("4"), Expires: in(-1), Headers: queue.Headers{}.With("a", "b")},
	)
	got := s.delivered("t")
	group := got[0].Group
	var values []string
	for _, d := range got {
		values = append(values, string(d.Value))
	}
	if !slices.Equal(values, []string{"1", "3"}) {
		s.Fatalf("delivered %q, want 1 and 3", values)
	}
	if !got[0].Expires.Equal(far) || !got[1].Expires.IsZero() || len(got[0].Headers) != 1 || got[0].Headers.Get("a") != "b" {
		s.Errorf("delivered %+v and %+v, want when they expire, and no header of the library", got[0].Message, got[1].Message)
	}
	s.wantExpired(group, 3)
	s.wantGroupOf(group, queue.GroupStats{Delivered: 2, Done: 2, Expired: 3})
}

// wantGroupOf wants a group to be counted so, if the engine counts.
func (s *stage) wantGroupOf(name string, want queue.GroupStats) {
	s.Helper()
	for _, g := range s.broker.Stats().Groups {
		if g.Name != name {
			continue
		}
		want.Name = name
		if g != want {
			s.Errorf("%+v, want %+v", g, want)
		}
	}
}

func expiredBetween(s *stage) {
	s.topic("t", 1)
	s.publish(queue.Message{Topic: "t", Value: []byte("0"), Expires: in(30_000)}, queue.Message{Topic: "t", Value: []byte("1")})
	tries := 0
	s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1, Failure: endless}, func(_ context.Context, d *queue.Delivery) error {
		if string(d.Value) == "1" {
			return nil
		}
		tries++
		return errAgain
	})
	s.idle("g")
	if tries < 2 {
		s.Errorf("%d attempts, want some before it expires", tries)
	}
	s.wantExpired("g", 1)
}

// expiredBuried has what expires, before it is tried and between two attempts, be dead letters of a group that wants it, and nothing of another.
func expiredBuried(s *stage) {
	s.topic("t", 1)
	s.publish(
		queue.Message{Topic: "t", Value: []byte("0"), Expires: in(-1), Headers: queue.Headers{}.With("a", "b")},
		queue.Message{Topic: "t", Value: []byte("1")},
		queue.Message{Topic: "t", Value: []byte("2"), Expires: in(200)},
	)
	f := endless
	f.BuryExpired = true
	tries := 0
	s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1, Failure: f}, func(_ context.Context, d *queue.Delivery) error {
		if string(d.Value) == "2" {
			tries++
			return errAgain
		}
		return nil
	})
	s.idle("g")
	s.untilBuried(2)
	if !s.keepsLetters() {
		return
	}
	letters := s.letters()
	slices.SortFunc(letters, func(a, b *queue.DeadLetter) int { return strings.Compare(string(a.Value), string(b.Value)) })
	if len(letters) != 2 || string(letters[0].Value) != "0" || string(letters[1].Value) != "2" {
		s.Fatalf("%d letters: %+v", len(letters), letters)
	}
	for i, l := range letters {
		if l.Error != queue.ErrExpired.Error() || !l.Expires.IsZero() || i == 0 && (l.Attempts != 0 || l.Headers.Get("a") != "b") || i == 1 && l.Attempts != tries {
			s.Errorf("letter %d, after %d attempts: %+v", i, tries, l)
		}
	}
	s.wantExpired("g", 0)
	s.delivered("t")
	if n := len(s.letters()); n != 2 {
		s.Errorf("%d letters, also of a group that does not want them", n)
	}
}

func expiredDone(s *stage) {
	s.keeping("t", queue.Retention{WhenDone: true})
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	for range 20 {
		s.publish(queue.Message{Topic: "t", Value: []byte("0"), Expires: in(-1)})
	}
	s.idle("g")
	s.eventually("what has expired is removed", func() bool { return len(s.records("t")) == 0 })
	if n := len(c.got()); n != 0 {
		s.Errorf("%d messages delivered", n)
	}
	s.wantExpired("g", 20)
}

// expiredRemoved has messages expire that a group has not got: they are removed, up to the first that has not expired, and the group has not missed them.
func expiredRemoved(s *stage) {
	s.topic("t", 1)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
	c := s.collect(g)
	s.idle("g")
	c.stop()
	s.publish(
		queue.Message{Topic: "t", Value: []byte("0000"), Expires: in(30_000)},
		queue.Message{Topic: "t", Value: []byte("0001"), Expires: in(20_000), ID: "one"},
		queue.Message{Topic: "t", Value: []byte("0002"), Expires: time.Now().Add(time.Hour)},
		queue.Message{Topic: "t", Value: []byte("0003"), Expires: in(30_000)},
		queue.Message{Topic: "t", Value: []byte("0004")},
	)
	time.Sleep(10 * time.Second)
	if n := len(s.left("t")); n != 5 {
		s.Errorf("%d messages are there before any has expired, want 5", n)
	}
	time.Sleep(time.Minute)
	if got := s.left("t"); !slices.Equal(got, []string{"0002", "0003", "0004"}) {
		s.Errorf("%q are there, want what is not behind 0002, which has not expired", got)
	}
	if t, g, ok := s.figures(); ok && (t.ExpiredRemoved != 2 || t.Records != 3 || g.Ready != 3) {
		s.Errorf("%+v, %+v", t, g)
	}
	if s.can(queue.CanDedup) {
		if r := s.publish(queue.Message{Topic: "t", Value: []byte("0005"), ID: "one"})[0]; !r.Duplicate {
			s.Errorf("the ID of a message that was removed: %+v", r)
		}
	}
	c = s.collect(g)
	c.awaitCount(2)
	s.idle("g")
	c.stop()
	s.wantGroup("at the end", queue.GroupStats{Delivered: 2, Done: 2, Expired: 3})
	s.wantMissed("g", 0)
	s.wantExpired("g", 1) // what was removed is counted, and not told of one by one
	time.Sleep(2 * time.Hour)
	if got := s.left("t"); !slices.Equal(got, []string{"0004"}) {
		s.Errorf("%q are there at last, want what never expires", got)
	}
}

// expiredKept has a group that wants what expires among its dead letters, and gets it when it comes back.
func expiredKept(s *stage) {
	s.topic("t", 1)
	f := endless
	f.BuryExpired = true
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Failure: f}
	c := s.collect(g)
	s.idle("g")
	c.stop()
	s.publish(queue.Message{Topic: "t", Value: []byte("0000"), Expires: in(1000)}, queue.Message{Topic: "t", Value: []byte("0001"), Expires: in(1000)})
	time.Sleep(5 * time.Minute)
	if got := s.left("t"); len(got) != 2 {
		s.Errorf("%q are there, and a group is to bury 2", got)
	}
	s.collect(g)
	s.untilBuried(2)
	s.idle("g")
	s.wantMissed("g", 0)
	time.Sleep(time.Minute)
	if got := s.left("t"); len(got) != 0 {
		s.Errorf("%q are there, which have expired and are buried", got)
	}
}

func expiredDelayed(s *stage) {
	s.topic("t", 1)
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	due := in(50)
	r := s.publish(
		queue.Message{Topic: "t", Value: []byte("0"), NotBefore: time.Now().Add(time.Hour), Expires: time.Now().Add(time.Hour + time.Second)},
		queue.Message{Topic: "t", Value: []byte("1"), NotBefore: due, Expires: due.Add(time.Hour)},
		queue.Message{Topic: "t", Value: []byte("2"), NotBefore: time.Now().Add(30 * time.Minute), Expires: in(30*60*1000 + 10)},
	)
	c.awaitCount(1)
	if got := c.got()[0]; string(got.Value) != "1" || !got.Expires.Equal(due.Add(time.Hour)) {
		s.Errorf("delivered %s, which expires at %v", got.Value, got.Expires)
	}
	if !s.harness.Bubble {
		return
	}
	// What is past its time when it becomes due is dropped there.
	if _, err := s.broker.Reschedule(s.within(), r[2].Timer, time.Now().Add(40*time.Minute)); err != nil {
		s.Fatal(err)
	}
	time.Sleep(41 * time.Minute)
	s.idle("g")
	s.wantExpired("", 1)
	s.wantExpired("g", 0)
	if n := len(s.records("t")); n != 1 {
		s.Errorf("%d records, want 1", n)
	}
	if t, ok := s.topicStats("t"); ok && (t.Expired != 1 || t.Delayed != 1) {
		s.Errorf("%+v, want one expired and one delayed", t)
	}
}

func expiredRestart(s *stage) {
	s.topic("t", 1)
	s.publish(queue.Message{Topic: "t", Value: []byte("0"), Expires: in(1)}, queue.Message{Topic: "t", Value: []byte("1"), Expires: time.Now().Add(time.Hour)})
	s.restart()
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	if got := c.values(); !slices.Equal(got, []string{"1"}) {
		s.Errorf("delivered %q after the restart, want 1", got)
	}
	c.stop()
	s.restart()
	c = s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	if got := c.values(); len(got) != 0 {
		s.Errorf("delivered %q after another", got)
	}
	s.wantExpired("g", 1)
}

func expiryRefused(s *stage) {
	s.topic("t", 1)
	for _, m := range []queue.Message{
		{Topic: "t", NotBefore: in(2000), Expires: in(1000)},
		{Topic: "t", Expires: time.Now().Add(queue.MaxAhead + time.Hour)},
	} {
		_, err := s.broker.Publish(s.within(), m)
		s.wantFault("an expiry that cannot be", err, "Expires")
	}
	at := in(2000)
	_, err := s.broker.Publish(s.within(), queue.Message{Topic: "t", NotBefore: at, Expires: at})
	s.wantFault("one that expires when it is due", err, "Expires")
}
