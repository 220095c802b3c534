package queuetest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/queue"
)

func retentionCases() []testCase {
	retain := []queue.Feature{queue.CanRead, queue.CanRetain}
	return []testCase{
		{name: "RetentionByRecords", run: retainRecords, needs: retain},
		{name: "RetentionByBytes", run: retainBytes, needs: retain},
		{name: "RetentionByAge", run: retainAge, needs: retain, asks: asksBubble},
		{name: "RetentionUntilDone", run: retainUntilDone, needs: []queue.Feature{queue.CanRead, queue.CanRemoveDone}},
		{name: "MissedMessagesAreCounted", run: missedCounted, needs: retain},
		{name: "MissedMessagesAreToldOfWhileConsuming", run: missedMeanwhile, needs: retain},
		{name: "RetentionAfterARestart", run: retainRestarted, needs: retain, asks: asksRestart},
	}
}

func (s *stage) keeping(topic string, r queue.Retention) {
	s.Helper()
	if err := s.broker.EnsureTopic(s.within(), topic, queue.TopicConfig{Retention: r}); err != nil {
		s.Fatal(err)
	}
}

// each stores n messages of size bytes, one by one, with values that begin with 0, 1, ... in four digits.
func (s *stage) each(topic string, n, size int) {
	s.Helper()
	for i := range n {
		s.publish(queue.Message{Topic: topic, Value: append(fmt.Appendf(nil, "%04d", i), make([]byte, size-4)...)})
	}
}

// left returns the numbers of the messages that a topic has.
func (s *stage) left(topic string) []string {
	s.Helper()
	var vs []string
	for _, r := range s.records(topic) {
		vs = append(vs, string(r.Value[:4]))
	}
	return vs
}

// eventually waits until ok, in steps.
func (s *stage) eventually(what string, ok func() bool) {
	s.Helper()
	ctx := s.within()
	for !ok() {
		if ctx.Err() != nil {
			s.Fatalf("waited %v in vain until %s", s.patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// wantNewest waits until some of the first n messages of a topic are gone, and wants the newest ones that are left, least at least.
func (s *stage) wantNewest(topic string, n, least int) {
	s.Helper()
	var left []string
	s.eventually("the oldest are removed", func() bool { // not while they are being read
		left = s.left(topic)
		return 0 < len(left) && len(left) < n && left[0] == fmt.Sprintf("%04d", n-len(left))
	})
	if len(left) < least {
		s.Errorf("%d of %d messages are left, want %d at least", len(left), n, least)
	}
	for i, v := range left {
		if want := fmt.Sprintf("%04d", n-len(left)+i); v != want {
			s.Fatalf("of the newest %d messages of %d, message %d is %s, want %s", len(left), n, i, v, want)
		}
	}
}

func retainRecords(s *stage) {
	s.keeping("t", queue.Retention{Records: 50})
	s.each("t", 300, 10)
	s.wantNewest("t", 300, 50)
	s.eventually("what is stored now is about what is asked for", func() bool { return len(s.left("t")) <= 100 })
	if topic, _, ok := s.figures(); ok && topic.Records != int64(len(s.left("t"))) {
		s.Errorf("%+v, and %d are there", topic, len(s.left("t")))
	}
}

func retainBytes(s *stage) {
	const size = 5000
	s.keeping("t", queue.Retention{Bytes: 40 * size})
	s.each("t", 200, size)
	s.wantNewest("t", 200, 30)
}

func retainAge(s *stage) {
	s.keeping("t", queue.Retention{Age: time.Hour})
	s.each("t", 10, 10)
	time.Sleep(59 * time.Minute)
	s.each("t", 10, 10)
	if got := len(s.left("t")); got != 20 {
		s.Errorf("%d messages, of which none is an hour old; want 20", got)
	}
	time.Sleep(5 * time.Minute)
	if got := len(s.left("t")); got != 10 {
		s.Errorf("%d messages, of which ten are younger than an hour; want these", got)
	}
	time.Sleep(time.Hour)
	if got := len(s.left("t")); got != 0 {
		s.Errorf("%d messages, all older than an hour", got)
	}
	s.each("t", 3, 10)
	if got := len(s.left("t")); got != 3 {
		s.Errorf("%d messages, want 3 new ones", got)
	}
}

// retainUntilDone has two groups of which one does not finish its first message.
func retainUntilDone(s *stage) {
	s.keeping("t", queue.Retention{WhenDone: true})
	s.keeping("alone", queue.Retention{WhenDone: true})
	quick := s.collect(queue.Group{Name: "quick", Topics: []string{"t"}})
	s.idle("quick") // it is there
	h := s.hold()
	s.consumeHeld(queue.Group{Name: "slow", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1}, h)
	s.each("t", 100, 10)
	s.each("alone", 100, 10)
	await(s, h.arrived, "a handler")
	s.idle("quick")
	s.awaitSweep()
	if got := len(s.left("t")); got != 100 {
		s.Errorf("%d of 100 messages are left, of which a group has done none", got)
	}
	if got := len(s.left("alone")); got != 100 {
		s.Errorf("%d of 100 messages are left, of a topic without groups", got)
	}
	h.free()
	s.idle("slow", "quick")
	s.eventually("what all have done is gone", func() bool { return len(s.left("t")) == 0 })
	if got := len(quick.got()); got != 100 {
		s.Errorf("a group got %d messages, want 100", got)
	}
	s.each("t", 3, 10)
	quick.awaitCount(103)
}

// awaitSweep returns when the engine has removed what was there to be removed: it did so in another topic.
func (s *stage) awaitSweep() {
	s.Helper()
	s.keeping("witness", queue.Retention{WhenDone: true})
	s.each("witness", 10, 10)
	s.delivered("witness")
	s.eventually("another topic is cleaned", func() bool { return len(s.left("witness")) == 0 })
}

func missedCounted(s *stage) {
	s.keeping("t", queue.Retention{Records: 20})
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	c.stop()
	s.each("t", 200, 10)
	s.wantNewest("t", 200, 20)
	s.eventually("nothing more is removed", func() bool { return len(s.left("t")) == 20 })
	s.wantGroup("with most of its backlog removed", queue.GroupStats{Ready: 20})
	c = s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	c.awaitCount(20)
	s.idle("g")
	s.wantGroup("at the end", queue.GroupStats{Members: 1, Delivered: 20, Done: 20, Missed: 180})
	s.wantMissed("g", 180)
	var got []string
	for _, v := range c.values() { // in any order, since nothing orders messages without keys
		got = append(got, v[:4])
	}
	slices.Sort(got)
	for i, v := range got {
		if want := fmt.Sprintf("%04d", 180+i); v != want {
			s.Fatalf("delivered %q, want 0180 to 0199", got)
		}
	}
	c.stop()
}

// wantMissed wants to have been told of so many, each once.
func (s *stage) wantMissed(group string, n int64) {
	s.Helper()
	var last queue.Position
	total := int64(0)
	for _, e := range s.log.missed() {
		if e.Group != group {
			continue
		}
		total += e.Records
		if e.To.Covers(e.From) == e.From.Covers(e.To) || last != (queue.Position{}) && !e.From.Covers(last) {
			s.Errorf("missed from %s to %s, after all before %s", e.From, e.To, last)
		}
		last = e.To
	}
	if total != n {
		s.Errorf("told of %d missed messages, want %d: %+v", total, n, s.log.missed())
	}
}

// missedMeanwhile has a handler that takes long while the topic goes on.
func missedMeanwhile(s *stage) {
	s.keeping("t", queue.Retention{Records: 20})
	h := s.hold()
	var handled atomic.Int64
	s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1}, func(ctx context.Context, d *queue.Delivery) error {
		handled.Add(1)
		if string(d.Value[:4]) == "0000" {
			return h.handle(ctx, d)
		}
		return nil
	})
	s.Cleanup(h.free)
	s.each("t", 100, 10)
	await(s, h.arrived, "a handler")
	s.wantNewest("t", 100, 20)
	h.free()
	s.idle("g")
	missed := int64(0)
	for _, e := range s.log.missed() {
		missed += e.Records
	}
	if handled.Load()+missed != 100 {
		s.Errorf("%d messages were handled and %d missed, of 100", handled.Load(), missed)
	}
	s.each("t", 5, 10)
	s.idle("g")
	if handled.Load()+missed != 105 {
		s.Errorf("%d messages were handled and %d missed, of 105", handled.Load(), missed)
	}
}

func retainRestarted(s *stage) {
	s.keeping("t", queue.Retention{Records: 50})
	s.each("t", 100, 10)
	s.wantNewest("t", 100, 50)
	s.eventually("nothing more is removed", func() bool { return len(s.left("t")) == 50 })
	before := s.left("t")
	s.restart()
	s.keeping("t", queue.Retention{Records: 50})
	if after := s.left("t"); !slices.Equal(after, before) {
		s.Errorf("%d messages from %s on, and before the restart %d from %s on", len(after), after[0], len(before), before[0])
	}
	s.wantFault("another retention", s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{Retention: queue.Retention{Records: 51}}), "Retention.Records")
	s.each("t", 30, 10)
	s.eventually("the topic is cleaned again", func() bool { return len(s.left("t")) == 50 })
}
