package queuetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

func restartCases() []testCase {
	return []testCase{
		{name: "RestartKeepsMessages", run: restartMessages, asks: asksRestart},
		{name: "RestartKeepsTopicsAndGroups", run: restartGroups, asks: asksRestart},
		{name: "RestartRedeliversOnlyWhatWasNotDone", run: restartUndone, asks: asksRestart, needs: []queue.Feature{queue.CanOrderByKey}},
		{name: "RestartKeepsAttempts", run: restartAttempts, asks: asksRestart, needs: []queue.Feature{queue.CanCountAttempts}},
		{name: "RestartKeepsPositions", run: restartPositions, asks: asksRestart},
	}
}

func restartMessages(s *stage) {
	s.topic("t", 3)
	for i := range originals {
		m := original(i)
		m.Timestamp = time.Unix(int64(i), 0)
		s.publish(m)
	}
	before := s.delivered("t")
	s.restart()
	after := s.delivered("t")
	s.wantOriginals("after a restart", after)
	was := map[queue.Position]*queue.Delivery{}
	for _, d := range before {
		was[d.Position] = d
	}
	for _, d := range after {
		b, ok := was[d.Position]
		if !ok {
			s.Errorf("%s was not there before the restart", d.Position)
			continue
		}
		s.wantSame(fmt.Sprint(d.Position), d.Message, b.Message)
		if !d.Appended.Equal(b.Appended) {
			s.Errorf("%s was stored at %v, and at %v after the restart", d.Position, b.Appended, d.Appended)
		}
	}
}

func restartGroups(s *stage) {
	config := queue.TopicConfig{Partitions: 3, Durability: queue.Interval, SyncEvery: time.Hour, MaxBytes: 1000}
	if err := s.broker.EnsureTopic(s.within(), "t", config); err != nil {
		s.Fatal(err)
	}
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	c.stop()
	s.fill("t", 10, 3)
	s.restart()
	if err := s.broker.EnsureTopic(s.within(), "t", config); err != nil {
		s.Errorf("the same topic after a restart: %v", err)
	}
	config.SyncEvery++
	s.wantFault("another topic after a restart", s.broker.EnsureTopic(s.within(), "t", config), "SyncEvery")
	s.fill("t", 5, 3)
	c = s.collect(queue.Group{Name: "g", Topics: []string{"t"}, StartIfNew: queue.Latest()})
	s.idle("g")
	if got := len(c.got()); got != 15 {
		s.Errorf("%d messages, want the 15 that the group, which existed, never got", got)
	}
}

// restartUndone restarts while the messages of one key are in work or behind it, and those of the others are done.
func restartUndone(s *stage) {
	const keys, each = 5, 10
	s.topic("t", 2)
	d := s.detect(queue.ByKey)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.ByKey, Concurrency: keys}
	total := 0
	for round := range 3 {
		s.fill("t", keys*each, keys)
		total += keys * each
		held := string(keyOf(round))
		others := make(chan struct{})
		var mu sync.Mutex
		n, free := 0, total-d.doneCount()-each // of the key that was held before, all
		s.consume(g, d.watch(func(ctx context.Context, x *queue.Delivery) error {
			if string(x.Key) == held {
				<-ctx.Done()
				return ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			if n++; n == free {
				close(others)
			}
			return nil
		}))
		await(s, others, "the messages of the other keys")
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // whoever holds the key is to let go at once
		if err := s.broker.Shutdown(ctx); err != nil {
			s.Error(err)
		}
		if got := total - d.doneCount(); got != each {
			s.Errorf("%d messages are not done, want the %d of one key", got, each)
		}
		s.restart()
	}
	s.consume(g, d.watch(finish))
	s.idle("g")
	if got := d.doneCount(); got != total {
		s.Errorf("%d messages are done, want %d", got, total)
	}
}

func restartAttempts(s *stage) {
	s.topic("t", 1)
	s.fill("t", 1, 1)
	o := s.someOrder()
	d := s.detect(o) // it counts attempts
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Failure: endless}
	var mu sync.Mutex
	var attempt int // the last
	var began time.Time
	note := func(x *queue.Delivery) (waited time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		waited = time.Since(began)
		attempt, began = x.Attempt, time.Now()
		return waited
	}
	for range 2 {
		failing := make(chan struct{}, 100)
		r := s.consume(g, d.watch(func(_ context.Context, x *queue.Delivery) error {
			note(x)
			failing <- struct{}{}
			return errAgain
		}))
		await(s, failing, "an attempt")
		r.stop()
		s.restart()
	}
	s.consume(g, d.watch(func(_ context.Context, x *queue.Delivery) error {
		const coarse = 10 * time.Millisecond // what a wall clock may be off
		if waited := note(x); waited < delayBefore(x.Attempt)-coarse {
			s.Errorf("attempt %d came after %v and a restart, want %v", x.Attempt, waited, delayBefore(x.Attempt))
		}
		return nil
	}))
	s.idle("g")
	if attempt < 3 {
		s.Errorf("it took %d attempts, of which two failed before restarts", attempt)
	}
}

func restartPositions(s *stage) {
	s.topic("t", 2)
	last := map[int]queue.Position{}
	all := map[queue.Position]bool{}
	for i := range 6 {
		for range 10 {
			for n := range 2 {
				p := s.publish(queue.Message{Topic: "t", Partition: queue.PinTo(n)})[0].Position
				if last[n].Covers(p) || !last[n].IsZero() && !p.Covers(last[n]) {
					s.Errorf("after %d restarts: %s comes after %s", i, p, last[n])
				}
				last[n], all[p] = p, true
			}
		}
		s.restart()
	}
	for _, d := range s.delivered("t") {
		if !all[d.Position] {
			s.Errorf("%s was never in a receipt", d.Position)
		}
		delete(all, d.Position)
	}
	if len(all) > 0 {
		s.Errorf("%d messages are lost", len(all))
	}
}
