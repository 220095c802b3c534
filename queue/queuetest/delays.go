package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

func delayCases() []testCase {
	delay := []queue.Feature{queue.CanDelay, queue.CanRead}
	return []testCase{
		{name: "DelayedMessageComesWhole", needs: delay, run: delayWhole},
		{name: "DelayedMessageComesToTheMoment", needs: delay, run: delayExact, asks: asksBubble},
		{name: "DelayedMessagesComeInDueOrder", needs: append(delay, queue.CanOrderByPartition), run: delayOrder},
		{name: "DelayInABatch", needs: append(delay, queue.CanBatch), run: delayBatch},
		{name: "DelayInACommit", needs: append(delay, queue.CanCommit), run: delayCommit},
		{name: "DelayCancelledAndRescheduled", needs: delay, run: delayCancel},
		{name: "DelayCancelledWhileItBecomesDue", needs: delay, run: delayRace},
		{name: "DelayAcrossARestart", needs: delay, run: delayRestart, asks: asksRestart},
		{name: "DelayOfATopicThatIsDeleted", needs: delay, run: delayDeleted, asks: asksTopics},
		{name: "DelayInMemory", needs: append(delay, queue.CanStoreInMemory), run: delayMemory},
		{name: "DelayRefused", needs: delay, run: delayRefused},
	}
}

// in is a time from now, which is not long.
func in(ms int) time.Time { return time.Now().Add(time.Duration(ms) * time.Millisecond) }

// values returns the values of what a collector got, in order.
func (c *collector) values() []string {
	var vs []string
	for _, d := range c.got() {
		vs = append(vs, string(d.Value))
	}
	return vs
}

// topicStats returns what the engine counts of a topic; false if it does not count.
func (s *stage) topicStats(name string) (queue.TopicStats, bool) {
	for _, t := range s.broker.Stats().Topics {
		if t.Name == name {
			return t, true
		}
	}
	return queue.TopicStats{}, false
}

// wantDelayed wants that many messages of a topic to be delayed, before long.
func (s *stage) wantDelayed(topic string, n int64) {
	s.Helper()
	if _, ok := s.topicStats(topic); !ok {
		return
	}
	s.eventually(fmt.Sprintf("%d messages are delayed", n), func() bool {
		t, _ := s.topicStats(topic)
		return t.Delayed == n
	})
}

func delayWhole(s *stage) {
	s.topic("t", 3)
	c := s.collect(queue.Group{Topics: []string{"t"}})
	due := in(300)
	m := queue.Message{
		Topic: "t", Key: []byte{}, Value: []byte("later"), Headers: queue.Headers{}.With("a", "1").With("a", "2"),
		Timestamp: time.Unix(1e9, 5), NotBefore: due, Partition: queue.PinTo(2),
	}
	r := s.publish(m, queue.Message{Topic: "t", Value: []byte("now"), NotBefore: in(-1000)})
	if r[0].Timer == "" || !r[0].Position.IsZero() || r[0].Durability == 0 {
		s.Errorf("receipt %+v, want a timer and a durability, and no position", r[0])
	}
	if r[1].Timer != "" || r[1].Position.IsZero() {
		s.Errorf("receipt %+v of a message that was due before, want a position and no timer", r[1])
	}
	c.awaitCount(2)
	if now := time.Now(); now.Before(due) {
		s.Errorf("delivered %v early", due.Sub(now))
	}
	got := c.got()[1]
	if string(got.Value) == "now" { // on a slow machine
		got = c.got()[0]
	}
	s.wantSame("the delayed message", got.Message, m)
	if got.Position.Partition() != 2 || !got.NotBefore.IsZero() {
		s.Errorf("partition %d, NotBefore %v; want 2 and none", got.Position.Partition(), got.NotBefore)
	}
	if rs := s.records("t"); len(rs) != 2 {
		s.Errorf("%d records, want 2", len(rs))
	}
	if t, ok := s.topicStats("t"); ok && (t.Published != 2 || t.Delayed != 0) {
		s.Errorf("%+v, want 2 published and none delayed", t)
	}
}

func delayExact(s *stage) {
	s.topic("t", 1)
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	start := time.Now()
	delays := []time.Duration{1500 * time.Microsecond, time.Second + 1, time.Hour, 400 * 24 * time.Hour}
	for _, d := range delays {
		s.publish(queue.Message{Topic: "t", Value: []byte(d.String()), NotBefore: start.Add(d)})
	}
	s.idle("g")
	if n := len(c.got()) + len(s.records("t")); n != 0 {
		s.Errorf("%d messages before they are due", n)
	}
	if got := s.broker.Stats(); got.NextDue.IsZero() || !got.NextDue.Equal(start.Add(delays[0])) {
		s.Errorf("the next is due at %v, want %v", got.NextDue, start.Add(delays[0]))
	}
	if t, ok := s.topicStats("t"); ok && t.Delayed != 4 { // not before long: the first is due by then
		s.Errorf("%+v, want 4 delayed", t)
	}
	for i, d := range delays[:3] {
		time.Sleep(time.Until(start.Add(d)) - time.Nanosecond)
		s.idle("g")
		if n := len(c.got()); n != i {
			s.Errorf("%d messages a nanosecond before %v, want %d", n, d, i)
		}
		time.Sleep(time.Nanosecond)
		s.idle("g")
		if got := c.values(); len(got) != i+1 || got[i] != d.String() || !time.Now().Equal(start.Add(d)) {
			s.Errorf("%q after %v, want %d messages after %v", got, time.Since(start), i+1, d)
		}
	}
}

func delayOrder(s *stage) {
	s.topic("t", 1)
	base := in(500)
	var ms []queue.Message
	var want []string
	for i := range 40 {
		n := i * 17 % 40
		ms = append(ms, queue.Message{Topic: "t", Key: []byte("k"), Value: fmt.Append(nil, n), NotBefore: base.Add(time.Duration(n/2) * time.Millisecond)})
		want = append(want, fmt.Sprint(n))
	}
	s.store(ms...)
	slices.SortStableFunc(want, func(a, b string) int { return num(a)/2 - num(b)/2 }) // those of one due time as they were published
	c := s.collect(queue.Group{Topics: []string{"t"}, Order: queue.ByPartition, Concurrency: 1})
	c.awaitCount(40)
	if got := c.values(); !slices.Equal(got, want) {
		s.Errorf("delivered as %q, want %q", got, want)
	}
}

func num(s string) (n int) {
	fmt.Sscan(s, &n)
	return n
}

func delayBatch(s *stage) {
	s.topic("t", 2)
	s.topic("u", 1)
	c := s.collect(queue.Group{Topics: []string{"t", "u"}})
	rs, err := s.broker.PublishBatch(s.within(),
		queue.Message{Topic: "t", Value: []byte("0")},
		queue.Message{Topic: "u", Value: []byte("1"), NotBefore: in(400)},
		queue.Message{Topic: "t", Value: []byte("2"), NotBefore: in(200)},
		queue.Message{Topic: "u", Value: []byte("3")},
	)
	if err != nil {
		s.Fatal(err)
	}
	for i, r := range rs {
		if delayed := i == 1 || i == 2; (r.Timer != "") != delayed || r.Position.IsZero() != delayed {
			s.Errorf("receipt %d: %+v", i, r)
		}
	}
	_, err = s.broker.PublishBatch(s.within(), queue.Message{Topic: "t", Value: []byte("no"), NotBefore: in(10)}, queue.Message{Topic: "missing"})
	s.wantError("a batch with a topic that is not there", err, queue.ErrNotFound)
	c.awaitCount(4)
	if got := c.values(); !slices.Equal(got[2:], []string{"2", "1"}) {
		s.Errorf("delivered %q, want 2 and 1 at the end", got)
	}
	s.wantDelayed("t", 0)
}

// delayCommit has each message answered later, once.
func delayCommit(s *stage) {
	const n = 30
	s.topic("t", 2)
	s.topic("out", 2)
	c := s.collect(queue.Group{Topics: []string{"out"}})
	s.consume(s.exactly(), func(_ context.Context, d *queue.Delivery) error {
		if err := d.Publish(queue.Message{Topic: "out", Value: d.Value, NotBefore: in(20)}); err != nil {
			return err
		}
		if d.Attempt == 1 && num(string(d.Value))%3 == 0 {
			return errAgain
		}
		return nil
	})
	s.fill("t", n, 5)
	c.awaitCount(n)
	s.idle("g")
	s.wantDelayed("out", 0)
	s.wantEach("out", n)
}

func delayCancel(s *stage) {
	s.topic("t", 1)
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	var timers []queue.TimerID
	for i := range 6 {
		r := s.publish(queue.Message{Topic: "t", Key: []byte("k"), Value: fmt.Append(nil, i), NotBefore: time.Now().Add(time.Hour)})
		timers = append(timers, r[0].Timer)
	}
	fine := func(err error) {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
	}
	fine(s.broker.Cancel(s.within(), timers[1]))
	s.wantError("cancelled again", s.broker.Cancel(s.within(), timers[1]), queue.ErrNotFound)
	soon := in(500)
	moved, err := s.broker.Reschedule(s.within(), timers[2], soon)
	fine(err)
	if again, err := s.broker.Reschedule(s.within(), timers[2], soon); again != moved || err != nil {
		s.Errorf("rescheduled again: %q, %v; want %q as before", again, err, moved)
	}
	s.wantError("by the handle before", s.broker.Cancel(s.within(), timers[2]), queue.ErrNotFound)
	_, err = s.broker.Reschedule(s.within(), timers[3], in(-5)) // at once
	fine(err)
	c.awaitCount(2)
	if now := time.Now(); now.Before(soon) {
		s.Errorf("delivered %v early", soon.Sub(now))
	}
	s.wantError("when it was due", s.broker.Cancel(s.within(), moved), queue.ErrNotFound)
	_, err = s.broker.Reschedule(s.within(), moved, in(1000))
	s.wantError("rescheduled when it was due", err, queue.ErrNotFound)
	later, err := s.broker.Reschedule(s.within(), timers[4], time.Now().Add(2*time.Hour))
	fine(err)
	fine(s.broker.Cancel(s.within(), later))
	if got := c.values(); !slices.Equal(got, []string{"3", "2"}) {
		s.Errorf("delivered %q, want 3 and 2", got)
	}
	s.wantDelayed("t", 2)
	s.idle("g")
}

// delayRace cancels messages as they become due: each is delivered, or its cancelling succeeds.
func delayRace(s *stage) {
	n := s.sized(100, 400, 4000)
	s.topic("t", 1)
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}, Concurrency: 4})
	var mu sync.Mutex
	cancelled := map[string]bool{}
	var all sync.WaitGroup
	for i := range n {
		v := fmt.Sprint(i)
		r := s.publish(queue.Message{Topic: "t", Value: []byte(v), NotBefore: time.Now().Add(time.Duration(i%7) * time.Millisecond)})
		if r[0].Timer == "" {
			continue
		}
		all.Go(func() {
			time.Sleep(time.Duration(i%7) * time.Millisecond)
			err := s.broker.Cancel(s.within(), r[0].Timer)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				cancelled[v] = true
			case !errors.Is(err, queue.ErrNotFound):
				s.Error("cancelling: ", err)
			}
		})
	}
	all.Wait()
	s.wantDelayed("t", 0)
	s.idle("g")
	seen := map[string]int{}
	for _, v := range c.values() {
		seen[v]++
	}
	for i := range n {
		v := fmt.Sprint(i)
		if k := seen[v]; k > 1 || (k == 1) == cancelled[v] {
			s.Errorf("message %s was delivered %d times, and cancelled: %v", v, k, cancelled[v])
		}
	}
	s.Logf("%d of %d cancelled", len(cancelled), n)
}

func delayRestart(s *stage) {
	s.topic("t", 2)
	kept := s.publish(queue.Message{Topic: "t", Value: []byte("cancelled"), NotBefore: time.Now().Add(time.Hour)})
	moved := s.publish(queue.Message{Topic: "t", Value: []byte("moved"), NotBefore: time.Now().Add(time.Hour)})
	base := in(800)
	var ms []queue.Message
	for i := range 30 {
		ms = append(ms, queue.Message{Topic: "t", Value: fmt.Append(nil, i), NotBefore: base.Add(time.Duration(-i) * time.Millisecond), Partition: queue.PinTo(0)})
	}
	s.store(ms...)
	s.publish(queue.Message{Topic: "t", Value: []byte("stays"), NotBefore: time.Now().Add(time.Hour)})
	s.restart()
	s.wantDelayed("t", 3)
	if err := s.broker.Cancel(s.within(), kept[0].Timer); err != nil {
		s.Error("cancelling after the restart: ", err)
	}
	at := in(300)
	again, err := s.broker.Reschedule(s.within(), moved[0].Timer, at)
	if err != nil {
		s.Fatal(err)
	}
	s.restart()
	if id, err := s.broker.Reschedule(s.within(), moved[0].Timer, at); err == nil && id != again {
		s.Errorf("rescheduled again after another restart: %q, want %q", id, again)
	} else if err != nil && !errors.Is(err, queue.ErrNotFound) { // it is due by now
		s.Error(err)
	}
	c := s.collect(queue.Group{Topics: []string{"t"}, Concurrency: 1})
	c.awaitCount(31)
	if now := time.Now(); now.Before(at) {
		s.Errorf("all came %v before the last was due", at.Sub(now))
	}
	s.wantDelayed("t", 1)
	var got []string
	for _, r := range s.records("t") {
		if r.Position.Partition() == 0 && string(r.Value) != "moved" {
			got = append(got, string(r.Value))
		}
	}
	for i, v := range got {
		if want := fmt.Sprint(29 - i); v != want {
			s.Fatalf("in the order %q, want from 29 down", got)
		}
	}
	s.restart()
	if n := len(s.records("t")); n != 31 {
		s.Errorf("%d records after another restart, want 31", n)
	}
}

func delayDeleted(s *stage) {
	s.topic("t", 1)
	s.topic("other", 1)
	s.publish(
		queue.Message{Topic: "t", Value: []byte("0"), NotBefore: in(800)},
		queue.Message{Topic: "other", Value: []byte("1"), NotBefore: in(801)},
	)
	if err := s.broker.Admin().DeleteTopic(s.within(), "t"); err != nil {
		s.Fatal(err)
	}
	s.topic("t", 1)
	c := s.collect(queue.Group{Topics: []string{"other"}})
	c.awaitCount(1)
	if rs := s.records("t"); len(rs) != 0 {
		s.Errorf("%d messages came to a topic that was made anew", len(rs))
	}
	if _, counts := s.topicStats("t"); counts {
		s.eventually("the orphan is counted", func() bool { return s.broker.Stats().Orphans == 1 })
	}
	if infos, err := s.broker.Admin().Topics(s.within()); err != nil || len(infos) != 2 {
		s.Errorf("%d topics are listed, %v; want 2, and not the engine's own", len(infos), err)
	}
}

func delayMemory(s *stage) {
	if err := s.broker.EnsureTopic(s.within(), "m", queue.TopicConfig{Durability: queue.Memory}); err != nil {
		s.Fatal(err)
	}
	s.topic("t", 1)
	c := s.collect(queue.Group{Topics: []string{"m", "t"}})
	r := s.publish(queue.Message{Topic: "m", Value: []byte("m"), NotBefore: in(300)}, queue.Message{Topic: "t", Value: []byte("t"), NotBefore: in(60)})
	if r[0].Durability != queue.Memory {
		s.Errorf("durability %v, want Memory", r[0].Durability)
	}
	c.awaitCount(2)
	if got := slices.Sorted(slices.Values(c.values())); !slices.Equal(got, []string{"m", "t"}) {
		s.Errorf("delivered %q", got)
	}
	if s.can(queue.CanBatch) {
		_, err := s.broker.PublishBatch(s.within(), queue.Message{Topic: "m", NotBefore: in(10)}, queue.Message{Topic: "t"})
		if s.harness.Restart != nil {
			s.wantError("a batch of both", err, queue.ErrMixedDurability)
		}
	}
}

func delayRefused(s *stage) {
	s.topic("t", 1)
	try := func(m queue.Message) error {
		m.Topic = "t"
		_, err := s.broker.Publish(s.within(), m)
		return err
	}
	s.wantFault("too far", try(queue.Message{NotBefore: time.Now().Add(queue.MaxAhead + time.Hour)}), "NotBefore")
	s.wantFault("too far", try(queue.Message{NotBefore: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}), "NotBefore")
	r := s.publish(queue.Message{Topic: "t", NotBefore: time.Now().Add(queue.MaxAhead - time.Hour)})
	_, err := s.broker.Reschedule(s.within(), r[0].Timer, time.Now().Add(queue.MaxAhead+time.Hour))
	s.wantFault("rescheduled too far", err, "at")
	for _, id := range []queue.TimerID{"", "nothing", r[0].Timer + "0", "x" + r[0].Timer, r[0].Timer[:len(r[0].Timer)-1]} {
		s.wantError(fmt.Sprintf("cancelling %q", id), s.broker.Cancel(s.within(), id), queue.ErrNotFound)
	}
	ended, cancel := context.WithCancel(s.Context())
	cancel()
	s.wantError("with a context that has ended", s.broker.Cancel(ended, r[0].Timer), queue.ErrFull)
	_, err = s.broker.Publish(s.within(), queue.Message{Topic: "missing", NotBefore: in(1000)})
	s.wantError("a topic that is not there", err, queue.ErrNotFound)
	_, err = s.broker.Publish(s.within(), queue.Message{Topic: "t", NotBefore: in(1000), Partition: queue.PinTo(1)})
	s.wantError("a partition that is not there", err, queue.ErrNotFound)
	s.wantError("a message that is too large", try(queue.Message{NotBefore: in(1000), Value: make([]byte, 1<<20+1)}), queue.ErrTooLarge)
	s.wantDelayed("t", 1)
}
