package queuetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
)

func failureCases() []testCase {
	commit, key := []queue.Feature{queue.CanCommit}, []queue.Feature{queue.CanOrderByKey}
	return []testCase{
		{name: "EachClassOfFailureIsCountedAlike", needs: commit, run: failureClasses},
		{name: "PermanentFailureIsNotTriedAgain", needs: commit, run: failurePermanent},
		{name: "FailureMaySayWhen", run: failureAfter, asks: asksBubble},
		{name: "DelaysAreDrawnAndBounded", run: failureDelays, asks: asksBubble},
		{name: "ExhaustedIsDiscarded", run: failureDiscards},
		{name: "ExhaustedStopsTheGroup", run: failureStops},
		{name: "ExhaustedInABatch", needs: commit, run: failureInBatch},
		{name: "FollowersPassWhatWaits", needs: key, run: followersPass},
		{name: "FollowersInThePartitionPassWhatWaits", needs: []queue.Feature{queue.CanOrderByPartition}, run: partitionPasses},
		{name: "WhatWasPassedNeverRunsBesideItsKey", needs: key, run: passedKeepsItsKey},
		{name: "FollowersPassAfterARestart", needs: key, run: passAfterRestart, asks: asksRestart},
		{name: "AttemptsGoOnAfterARestart", needs: append(commit, queue.CanCountAttempts), run: attemptsGoOn, asks: asksRestart},
		{name: "NoAttemptIsLeftAfterARestart", needs: append(commit, queue.CanCountAttempts), run: noAttemptLeft, asks: asksRestart},
		{name: "StopUnderLoadBuriesNothing", needs: commit, run: stopBuriesNothing},
	}
}

// atOnce tries again without waiting, so many times in all.
func atOnce(attempts int) queue.Failure {
	return queue.Failure{Retry: retry.Listed(0), MaxAttempts: attempts}
}

// failing is a group of t in which nothing waits for what fails, if that can be.
func (s *stage) failing(f queue.Failure) queue.Group {
	return queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 2, Failure: f}
}

// buried returns where the messages stood that were moved to the dead letters, and wants that to have been told once of each.
func (s *stage) buried() map[queue.Position]queue.DeadLetteredEvent {
	s.Helper()
	told, _ := s.log.ends()
	of := map[queue.Position]queue.DeadLetteredEvent{}
	for _, e := range told {
		if _, twice := of[e.Position]; twice {
			s.Errorf("told twice of %s", e.Position)
		}
		of[e.Position] = e
	}
	return of
}

func failureClasses(s *stage) {
	const attempts = 3
	fail := map[string]func() error{
		"error":    func() error { return errAgain },
		"panic":    func() error { panic("on purpose") },
		"Goexit":   func() error { runtime.Goexit(); return nil },
		"wrapped":  func() error { return fmt.Errorf("around: %w", errAgain) },
		"deadline": func() error { return context.DeadlineExceeded },
	}
	s.topic("t", 1)
	var ms []queue.Message
	for class := range fail {
		ms = append(ms, queue.Message{Topic: "t", Key: []byte(class), Value: []byte(class)})
	}
	s.publish(ms...)
	var mu sync.Mutex
	count := map[string]int{}
	s.consume(s.failing(atOnce(attempts)), func(_ context.Context, d *queue.Delivery) error {
		mu.Lock()
		count[string(d.Value)]++
		n := count[string(d.Value)]
		mu.Unlock()
		if d.Attempt != n {
			s.Errorf("%s: attempt %d is called %d", d.Value, n, d.Attempt)
		}
		if n > 1 && s.can(queue.CanCountAttempts) && (d.FirstFailed.IsZero() || d.LastError == "") {
			s.Errorf("%s: attempt %d failed first at %v, last with %q", d.Value, n, d.FirstFailed, d.LastError)
		}
		return fail[string(d.Value)]()
	})
	s.idle("g")
	for class := range fail {
		if count[class] != attempts {
			s.Errorf("%s: %d attempts, want %d", class, count[class], attempts)
		}
	}
	s.untilBuried(len(fail))
	_, failed := s.log.told()
	if len(failed) != len(fail)*(attempts-1) {
		s.Errorf("told of %d failures that others follow, want %d", len(failed), len(fail)*(attempts-1))
	}
	for _, e := range s.buried() {
		if e.Group != "g" || e.Topic != "t.dead" || e.Attempts != attempts || e.Err == nil {
			s.Errorf("told of %+v", e)
		}
	}
}

// untilBuried waits until so many were told: that comes behind the step.
func (s *stage) untilBuried(n int) {
	s.Helper()
	for end := s.within(); ; time.Sleep(time.Millisecond) {
		if told, _ := s.log.ends(); len(told) >= n || end.Err() != nil {
			if len(told) != n {
				s.Errorf("told of %d dead letters, want %d", len(told), n)
			}
			return
		}
	}
}

func failurePermanent(s *stage) {
	s.topic("t", 1)
	s.publish(queue.Message{Topic: "t", Value: []byte("0")}, queue.Message{Topic: "t", Value: []byte("1")})
	attempts := make(chan int, 100)
	g := s.failing(queue.Failure{Classify: func(err error) (retry.Class, time.Duration) {
		if errors.Is(err, errAgain) {
			return retry.ClassPermanent, 0
		}
		return retry.Classify(err)
	}})
	s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		attempts <- d.Attempt
		if string(d.Value) == "0" {
			return retry.Permanent(errors.New("no such customer"))
		}
		return errAgain
	})
	s.idle("g")
	s.untilBuried(2)
	if len(attempts) != 2 {
		s.Errorf("%d attempts of two messages whose failures are permanent", len(attempts))
	}
}

func failureAfter(s *stage) {
	s.topic("t", 1)
	s.fill("t", 1, 0)
	var began []time.Time
	s.consume(s.failing(queue.Failure{}), func(_ context.Context, d *queue.Delivery) error {
		began = append(began, time.Now())
		if d.Attempt == 1 {
			return retry.After(17*time.Second, errAgain)
		}
		return nil
	})
	s.idle("g")
	if len(began) != 2 || began[1].Sub(began[0]) != 17*time.Second {
		s.Errorf("attempts at %v, want two, 17s apart", began)
	}
}

// failureDelays has two messages fail to the end: their delays keep within the bounds, and are not the same.
func failureDelays(s *stage) {
	s.topic("t", 1)
	s.publish(queue.Message{Topic: "t", Key: []byte("a"), Value: []byte("0")}, queue.Message{Topic: "t", Key: []byte("b"), Value: []byte("1")})
	began := map[string][]time.Time{}
	var mu sync.Mutex
	g := s.failing(queue.Failure{Exhausted: queue.Discard})
	s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		began[string(d.Value)] = append(began[string(d.Value)], time.Now())
		return errAgain
	})
	s.idle("g")
	var waits [2][]time.Duration
	for i := range waits {
		at := began[fmt.Sprint(i)]
		if len(at) != 8 {
			s.Fatalf("%d attempts, want 8", len(at))
		}
		for k := range at[1:] {
			waits[i] = append(waits[i], at[k+1].Sub(at[k]))
			if most := 100 * time.Millisecond << k; waits[i][k] > most && g.Order != queue.ByPartition {
				s.Errorf("attempt %d came after %v, want %v at most", k+2, waits[i][k], most)
			}
		}
	}
	if slices.Equal(waits[0], waits[1]) {
		s.Errorf("both messages waited %v", waits[0])
	}
}

func failureDiscards(s *stage) {
	s.topic("t", 1)
	s.fill("t", 3, 3)
	g := s.failing(atOnce(2))
	g.Failure.Exhausted = queue.Discard
	r := s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		if string(d.Value) == "1" {
			return errAgain
		}
		return nil
	})
	s.idle("g")
	r.stop()
	buried, discarded := s.log.ends()
	if len(buried) != 0 || len(discarded) != 1 || discarded[0].Attempts != 2 || !errors.Is(discarded[0].Err, errAgain) || discarded[0].Group != "g" {
		s.Errorf("told of %+v and %+v, want one that was discarded", buried, discarded)
	}
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	if n := len(c.got()); n != 0 {
		s.Errorf("%d messages came again", n)
	}
}

func failureStops(s *stage) {
	s.topic("t", 1)
	s.fill("t", 1, 0)
	g := s.failing(atOnce(2))
	g.Failure.Exhausted = queue.StopGroup
	for range 3 { // it is tried once more each time
		err := s.consume(g, func(context.Context, *queue.Delivery) error { return errAgain }).result()
		s.wantError("Consume", err, errAgain)
	}
	mended := make(chan int, 1)
	r := s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		mended <- d.Attempt
		return nil
	})
	if n := await(s, mended, "the message that stopped the group"); n != 2 {
		s.Errorf("it came at attempt %d, want its last, 2", n)
	}
	s.idle("g")
	r.stop()
	if buried, discarded := s.log.ends(); len(buried)+len(discarded) != 0 {
		s.Errorf("told of %v and %v", buried, discarded)
	}
}

func failureInBatch(s *stage) {
	const n = 30
	s.topic("t", 1)
	s.fill("t", n, n)
	g := s.failing(atOnce(2))
	g.Batch = queue.Batch{Messages: 7}
	b := s.broker
	var mu sync.Mutex
	count := map[string]int{}
	r := s.start(func(ctx context.Context) error {
		return b.ConsumeBatch(ctx, g, func(_ context.Context, ds []*queue.Delivery) []error {
			errs := make([]error, len(ds))
			mu.Lock()
			defer mu.Unlock()
			for i, d := range ds {
				if strings.HasSuffix(string(d.Value), "3") {
					count[string(d.Value)]++
					errs[i] = errAgain
				}
			}
			return errs
		})
	})
	s.idle("g")
	r.stop()
	s.untilBuried(n / 10)
	for v, k := range count {
		if k != 2 {
			s.Errorf("message %s was tried %d times, want twice", v, k)
		}
	}
}

func followersPass(s *stage)   { pass(s, queue.ByKey) }
func partitionPasses(s *stage) { pass(s, queue.ByPartition) }

// pass has the first message of a lane fail until all others are done.
func pass(s *stage, o queue.Order) {
	const n = 20
	s.topic("t", 1)
	s.fill("t", n, 1)
	var mu sync.Mutex
	var done []string
	f := endless
	f.WhileRetry = queue.PassKey
	s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 3, Failure: f}, func(_ context.Context, d *queue.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		if string(d.Value) == "0" && len(done) < n-1 {
			return errAgain
		}
		done = append(done, string(d.Value))
		return nil
	})
	s.idle("g")
	for i, v := range done {
		if want := fmt.Sprint((i + 1) % n); v != want {
			s.Fatalf("done in the order %v", done)
		}
	}
	if len(done) != n {
		s.Errorf("%d messages are done, want %d", len(done), n)
	}
}

func passedKeepsItsKey(s *stage) {
	const n, keys = 200, 3
	s.topic("t", 2)
	s.fill("t", n, keys)
	var mu sync.Mutex
	running, done := map[string]bool{}, map[string]bool{}
	f := queue.Failure{Retry: retry.Policy{First: time.Millisecond, Max: 2 * time.Millisecond, MaxAttempts: -1}, WhileRetry: queue.PassKey}
	chance := s.dice()
	s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Concurrency: 8, Failure: f}, func(_ context.Context, d *queue.Delivery) error {
		key := string(d.Key)
		mu.Lock()
		if running[key] || done[string(d.Value)] {
			s.Errorf("%s of key %s: running %v, done before %v", d.Value, key, running[key], done[string(d.Value)])
		}
		running[key] = true
		mu.Unlock()
		s.dawdle(chance)
		mu.Lock()
		defer mu.Unlock()
		running[key] = false
		if chance.n(3) == 0 {
			return errAgain
		}
		done[string(d.Value)] = true
		return nil
	})
	s.idle("g")
	if len(done) != n {
		s.Errorf("%d messages are done, want %d", len(done), n)
	}
}

func passAfterRestart(s *stage) {
	s.topic("t", 1)
	s.fill("t", 3, 1)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Concurrency: 1, Failure: queue.Failure{Retry: retry.Constant(time.Hour), WhileRetry: queue.PassKey}}
	done := make(chan string, 10)
	h := func(_ context.Context, d *queue.Delivery) error {
		if string(d.Value) == "0" {
			return errAgain
		}
		done <- string(d.Value)
		return nil
	}
	r := s.consume(g, h)
	for _, want := range []string{"1", "2"} {
		if v := await(s, done, "a follower"); v != want {
			s.Errorf("%s is done, want %s", v, want)
		}
	}
	r.stop()
	s.restart()
	s.publish(queue.Message{Topic: "t", Key: keyOf(0), Value: []byte("3")})
	s.consume(g, h)
	if v := await(s, done, "a follower after the restart"); v != "3" {
		s.Errorf("%s is done, want 3", v)
	}
	s.wantBusy("g", "retry")
}

func attemptsGoOn(s *stage) {
	const attempts = 6
	s.topic("t", 1)
	s.fill("t", 1, 0)
	g := s.failing(queue.Failure{Retry: retry.Constant(time.Millisecond), MaxAttempts: attempts})
	count := 0
	for count < attempts {
		tried := make(chan struct{}, attempts)
		r := s.consume(g, func(_ context.Context, d *queue.Delivery) error {
			if count++; d.Attempt != count {
				s.Errorf("attempt %d is called %d", count, d.Attempt)
			}
			tried <- struct{}{}
			return errAgain
		})
		await(s, tried, "an attempt")
		r.stop()
		s.restart()
	}
	r := s.consume(g, finish)
	s.idle("g")
	r.stop()
	if count != attempts {
		s.Errorf("%d attempts, want %d", count, attempts)
	}
	s.untilBuried(1)
}

// noAttemptLeft allows fewer attempts after a restart than there were before.
func noAttemptLeft(s *stage) {
	s.topic("t", 1)
	s.fill("t", 2, 1)
	tried := make(chan struct{}, 100)
	g := s.failing(queue.Failure{Retry: retry.Listed(0, 0, 50*time.Millisecond), MaxAttempts: 100})
	g.Concurrency = 1
	r := s.consume(g, func(context.Context, *queue.Delivery) error {
		tried <- struct{}{}
		return errAgain
	})
	for range 3 {
		await(s, tried, "an attempt")
	}
	r.stop()
	s.restart()
	g.Failure = atOnce(2)
	s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		if d.Attempt > 2 {
			s.Errorf("attempt %d, though two are all", d.Attempt)
		}
		return nil
	})
	s.idle("g")
	told, _ := s.log.ends()
	if len(told) == 0 || told[0].Attempts < 3 && g.Order != queue.Unordered {
		s.Errorf("told of dead letters %+v, want one of three attempts", told)
	}
}

// stopBuriesNothing stops members that work, again and again, with handlers that are cut off: each message would have one attempt.
func stopBuriesNothing(s *stage) {
	const workers = 4
	runs := s.sized(100, 100, 300)
	s.drain = time.Millisecond
	s.broker = s.open(s.drain)
	s.topic("t", 3)
	s.topic("t.dead", 1)
	g := s.failing(queue.Failure{MaxAttempts: 1})
	g.Concurrency = workers
	chance := s.dice()
	for i := range runs {
		s.fill("t", workers, 0)
		began := make(chan struct{}, 1000)
		r := s.consume(g, func(ctx context.Context, d *queue.Delivery) error {
			if d.Attempt != 1 {
				s.Errorf("attempt %d", d.Attempt)
			}
			began <- struct{}{}
			<-ctx.Done()
			if chance.n(2) == 0 {
				panic(ctx.Err())
			}
			return retry.Permanent(ctx.Err())
		})
		await(s, began, "a handler")
		r.stop()
		if s.harness.Restart != nil && i%10 == 9 {
			s.restart()
		}
	}
	var mu sync.Mutex
	done := map[queue.Position]int{}
	s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		if done[d.Position]++; d.Attempt != 1 {
			s.Errorf("attempt %d after stops alone", d.Attempt)
		}
		return nil
	})
	s.idle("g")
	if len(done) != runs*workers {
		s.Errorf("%d messages are done, want %d", len(done), runs*workers)
	}
	if buried, discarded := s.log.ends(); len(buried)+len(discarded) != 0 {
		s.Errorf("told of %d dead letters", len(buried))
	}
	if s.can(queue.CanRead) {
		if n := len(s.records("t.dead")); n != 0 {
			s.Errorf("%d dead letters of %d messages that our own stop cut off", n, runs*workers)
		}
	}
}
