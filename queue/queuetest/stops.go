package queuetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

func stopCases() []testCase {
	return []testCase{
		{name: "StopLetsHandlersFinish", run: stopInPeace},
		{name: "StopEndsTheIntake", run: stopIntake},
		{name: "StopCancelsHandlersAfterTheDrainTime", run: stopDrained},
		{name: "StopUnderLoad", run: stopUnderLoad},
		{name: "CloseLetsHandlersFinish", run: closeInPeace},
		{name: "ShutdownInAHurry", run: shutdownHurried},
	}
}

// quiet lets pass what happens by itself, where that costs nothing. Elsewhere cases see less, and nothing wrong.
func (s *stage) quiet() {
	if s.harness.Bubble {
		time.Sleep(time.Second)
	}
}

func stopInPeace(s *stage) {
	s.topic("t", 1)
	s.fill("t", 1, 0)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
	h := s.hold()
	r := s.consumeHeld(g, h)
	await(s, h.arrived, "a handler")
	r.end()
	s.quiet()
	select {
	case err := <-r.ended:
		s.Fatalf("Consume returned %v while a handler ran", err)
	default:
	}
	h.free() // it fails if its context has ended
	if err := r.result(); err != nil {
		s.Errorf("Consume: %v, want nil", err)
	}
	c := s.collect(g)
	s.idle("g")
	if got := c.got(); len(got) != 0 {
		s.Errorf("a message whose handler finished during the stop came again, attempt %d", got[0].Attempt)
	}
}

func stopIntake(s *stage) {
	const partitions = 4
	s.topic("t", partitions)
	s.spreadOut(100, partitions, 10)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 2}
	h := s.hold()
	r := s.consumeHeld(g, h)
	await(s, h.arrived, "a handler")
	await(s, h.arrived, "another handler")
	r.end()
	s.quiet()
	h.free()
	r.result()
	if more := len(h.arrived); more != 0 {
		s.Errorf("%d messages were handed out after the stop", more)
	}
	c := s.collect(g)
	s.idle("g")
	if got := len(c.got()); got != 98 {
		s.Errorf("%d messages came to the next member, want 98", got)
	}
}

func stopDrained(s *stage) {
	s.broker = s.open(20 * time.Millisecond)
	s.topic("t", 1)
	s.fill("t", 1, 0)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}
	d := s.detect(g.Order)
	arrived := make(chan struct{}, 10)
	for range 3 {
		r := s.consume(g, d.watch(func(ctx context.Context, _ *queue.Delivery) error {
			arrived <- struct{}{}
			<-ctx.Done()
			return fmt.Errorf("cut off: %w", ctx.Err())
		}))
		await(s, arrived, "a handler")
		r.stop()
	}
	s.consume(g, d.watch(finish)) // the detector wants the first attempt
	s.idle("g")
	if _, failed := s.log.told(); len(failed) != 0 {
		s.Errorf("told of failures that our own stop caused: %v", failed)
	}
}

// stopUnderLoad stops members again and again while they work, some of whose handlers do not finish in time. No attempt is counted,
// nothing is lost, and what was done does not come again.
func stopUnderLoad(s *stage) {
	const workers, perRun = 4, 20
	runs := s.sized(100, 100, 300)
	s.drain = time.Millisecond
	s.broker = s.open(s.drain)
	s.topic("t", 3)
	o := s.someOrder()
	d, chance := s.detect(o), s.dice()
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: workers}
	for i := range runs {
		s.fill("t", perRun, 7)
		var mu sync.Mutex
		begun, stuck, last := 0, 0, chance.n(perRun)
		enough := make(chan struct{})
		stop := sync.OnceFunc(func() { close(enough) })
		r := s.consume(g, d.watch(func(ctx context.Context, _ *queue.Delivery) error {
			hangs := chance.n(4) == 0
			mu.Lock()
			begun++
			if hangs {
				stuck++
			}
			if begun >= last || stuck == workers {
				stop()
			}
			mu.Unlock()
			if !hangs {
				return nil
			}
			stop() // else its lane might hold all that is left
			<-ctx.Done()
			return ctx.Err()
		}))
		await(s, enough, "messages")
		r.stop()
		if s.harness.Restart != nil && i%7 == 6 {
			s.restart()
		}
	}
	s.consume(g, d.watch(finish))
	s.idle("g")
	if got := d.doneCount(); got != runs*perRun {
		s.Errorf("%d messages are done, want %d", got, runs*perRun)
	}
	if _, failed := s.log.told(); len(failed) != 0 {
		s.Errorf("told of failures that our own stop caused: %v", failed)
	}
}

func closeInPeace(s *stage) {
	s.topic("t", 1)
	s.topic("u", 1)
	s.fill("t", 1, 0)
	b := s.broker
	h := s.hold()
	r := s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}, func(ctx context.Context, d *queue.Delivery) error {
		if err := h.handle(ctx, d); err != nil {
			s.Error("the handler's context ended though nobody was in a hurry")
		}
		_, err := b.Publish(ctx, queue.Message{Topic: "u"})
		if err != nil {
			s.Errorf("publishing in a handler that finishes during Close: %v", err)
		}
		return err
	})
	s.Cleanup(h.free)
	await(s, h.arrived, "a handler")
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	s.quiet()
	select {
	case err := <-closed:
		s.Fatalf("Close returned %v while a handler ran", err)
	default:
	}
	h.free()
	if err := await(s, closed, "Close"); err != nil {
		s.Errorf("Close: %v", err)
	}
	s.wantError("Consume", r.result(), queue.ErrClosed)
	if s.harness.Restart == nil {
		return
	}
	s.restart()
	c := s.collect(queue.Group{Name: "g", Topics: []string{"t"}})
	s.idle("g")
	if got, published := len(c.got()), len(s.delivered("u")); got != 0 || published != 1 {
		s.Errorf("after Close %d messages came again, and %d of 1 were published", got, published)
	}
}

func shutdownHurried(s *stage) {
	s.topic("t", 1)
	s.fill("t", 1, 0)
	arrived := make(chan struct{}, 1)
	r := s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}, func(ctx context.Context, _ *queue.Delivery) error {
		arrived <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	await(s, arrived, "a handler")
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if err := s.broker.Shutdown(ctx); err != nil {
		s.Errorf("Shutdown, with handlers that heed their context: %v", err)
	}
	s.wantError("Consume", r.result(), queue.ErrClosed)
}
