package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/leatmq/leat/queue"
)

func byteCases() []testCase {
	return []testCase{
		{name: "PublishCopies", run: publishCopies},
		{name: "DeliveredBytesAreTheHandlers", run: deliveredBytes},
		{name: "ReadBytesAreTheCallers", run: readBytes, needs: []queue.Feature{queue.CanRead}},
		{name: "BorrowedBytesAreRight", run: borrowedBytes, needs: []queue.Feature{queue.CanRead}},
	}
}

// scribble writes over all bytes of m.
func scribble(m *queue.Message) {
	over := func(b []byte) {
		for i := range b {
			b[i] = '#'
		}
		_ = append(b, "#######"...) // what lies behind them is not the caller's to write, unless it has the room to itself
	}
	over(m.Key)
	over(m.Value)
	for i := range m.Headers {
		over(m.Headers[i].Value)
		m.Headers[i].Key = "#"
	}
}

func original(i int) queue.Message {
	return queue.Message{
		Topic: "t", Key: fmt.Appendf(nil, "key-%d", i%3), Value: fmt.Appendf(nil, "value-%d", i),
		Headers: queue.Headers{}.With("a", fmt.Sprint(i)).With("b", "x"),
	}
}

const originals = 20

func (s *stage) wantOriginals(who string, ds []*queue.Delivery) {
	s.Helper()
	if len(ds) != originals {
		s.Errorf("%s: %d messages, want %d", who, len(ds), originals)
	}
	for _, d := range ds {
		var i int
		if _, err := fmt.Sscanf(string(d.Value), "value-%d", &i); err != nil {
			s.Errorf("%s: %s is %q", who, d.Position, d.Value)
			continue
		}
		s.wantSame(who, d.Message, original(i))
	}
}

func publishCopies(s *stage) {
	s.topic("t", 2)
	for i := range originals {
		m := original(i)
		if i%2 == 0 || !s.can(queue.CanBatch) {
			s.publish(m)
		} else if _, err := s.broker.PublishBatch(s.within(), m); err != nil {
			s.Fatal(err)
		}
		scribble(&m)
	}
	s.wantOriginals("a group", s.delivered("t"))
}

func deliveredBytes(s *stage) {
	s.topic("t", 2)
	for i := range originals {
		s.publish(original(i))
	}
	vandal, witness := &collector{}, &collector{}
	fail := errors.New("first attempt")
	r := s.consume(queue.Group{Name: "vandal", Topics: []string{"t"}, Order: s.someOrder()}, func(_ context.Context, d *queue.Delivery) error {
		mine := *d
		defer scribble(&d.Message)
		if d.Attempt == 1 && string(d.Value) < "value-3" { // some of them: each waits for its lane
			return fail
		}
		kept := mine
		kept.Key, kept.Value, kept.Headers = clone(mine.Key), clone(mine.Value), nil
		for _, h := range mine.Headers {
			kept.Headers = append(kept.Headers, queue.Header{Key: h.Key, Value: clone(h.Value)})
		}
		vandal.keep(&kept)
		return nil
	})
	other := s.consume(queue.Group{Name: "witness", Topics: []string{"t"}, Order: s.someOrder()}, func(_ context.Context, d *queue.Delivery) error {
		witness.keep(d)
		return nil
	})
	s.idle("vandal", "witness")
	r.stop()
	other.stop()
	s.wantOriginals("later attempts", vandal.got())
	s.wantOriginals("the other group", witness.got())
	s.wantOriginals("a new group", s.delivered("t"))
}

func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

func readBytes(s *stage) {
	s.topic("t", 2)
	for i := range originals {
		s.publish(original(i))
	}
	for range 2 {
		for _, r := range s.records("t") {
			var i int
			if _, err := fmt.Sscanf(string(r.Value), "value-%d", &i); err != nil {
				s.Fatalf("%s is %q", r.Position, r.Value)
			}
			s.wantSame("read", r.Message, original(i))
			scribble(&r.Message)
		}
	}
	s.wantOriginals("a group", s.delivered("t"))
}

// borrowedBytes reads what may be written over when the next record is asked for, and writes over it before.
func borrowedBytes(s *stage) {
	const messages = 500
	s.topic("t", 2)
	for i := range messages {
		m := original(i)
		m.Value = append(m.Value, make([]byte, i)...)
		s.publish(m)
	}
	for range 2 { // what is stored is not what was written over
		n := 0
		for r, err := range s.broker.Read(s.within(), queue.Range{Topic: "t", Borrowed: true}) {
			if err != nil {
				s.Fatal(err)
			}
			var i int
			if _, err := fmt.Sscanf(string(bytes.TrimRight(r.Value, "\x00")), "value-%d", &i); err != nil {
				s.Fatalf("%s is %q", r.Position, r.Value)
			}
			want := original(i)
			want.Value = append(want.Value, make([]byte, i)...)
			s.wantSame("a borrowed record", r.Message, want)
			scribble(&r.Message)
			n++
		}
		if n != messages {
			s.Errorf("%d messages are read, want %d", n, messages)
		}
	}
}
