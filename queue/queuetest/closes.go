package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/leatmq/leat/queue"
)

func closeCases() []testCase {
	return []testCase{
		{name: "ClosedBrokersSayErrClosed", run: closedEverywhere},
		{name: "CloseEndsThoseThatWait", run: closeWaiters},
		{name: "CloseRacesWithEverything", run: closeRaces},
	}
}

func closedEverywhere(s *stage) {
	s.topic("t", 1)
	b := s.broker
	if err := b.Close(); err != nil {
		s.Fatal(err)
	}
	ctx := s.within()
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
	m := queue.Message{Topic: "t"}
	for name, call := range map[string]func() error{
		"EnsureTopic":  func() error { return b.EnsureTopic(ctx, "t", queue.TopicConfig{}) },
		"Publish":      func() error { _, err := b.Publish(ctx, m); return err },
		"PublishBatch": func() error { _, err := b.PublishBatch(ctx, m); return err },
		"Consume":      func() error { return b.Consume(ctx, g, finish) },
		"ConsumeBatch": func() error {
			return b.ConsumeBatch(ctx, g, func(context.Context, []*queue.Delivery) []error { return nil })
		},
		"WaitIdle": func() error { return b.WaitIdle(ctx, "g") },
	} {
		s.wantError(name, call(), queue.ErrClosed)
	}
	if s.can(queue.CanRead) {
		var err error
		for _, err = range b.Read(ctx, queue.Range{Topic: "t"}) {
		}
		s.wantError("Read", err, queue.ErrClosed)
	}
	b.Stats()
	if err := b.Close(); err != nil {
		s.Errorf("Close again: %v", err)
	}
	if err := b.Shutdown(ctx); err != nil {
		s.Errorf("Shutdown after Close: %v", err)
	}
}

func closeWaiters(s *stage) {
	s.topic("t", 1)
	b := s.broker
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.fill("t", 1, 0)
	s.idle("g") // the member waits for more from here on
	waits := map[string]func(ctx context.Context) error{
		"WaitIdle": func(ctx context.Context) error { return b.WaitIdle(ctx, "nobody") },
	}
	if s.can(queue.CanRead) {
		waits["Read"] = func(ctx context.Context) (err error) {
			for _, err = range b.Read(ctx, queue.Range{Topic: "t", Follow: true}) {
			}
			return err
		}
	}
	ended := map[string]*running{}
	for name, wait := range waits {
		ended[name] = s.start(wait)
	}
	s.quiet()
	if err := b.Close(); err != nil {
		s.Fatal(err)
	}
	s.wantError("Consume", c.result(), queue.ErrClosed)
	for name, r := range ended {
		s.wantError(name, r.result(), queue.ErrClosed)
	}
}

// closeRaces has a hundred goroutines do everything that there is while the broker is closed, three times over.
func closeRaces(s *stage) {
	for range s.sized(2, 10, 100) {
		s.broker = s.open(0)
		s.closeRace()
	}
}

func (s *stage) closeRace() {
	const goroutines, partitions, before = 100, 4, 150
	s.topic("t", partitions)
	o := s.someOrder()
	d := s.detect(o)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 2}
	var mu sync.Mutex
	acked, unsure := map[queue.Position]string{}, map[string]bool{}
	var count atomic.Int64
	enough := make(chan struct{})
	b, ctx := s.broker, s.within()
	publish := func(who int) error {
		for i := 0; ; i++ {
			m := queue.Message{Topic: "t", Key: keyOf(who), Value: fmt.Appendf(nil, "%d/%d", who, i)}
			r, err := b.Publish(ctx, m)
			mu.Lock()
			switch {
			case err == nil:
				acked[r.Position] = string(m.Value)
			case errors.Is(err, queue.ErrIndeterminate):
				unsure[string(m.Value)] = true
			}
			mu.Unlock()
			if err != nil {
				return err
			}
			if count.Add(1) == before {
				close(enough)
			}
		}
	}
	others := []func() error{
		func() error { return b.Consume(ctx, g, d.watch(finish)) },
		func() error { return b.Consume(ctx, g, d.watch(finish)) },
		func() error { return b.WaitIdle(ctx, "g", "nobody") },
		func() error {
			for {
				b.Stats()
				if err := b.EnsureTopic(ctx, "t", queue.TopicConfig{Partitions: partitions}); err != nil {
					return err
				}
			}
		},
		func() error {
			if !s.can(queue.CanRead) {
				return queue.ErrClosed
			}
			for _, err := range b.Read(ctx, queue.Range{Topic: "t", Follow: true}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			do := func() error { return publish(i) }
			if i%2 == 1 {
				do = others[i/2%len(others)]
			}
			if err := do(); !errors.Is(err, queue.ErrClosed) && !errors.Is(err, queue.ErrIndeterminate) {
				s.Errorf("goroutine %d ended with %v, want ErrClosed", i, err)
			}
		})
	}
	await(s, enough, "publishes")
	for range 3 {
		all.Go(func() {
			if err := b.Close(); err != nil {
				s.Errorf("Close: %v", err)
			}
		})
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		all.Wait()
	}()
	await(s, finished, "the end of all after Close")
	if s.harness.Restart != nil {
		s.restart()
		s.afterRace(g, d, acked, unsure)
	}
}

// afterRace wants what was acknowledged to be there, and each message done once, before the restart or after it.
func (s *stage) afterRace(g queue.Group, d *detector, acked map[queue.Position]string, unsure map[string]bool) {
	s.consume(g, d.watch(finish))
	s.idle(g.Name)
	stored := s.delivered("t")
	for _, x := range stored {
		switch value, ok := acked[x.Position]; {
		case ok && value != string(x.Value):
			s.Errorf("%s holds %q, the receipt was for %q", x.Position, x.Value, value)
		case !ok && !unsure[string(x.Value)]:
			s.Errorf("%s holds %q, whose publish failed", x.Position, x.Value)
		}
		delete(acked, x.Position)
	}
	if len(acked) > 0 {
		s.Errorf("%d acknowledged messages are lost: %v", len(acked), acked)
	}
	if got := d.doneCount(); got != len(stored) {
		s.Errorf("%d messages were done, %d are stored", got, len(stored))
	}
}
