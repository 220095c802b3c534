package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
)

func retryCases() []testCase {
	key, partition, share := []queue.Feature{queue.CanOrderByKey}, []queue.Feature{queue.CanOrderByPartition}, []queue.Feature{queue.CanShare}
	return []testCase{
		{name: "FailedMessageComesAgainLater", run: retryLater},
		{name: "DelaysDoubleUpToAMinute", run: retryDelays, asks: asksBubble},
		{name: "FailuresAreTold", run: failuresTold},
		{name: "FailingKeyHoldsOnlyItself", needs: key, run: func(s *stage) { holdsItsLane(s, queue.ByKey) }},
		{name: "FailingPartitionHoldsOnlyItself", needs: partition, run: func(s *stage) { holdsItsLane(s, queue.ByPartition) }},
		{name: "FailingMessageHoldsOnlyItself", needs: share, run: func(s *stage) { holdsItsLane(s, queue.Unordered) }},
		{name: "WaitingTakesNoWorker", run: waitingTakesNoWorker},
		{name: "ManyMessagesPassOneThatFails", needs: share, run: manyPass},
	}
}

// endless has every message tried again until it is done, 100 ms later and then twice as late each time up to a minute.
var endless = queue.Failure{Retry: retry.Policy{Jitter: retry.NoJitter, MaxAttempts: -1}}

// delayBefore is the least time before an attempt, from the one before.
func delayBefore(attempt int) time.Duration {
	return min(time.Minute, 100*time.Millisecond<<(attempt-2))
}

// attempts fails the first n attempts of one message, and returns when each began.
func (s *stage) attempts(n int) []time.Time {
	s.Helper()
	s.topic("t", 1)
	s.fill("t", 1, 0)
	var mu sync.Mutex
	var began []time.Time
	r := s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Failure: endless}, func(_ context.Context, d *queue.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		began = append(began, time.Now())
		if d.Attempt != len(began) {
			s.Errorf("attempt %d is called %d", len(began), d.Attempt)
		}
		if d.Attempt <= n {
			return errAgain
		}
		return nil
	})
	s.idle("g")
	r.stop()
	if len(began) != n+1 {
		s.Fatalf("%d attempts, want %d", len(began), n+1)
	}
	return began
}

func retryLater(s *stage) {
	began := s.attempts(2)
	for i, at := range began[1:] {
		if waited := at.Sub(began[i]); waited < delayBefore(i+2) {
			s.Errorf("attempt %d came after %v, want %v at least", i+2, waited, delayBefore(i+2))
		}
	}
}

func retryDelays(s *stage) {
	began := s.attempts(14)
	for i, at := range began[1:] {
		if waited := at.Sub(began[i]); waited != delayBefore(i+2) {
			s.Errorf("attempt %d came after %v, want %v", i+2, waited, delayBefore(i+2))
		}
	}
}

func failuresTold(s *stage) {
	s.topic("t", 1)
	at := s.publish(queue.Message{Topic: "t"})[0].Position
	s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Failure: endless}, FailFirst(2, errAgain, finish))
	s.idle("g")
	_, failed := s.log.told()
	if len(failed) != 2 {
		s.Fatalf("told of %d failures, want 2: %v", len(failed), failed)
	}
	for i, f := range failed {
		if f.Group != "g" || f.Position != at || f.Attempt != i+1 || !errors.Is(f.Err, errAgain) || f.After != delayBefore(i+2) {
			s.Errorf("failure %d is told as %+v", i+1, f)
		}
	}
}

// holdsItsLane has one message fail until all of other lanes are done.
func holdsItsLane(s *stage, o queue.Order) {
	const lanes, each = 3, 20
	s.topic("t", lanes)
	var ms []queue.Message
	for i := range lanes * each {
		m := queue.Message{Topic: "t", Key: keyOf(i % lanes), Value: fmt.Append(nil, i)}
		if o == queue.ByPartition {
			m.Partition = queue.PinTo(i % lanes)
		} else {
			m.Partition = queue.PinTo(0)
		}
		ms = append(ms, m)
	}
	s.store(ms...)
	free := lanes*each - each
	if o == queue.Unordered {
		free = lanes*each - 1
	}
	var mu sync.Mutex
	passed, mend, others := 0, false, make(chan struct{})
	d := s.detect(o)
	s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 2, Failure: endless}, d.watch(func(_ context.Context, x *queue.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		if string(x.Value) == "0" && !mend {
			return errAgain
		}
		if passed++; passed == free {
			close(others)
		}
		return nil
	}))
	await(s, others, "the messages of other lanes than that of the message that fails")
	s.wantBusy("g", "retry", "g")
	mu.Lock()
	if passed != free {
		s.Errorf("%d messages were done, and only %d do not wait", passed, free)
	}
	mend = true
	mu.Unlock()
	s.idle("g")
	if got := d.doneCount(); got != lanes*each {
		s.Errorf("%d messages are done, want %d", got, lanes*each)
	}
}

// waitingTakesNoWorker has more messages fail than there are workers.
func waitingTakesNoWorker(s *stage) {
	const failing = 10
	s.topic("t", failing+1)
	for i := range failing {
		s.publish(queue.Message{Topic: "t", Key: keyOf(i), Partition: queue.PinTo(i)})
	}
	last := s.publish(queue.Message{Topic: "t", Key: []byte("fine"), Partition: queue.PinTo(failing)})[0].Position
	var fine sync.Once
	passed := make(chan struct{})
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1, Failure: endless}
	s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		if d.Position == last {
			fine.Do(func() { close(passed) })
			return nil
		}
		select {
		case <-passed:
			return nil
		default:
			return errAgain
		}
	})
	await(s, passed, "the message behind those that fail")
	s.idle("g")
}

// manyPass has so many messages done behind one that fails that an engine that keeps no account of them cannot know them all.
func manyPass(s *stage) {
	many := s.sized(3000, 10_000, 30_000)
	s.topic("t", 1)
	s.fill("t", many+1, 0)
	var mu sync.Mutex
	passed, rest := 0, make(chan struct{})
	d := s.detect(queue.Unordered)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.Unordered, Concurrency: 8, Failure: endless}
	s.consume(g, d.watch(func(_ context.Context, x *queue.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case string(x.Value) != "0":
			if passed++; passed == many {
				close(rest)
			}
		case passed < many:
			return errAgain
		}
		return nil
	}))
	await(s, rest, "the messages behind one that fails")
	s.idle("g")
	if got := d.doneCount(); got != many+1 {
		s.Errorf("%d messages are done, want %d", got, many+1)
	}
}
