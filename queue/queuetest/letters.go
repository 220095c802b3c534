package queuetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/queue"
)

func letterCases() []testCase {
	commit := []queue.Feature{queue.CanCommit, queue.CanRead}
	lease := append([]queue.Feature{queue.CanLease}, commit...)
	claim := append([]queue.Feature{queue.CanClaim}, commit...)
	return []testCase{
		{name: "DeadLetterIsTheWholeMessage", needs: commit, run: letterWhole},
		{name: "DeadLetterTopicIsMadeAlike", needs: commit, run: letterTopicMade, asks: asksTopics},
		{name: "DeadLetterTopicInMemory", needs: append(commit, queue.CanStoreInMemory), run: letterInMemory},
		{name: "DeadLetterTopicMustFit", needs: commit, run: letterTopicRefused, asks: asksTopics},
		{name: "DeadLetterTopicIsMadeAgain", needs: commit, run: letterTopicDeleted, asks: asksTopics},
		{name: "LargestMessageHasALetter", needs: commit, run: letterLargest},
		{name: "DeadLettersOfLeases", needs: lease, run: letterOfLeases},
		{name: "ExpiredLeasesEndInTheDeadLetters", needs: lease, run: letterOfExpiry},
		{name: "AtMostOnceHasALetter", needs: claim, run: letterAtMostOnce},
	}
}

// buryAll fails every message of t for good.
func (s *stage) buryAll() *running {
	return s.consume(s.failing(atOnce(1)), func(context.Context, *queue.Delivery) error { return errAgain })
}

// letterWhole has a handler spoil the bytes that it was given.
func letterWhole(s *stage) {
	s.topic("t", 2)
	at := time.Date(2020, 1, 2, 3, 4, 5, 6000, time.UTC)
	m := queue.Message{
		Topic: "t", Key: []byte("key"), Value: []byte("value"), Headers: queue.Headers{}.With("a", "1").With("b", "2"), Timestamp: at,
	}
	keyless := queue.Message{Topic: "t", Value: []byte{}, Timestamp: at}
	s.publish(m, keyless)
	g := s.failing(atOnce(2))
	s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		clear(d.Key)
		clear(d.Value)
		for i := range d.Headers {
			clear(d.Headers[i].Value)
			d.Headers[i].Key = "spoiled"
		}
		panic("having spoiled it")
	})
	s.idle("g")
	s.untilBuried(2)
	letters := s.records("t.dead")
	if len(letters) != 2 {
		s.Fatalf("%d letters, want 2", len(letters))
	}
	m.Topic, keyless.Topic = "t.dead", "t.dead"
	for _, l := range letters {
		want := m
		if l.Key == nil {
			want = keyless
		}
		s.wantSame("letter", l.Message, want)
		if id := l.Identity(); id == l.Position.String() || id == "" {
			s.Errorf("the letter's identity is %q, and not the message's", id)
		}
	}
	for _, d := range s.delivered("t.dead") {
		for _, h := range d.Headers {
			if h.Key != "a" && h.Key != "b" {
				s.Errorf("a consumer of the dead letters sees the header %q", h.Key)
			}
		}
	}
}

func letterTopicMade(s *stage) {
	if err := s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{Partitions: 3, Durability: queue.OS, MaxBytes: 3 << 20}); err != nil {
		s.Fatal(err)
	}
	s.fill("t", 5, 0)
	s.buryAll()
	s.idle("g")
	info, err := s.broker.Admin().Topic(s.within(), "t.dead")
	if err != nil {
		s.Fatal(err)
	}
	if c := info.Config; c.Partitions != 1 || c.Durability != queue.OS || c.MaxBytes != 3<<20 || info.Records != 5 {
		s.Errorf("%d records, configuration %+v, want one partition, and the source's durability and size", info.Records, c)
	}
}

func letterInMemory(s *stage) {
	if err := s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{Durability: queue.Memory}); err != nil {
		s.Fatal(err)
	}
	s.fill("t", 3, 0)
	s.buryAll()
	s.idle("g")
	s.untilBuried(3)
	if n := len(s.records("t.dead")); n != 3 {
		s.Errorf("%d letters, want 3", n)
	}
	// And to a topic that outlives the process.
	s.topic("kept", 1)
	g := s.failing(atOnce(1))
	g.Name, g.Failure.DeadLetter = "other", "kept"
	s.consume(g, func(context.Context, *queue.Delivery) error { return errAgain })
	s.idle("other")
	if n := len(s.records("kept")); n != 3 {
		s.Errorf("%d letters in a durable topic, want 3", n)
	}
}

func letterTopicRefused(s *stage) {
	s.topic("t", 1)
	for name, c := range map[string]queue.TopicConfig{"weak": {Durability: queue.OS}, "small": {MaxBytes: 1 << 10}} {
		if err := s.broker.EnsureTopic(s.within(), name, c); err != nil {
			s.Fatal(err)
		}
	}
	g := s.failing(queue.Failure{DeadLetter: "weak"})
	s.wantError("a topic that is less durable", s.broker.Consume(s.within(), g, finish), queue.ErrMixedDurability)
	g.Failure.DeadLetter = "small"
	s.wantFault("a topic without room", s.broker.Consume(s.within(), g, finish), "Failure.DeadLetter")
	if _, err := s.broker.Admin().Group(s.within(), "g"); !errors.Is(err, queue.ErrNotFound) {
		s.Errorf("the group that was refused: %v, want ErrNotFound", err)
	}
}

func letterTopicDeleted(s *stage) {
	s.topic("t", 1)
	s.fill("t", 1, 0)
	r := s.buryAll()
	s.idle("g")
	s.untilBuried(1)
	s.deleteTopic("t.dead")
	s.publish(queue.Message{Topic: "t", Value: []byte("next")})
	s.untilBuried(2)
	r.stop()
	if rs := s.records("t.dead"); len(rs) != 1 || string(rs[0].Value) != "next" {
		s.Errorf("%d letters, want that of the message since", len(rs))
	}
}

// letterLargest has as much as a topic and the engine allow.
func letterLargest(s *stage) {
	most := s.broker.Engine().Capabilities().MaxBytes
	if err := s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{MaxBytes: most}); err != nil {
		s.Fatal(err)
	}
	m := queue.Message{Topic: "t"}
	for n := range queue.MaxHeaders {
		m.Headers = m.Headers.With(fmt.Sprint(n), string(make([]byte, queue.MaxHeaderBytes/queue.MaxHeaders-2)))
	}
	m.Value = make([]byte, most-m.Size())
	s.publish(m)
	long := errors.New(string(make([]byte, 1<<20)))
	s.consume(s.failing(atOnce(1)), func(context.Context, *queue.Delivery) error { panic(long) })
	s.idle("g")
	s.untilBuried(1)
	rs := s.records("t.dead")
	if len(rs) != 1 {
		s.Fatalf("%d letters, want 1", len(rs))
	}
	m.Topic = "t.dead"
	s.wantSame("letter", rs[0].Message, m)
}

func letterOfLeases(s *stage) {
	s.topic("t", 1)
	s.fill("t", 3, 1)
	b := s.borrow(queue.Group{Concurrency: 1, Failure: atOnce(3)})
	l := b.next()
	if err := l.Reject(s.within(), errAgain); err != nil {
		s.Errorf("Reject: %v", err)
	}
	s.wantError("Ack of what was rejected", l.Ack(s.within()), queue.ErrLeaseLost)
	for n := range 3 {
		if l = b.next(); l.Attempt != n+1 {
			s.Errorf("attempt %d, want %d", l.Attempt, n+1)
		}
		if err := l.NackAfter(s.within(), 0, nil); err != nil {
			s.Errorf("NackAfter: %v", err)
		}
	}
	s.ack(b.next())
	s.idle("g")
	s.untilBuried(2)
	if n := len(s.records("t.dead")); n != 2 {
		s.Errorf("%d letters, want 2", n)
	}
}

// letterOfExpiry lets the leases of one message expire, however often it comes.
func letterOfExpiry(s *stage) {
	s.topic("t", 1)
	s.fill("t", 2, 0)
	b := s.borrow(queue.Group{Concurrency: 2, Lease: shortLease, Failure: atOnce(2)})
	for done := false; !done; {
		l := b.next()
		switch {
		case l.Attempt > 2:
			s.Errorf("attempt %d of %s", l.Attempt, l.Position)
			return
		case string(l.Value) == "0":
			done = l.Attempt == 2
			s.over(l)
		default:
			if err := l.Ack(s.within()); err != nil && !errors.Is(err, queue.ErrLeaseLost) {
				s.Errorf("Ack: %v", err)
			}
		}
	}
	s.idle("g")
	told, _ := s.log.ends()
	for end := s.within(); len(told) == 0 && end.Err() == nil; told, _ = s.log.ends() { // it is told when the letter is stored, which may be later than idle
		time.Sleep(time.Millisecond)
	}
	// The hand-over of which the letter is made has a lease too: on a slow machine it expires while the topic is made, and is counted.
	if len(told) == 0 || told[0].Attempts < 2 || told[0].Attempts > 2 && s.harness.Bubble {
		s.Errorf("told of dead letters %+v, want one of two attempts", told)
	}
}

func letterAtMostOnce(s *stage) {
	const n = 20
	s.topic("t", 1)
	s.fill("t", n, 4)
	g := s.failing(queue.Failure{})
	g.Guarantee = queue.AtMostOnce
	s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		if d.Attempt > 1 {
			s.Errorf("attempt %d", d.Attempt)
		}
		return errAgain
	})
	s.idle("g")
	s.untilBuried(n)
	s.wantEach("t.dead", n)
}
