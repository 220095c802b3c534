package queuetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/leatmq/leat/queue"
)

func commitCases() []testCase {
	commit, claim := []queue.Feature{queue.CanCommit, queue.CanRead}, []queue.Feature{queue.CanClaim}
	return []testCase{
		{name: "OutputsCommitWithTheirMessage", needs: commit, run: outputsCommit},
		{name: "OutputsOfFailedAttemptsAreForgotten", needs: commit, run: outputsForgotten},
		{name: "OutputsOfABatchCommit", needs: commit, run: outputsOfBatch},
		{name: "OutputsKeepTheOrderOfTheirKeys", needs: append(commit, queue.CanOrderByKey), run: outputsInOrder},
		{name: "OutputsThatCannotBeStoredAreRefused", needs: commit, run: outputsRefused},
		{name: "OutputsOfOneMessageDoNotFailTheOthers", needs: append(commit, queue.CanShare), run: outputsAlone, asks: asksTopics},
		{name: "OutputsAreThereAfterARestart", needs: commit, run: outputsRestart, asks: asksRestart},
		{name: "AtMostOnceNeverRepeats", needs: claim, run: atMostOnce},
		{name: "AtMostOnceIsDoneBeforeItIsWorkedOn", needs: claim, run: claimedBefore, asks: asksRestart},
		{name: "AtMostOnceKeepsLanes", needs: append(claim, queue.CanOrderByKey), run: claimedLanes},
		{name: "MembersShareTheGuarantee", needs: commit, run: guaranteeShared},
	}
}

// exactly is a group that hands on from t.
func (s *stage) exactly() queue.Group {
	return queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 4, Guarantee: queue.ExactlyOnce}
}

// handOn publishes the value of d to out.
func handOn(d *queue.Delivery) error {
	return d.Publish(queue.Message{Topic: "out", Key: d.Key, Value: d.Value})
}

// wantEach wants topic to hold each of n values once.
func (s *stage) wantEach(topic string, n int) {
	s.Helper()
	seen := map[string]int{}
	for _, r := range s.records(topic) {
		seen[string(r.Value)]++
	}
	for i := range n {
		if k := seen[fmt.Sprint(i)]; k != 1 {
			s.Errorf("value %d is %d times in %q, want once", i, k, topic)
		}
	}
	if len(seen) != n {
		s.Errorf("%d values in %q, want %d", len(seen), topic, n)
	}
}

func outputsCommit(s *stage) {
	const n = 200
	s.topic("t", 3)
	s.topic("out", 2)
	s.fill("t", n, 7)
	for _, g := range []queue.Guarantee{queue.ExactlyOnce, queue.AtLeastOnce} {
		group := s.exactly()
		group.Name, group.Guarantee = g.String(), g
		out := "out"
		if g == queue.AtLeastOnce {
			out = "other"
			s.topic("other", 1)
		}
		r := s.consume(group, func(_ context.Context, d *queue.Delivery) error {
			value := []byte(string(d.Value))
			if err := d.Publish(queue.Message{Topic: out, Value: value}); err != nil {
				return err
			}
			clear(value) // it was copied
			if n := len(d.Published()); n != 1 {
				return fmt.Errorf("%d messages published, want 1", n)
			}
			return nil
		})
		s.idle(group.Name)
		r.stop()
		s.wantEach(out, n)
	}
}

func outputsForgotten(s *stage) {
	s.topic("t", 1)
	s.topic("out", 1)
	s.fill("t", 3, 0)
	var mu sync.Mutex
	attempts := map[string]int{}
	r := s.consume(s.exactly(), func(_ context.Context, d *queue.Delivery) error {
		if err := handOn(d); err != nil {
			return err
		}
		mu.Lock()
		attempts[string(d.Value)]++
		n := attempts[string(d.Value)]
		mu.Unlock()
		if n == 1 {
			switch string(d.Value) {
			case "0":
				return errAgain
			case "1":
				panic("in a handler that published")
			}
		}
		return nil
	})
	s.idle("g")
	r.stop()
	s.wantEach("out", 3)
}

func outputsOfBatch(s *stage) {
	const n = 50
	s.topic("t", 2)
	s.topic("out", 2)
	s.fill("t", n, 5)
	g := s.exactly()
	g.Batch = queue.Batch{Messages: 8}
	b := s.broker
	var failed atomic.Bool
	r := s.start(func(ctx context.Context) error {
		return b.ConsumeBatch(ctx, g, func(_ context.Context, ds []*queue.Delivery) []error {
			errs := make([]error, len(ds))
			for i, d := range ds {
				if errs[i] = handOn(d); i == len(ds)/2 && !failed.Swap(true) {
					errs[i] = errAgain
				}
			}
			return errs
		})
	})
	s.idle("g")
	r.stop()
	s.wantEach("out", n)
}

func outputsInOrder(s *stage) {
	const n, keys = 300, 5
	s.topic("t", 2)
	s.topic("out", 1)
	s.fill("t", n, keys)
	g := s.exactly()
	g.Order, g.Concurrency = queue.ByKey, 8
	r := s.consume(g, func(_ context.Context, d *queue.Delivery) error { return handOn(d) })
	s.idle("g")
	r.stop()
	s.wantEach("out", n)
	last := map[string]int{}
	for _, rec := range s.records("out") {
		var v int
		fmt.Sscan(string(rec.Value), &v)
		if before, ok := last[string(rec.Key)]; ok && v < before {
			s.Errorf("key %s: %d behind %d", rec.Key, v, before)
		}
		last[string(rec.Key)] = v
	}
}

func outputsRefused(s *stage) {
	s.topic("t", 1)
	s.topic("out", 1)
	if err := s.broker.EnsureTopic(s.within(), "small", queue.TopicConfig{MaxBytes: 10}); err != nil {
		s.Fatal(err)
	}
	s.fill("t", 1, 0)
	errs := make(chan error, 10)
	r := s.consume(s.exactly(), func(_ context.Context, d *queue.Delivery) error {
		ok := queue.Message{Topic: "out", Value: []byte("0")}
		errs <- d.Publish(ok, queue.Message{Topic: "nowhere"})
		errs <- d.Publish(ok, queue.Message{Topic: "out", Partition: queue.PinTo(1)})
		errs <- d.Publish(ok, queue.Message{Topic: "small", Value: make([]byte, 11)})
		errs <- d.Publish(ok, queue.Message{Topic: "out", Headers: queue.Headers{}.With("leat-x", "")})
		if n := len(d.Published()); n != 0 {
			s.Errorf("%d messages published, want none", n)
		}
		var err error
		for n := 0; err == nil && n < 100; n++ {
			err = d.Publish(queue.Message{Topic: "small", Value: []byte(strings.Repeat("x", 10))}, queue.Message{Topic: "out", Value: make([]byte, 1<<20-10)})
		}
		errs <- err
		return errAgain
	})
	s.wantError("unknown topic", await(s, errs, "an error"), queue.ErrNotFound)
	s.wantError("unknown partition", await(s, errs, "an error"), queue.ErrNotFound)
	s.wantError("too large", await(s, errs, "an error"), queue.ErrTooLarge)
	s.wantFault("reserved header", await(s, errs, "an error"), "Headers")
	s.wantError("too much", await(s, errs, "an error"), queue.ErrTooLarge)
	r.stop()
	if n := len(s.records("out")); n != 0 {
		s.Errorf("%d records, want none", n)
	}
}

// outputsAlone has the topic of one output deleted while its handler runs: that one fails, the others commit.
func outputsAlone(s *stage) {
	s.topic("t", 1)
	s.topic("out", 1)
	s.topic("gone", 1)
	s.fill("t", 3, 0)
	g := s.exactly()
	g.Order, g.Batch = queue.Unordered, queue.Batch{Messages: 3}
	b := s.broker
	failed := make(chan string, 100)
	r := s.start(func(ctx context.Context) error {
		return b.ConsumeBatch(ctx, g, func(_ context.Context, ds []*queue.Delivery) []error {
			errs := make([]error, len(ds))
			for i, d := range ds {
				switch {
				case d.Attempt > 1:
					failed <- string(d.Value)
				case string(d.Value) == "1":
					errs[i] = errors.Join(handOn(d), d.Publish(queue.Message{Topic: "gone"}))
				default:
					errs[i] = handOn(d)
				}
			}
			for _, d := range ds {
				if d.Attempt == 1 && string(d.Value) == "1" {
					s.deleteTopic("gone")
				}
			}
			return errs
		})
	})
	if v := await(s, failed, "the failed attempt"); v != "1" {
		s.Errorf("value %s failed, want 1", v)
	}
	s.idle("g")
	r.stop()
	got := map[string]bool{}
	for _, rec := range s.records("out") {
		got[string(rec.Value)] = true
	}
	if len(got) != 2 || got["1"] {
		s.Errorf("got %v, want 0 and 2", got)
	}
}

func outputsRestart(s *stage) {
	const n = 40
	s.topic("t", 2)
	s.topic("out", 1)
	s.fill("t", n, 3)
	half := make(chan struct{})
	var count atomic.Int64
	r := s.consume(s.exactly(), func(_ context.Context, d *queue.Delivery) error {
		if count.Add(1) == n/2 {
			close(half)
		}
		return handOn(d)
	})
	await(s, half, "half of the messages")
	r.stop()
	s.restart()
	r = s.consume(s.exactly(), func(_ context.Context, d *queue.Delivery) error { return handOn(d) })
	s.idle("g")
	r.stop()
	s.wantEach("out", n)
}

func atMostOnce(s *stage) {
	const n = 100
	s.topic("t", 2)
	s.fill("t", n, 5)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 4, Guarantee: queue.AtMostOnce}
	var mu sync.Mutex
	seen := map[string]int{}
	r := s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		seen[string(d.Value)]++
		switch seen[string(d.Value)] % 3 {
		case 0:
			panic("failing")
		case 1:
			return errAgain
		}
		return nil
	})
	s.idle("g")
	r.stop()
	if len(seen) != n {
		s.Errorf("%d messages came, want %d", len(seen), n)
	}
	for v, k := range seen {
		if k != 1 {
			s.Errorf("value %s came %d times", v, k)
		}
	}
}

// claimedBefore stops while a handler runs, in a way that gives its message back.
func claimedBefore(s *stage) {
	s.topic("t", 1)
	s.fill("t", 1, 0)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Guarantee: queue.AtMostOnce}
	began := make(chan struct{}, 10)
	s.consume(g, func(ctx context.Context, _ *queue.Delivery) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	await(s, began, "the handler")
	s.drain = 1
	s.hurry()
	s.restart()
	s.publish(queue.Message{Topic: "t", Value: []byte("next")})
	c := s.collect(g)
	s.idle("g")
	c.stop()
	if got := c.got(); len(got) != 1 || string(got[0].Value) != "next" {
		s.Errorf("got %d messages, want the next one alone", len(got))
	}
}

// hurry closes the broker without patience for handlers.
func (s *stage) hurry() {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.broker.Shutdown(ctx); err != nil {
		s.Fatal(err)
	}
}

func claimedLanes(s *stage) {
	const n, keys = 200, 4
	s.topic("t", 2)
	s.fill("t", n, keys)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Concurrency: 8, Guarantee: queue.AtMostOnce}
	var mu sync.Mutex
	running, last := map[string]bool{}, map[string]int{}
	r := s.consume(g, func(_ context.Context, d *queue.Delivery) error {
		var v int
		fmt.Sscan(string(d.Value), &v)
		key := string(d.Key)
		mu.Lock()
		if running[key] {
			s.Errorf("two of key %s at once", key)
		}
		if before, ok := last[key]; ok && v < before {
			s.Errorf("key %s: %d behind %d", key, v, before)
		}
		running[key], last[key] = true, v
		mu.Unlock()
		runtime.Gosched()
		mu.Lock()
		running[key] = false
		mu.Unlock()
		if v%7 == 0 {
			return errAgain
		}
		return nil
	})
	s.idle("g")
	r.stop()
}

func guaranteeShared(s *stage) {
	s.topic("t", 1)
	g := s.exactly()
	s.consume(g, finish)
	s.idle("g")
	g.Guarantee = queue.AtLeastOnce
	s.wantFault("another guarantee", s.broker.Consume(s.within(), g, finish), "Guarantee")
}
