package queuetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

func batchHandlerCases() []testCase {
	partition := []queue.Feature{queue.CanOrderByPartition}
	return []testCase{
		{name: "BatchesHoldWhatTheyMay", run: batchBounds},
		{name: "BatchResultsCountOneByOne", run: batchResults, needs: partition},
		{name: "BatchFailsBehindAFailureOfItsKey", run: batchKeys, needs: []queue.Feature{queue.CanOrderByKey}},
		{name: "BatchOfAWrongNumberOfResultsFails", run: batchWrongLength},
		{name: "BatchWaitsForMore", run: batchWaits, asks: asksBubble},
	}
}

func (s *stage) consumeBatch(g queue.Group, h queue.BatchHandler) *running {
	b := s.broker
	return s.start(func(ctx context.Context) error { return b.ConsumeBatch(ctx, g, h) })
}

func batchBounds(s *stage) {
	const size, most, bytes = 100, 7, 450
	s.topic("t", 1)
	ms := make([]queue.Message, 60)
	for i := range ms {
		ms[i] = queue.Message{Topic: "t", Value: make([]byte, size)}
	}
	ms[30].Value = make([]byte, 10*size) // one message always passes
	s.store(ms...)
	for name, b := range map[string]queue.Batch{
		"messages": {Messages: most},
		"bytes":    {Messages: 1000, Bytes: bytes},
	} {
		var mu sync.Mutex
		var got, largest int
		g := queue.Group{Name: name, Topics: []string{"t"}, Order: s.someOrder(), Batch: b}
		r := s.consumeBatch(g, func(_ context.Context, ds []*queue.Delivery) []error {
			mu.Lock()
			defer mu.Unlock()
			got += len(ds)
			largest = max(largest, len(ds))
			total := 0
			for _, d := range ds {
				total += d.Size()
			}
			switch {
			case len(ds) == 0 || len(ds) > b.Messages:
				s.Errorf("%s: %d messages in a batch, want %d at most", name, len(ds), b.Messages)
			case b.Bytes > 0 && total > b.Bytes && len(ds) > 1:
				s.Errorf("%s: %d bytes in a batch of %d messages, want %d at most", name, total, len(ds), b.Bytes)
			}
			return nil
		})
		s.idle(name)
		r.stop()
		if got != len(ms) || largest < 2 {
			s.Errorf("%s: %d messages in batches of up to %d, want %d in batches of several", name, got, largest, len(ms))
		}
	}
}

// batchResults has the third message of a lane fail: what was before it is done, and what was behind it comes again, uncounted.
func batchResults(s *stage) {
	s.topic("t", 1)
	s.fill("t", 6, 0)
	var mu sync.Mutex
	var attempts []string
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.ByPartition, Concurrency: 2, Batch: queue.Batch{Messages: 6}}
	s.consumeBatch(g, func(_ context.Context, ds []*queue.Delivery) []error {
		mu.Lock()
		defer mu.Unlock()
		errs := make([]error, len(ds))
		for i, d := range ds {
			attempts = append(attempts, fmt.Sprintf("%s:%d", d.Value, d.Attempt))
			if string(d.Value) == "2" && d.Attempt == 1 {
				errs[i] = errAgain
			}
		}
		return errs
	})
	s.idle("g")
	mu.Lock()
	defer mu.Unlock()
	want := []string{"0:1", "1:1", "2:1", "3:1", "4:1", "5:1", "2:2", "3:1", "4:1", "5:1"}
	if !slices.Equal(attempts, want) {
		s.Errorf("attempts %v, want %v", attempts, want)
	}
}

// batchKeys has one key fail within batches of several keys.
func batchKeys(s *stage) {
	const keys, each = 3, 4
	s.topic("t", 1)
	s.fill("t", keys*each, keys)
	var mu sync.Mutex
	last, again := map[string]int{}, 0
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.ByKey, Concurrency: 1, Batch: queue.Batch{Messages: keys * each}}
	s.consumeBatch(g, func(_ context.Context, ds []*queue.Delivery) []error {
		mu.Lock()
		defer mu.Unlock()
		errs := make([]error, len(ds))
		held := map[string]bool{}
		for i, d := range ds {
			var n int
			if _, err := fmt.Sscan(string(d.Value), &n); err != nil {
				s.Error(err)
			}
			key := string(d.Key)
			if n == 3 && d.Attempt == 1 { // the second of the first key
				errs[i], held[key] = errAgain, true
				again++
			}
			switch before, ok := last[key]; {
			case held[key]: // it does not count
			case ok && n != before+keys:
				s.Errorf("key %s: message %d after %d", key, n, before)
				fallthrough
			default:
				last[key] = n
			}
		}
		return errs
	})
	s.idle("g")
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(last) != "map[key-0:9 key-1:10 key-2:11]" || again != 1 {
		s.Errorf("the last of the keys are %v, after %d failures", last, again)
	}
}

func batchWrongLength(s *stage) {
	s.topic("t", 1)
	s.fill("t", 4, 0)
	var mu sync.Mutex
	var first, second int
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1, Batch: queue.Batch{Messages: 4}}
	s.consumeBatch(g, func(_ context.Context, ds []*queue.Delivery) []error {
		mu.Lock()
		defer mu.Unlock()
		for _, d := range ds {
			if d.Attempt == 1 {
				first++
			} else {
				second++
			}
		}
		if ds[0].Attempt == 1 {
			return make([]error, len(ds)+1)
		}
		return nil
	})
	s.idle("g")
	mu.Lock()
	defer mu.Unlock()
	if first < 4 || second != 4 {
		s.Errorf("%d first and %d second attempts of 4 messages", first, second)
	}
}

func batchWaits(s *stage) {
	s.topic("t", 1)
	const wait = 10 * time.Second
	sizes := make(chan int, 10)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1, Batch: queue.Batch{Messages: 5, Wait: wait}}
	s.consumeBatch(g, func(_ context.Context, ds []*queue.Delivery) []error {
		sizes <- len(ds)
		return nil
	})
	began := time.Now()
	for range 3 {
		s.fill("t", 1, 0)
		time.Sleep(time.Second)
	}
	n := await(s, sizes, "a batch")
	if waited := time.Since(began); n != 3 || waited != wait {
		s.Errorf("a batch of %d after %v, want the 3 that came in %v", n, waited, wait)
	}
	began = time.Now()
	s.fill("t", 5, 0)
	if n = await(s, sizes, "a full batch"); n != 5 || time.Since(began) != 0 {
		s.Errorf("a batch of %d after %v, want the 5 at once", n, time.Since(began))
	}
}
