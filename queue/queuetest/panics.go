package queuetest

import (
	"context"
	"errors"
	"runtime"

	"github.com/leatmq/leat/queue"
)

func panicCases() []testCase {
	return []testCase{
		{name: "PanicsAndGoexitAreFailedAttempts", run: panics},
		{name: "PanicsOfBatchHandlersFailTheBatch", run: batchPanics},
	}
}

func panics(s *stage) {
	s.topic("t", 4)
	for i, how := range []string{"error", "string", "nil", "goexit"} {
		s.publish(queue.Message{Topic: "t", Key: []byte(how), Value: []byte(how), Partition: queue.PinTo(i)})
	}
	o := s.someOrder()
	d := s.detect(o)
	s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 1}, d.watch(func(_ context.Context, x *queue.Delivery) error {
		if x.Attempt > 2 {
			return nil
		}
		switch string(x.Value) {
		case "error":
			panic(errAgain)
		case "string":
			panic("a string")
		case "nil":
			panic(nil)
		}
		runtime.Goexit()
		return nil
	}))
	s.idle("g")
	if got := d.doneCount(); got != 4 {
		s.Errorf("%d messages are done at their third attempt, want 4", got)
	}
	if got := s.broker.Stats().Panics; got != 8 {
		s.Errorf("%d panics are counted, want 8", got)
	}
	_, failed := s.log.told()
	if len(failed) != 8 {
		s.Errorf("told of %d failures, want 8", len(failed))
	}
	ours := 0
	for _, f := range failed {
		var p *queue.PanicError
		switch {
		case f.Err == nil:
			s.Errorf("%s failed without an error", f.Position)
		case errors.As(f.Err, &p) && len(p.Stack) == 0:
			s.Errorf("%s panicked without a stack", f.Position)
		case errors.Is(f.Err, errAgain):
			ours++
		}
	}
	if ours != 2 {
		s.Errorf("%d failures wrap the error that was panicked with, want 2", ours)
	}
}

func batchPanics(s *stage) {
	s.topic("t", 1)
	s.fill("t", 5, 0)
	counts := make(chan int, 100)
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 1, Batch: queue.Batch{Messages: 5}}
	s.consumeBatch(g, func(_ context.Context, ds []*queue.Delivery) []error {
		for _, d := range ds {
			switch {
			case d.Attempt == 1:
				panic("first")
			case d.Attempt == 2:
				runtime.Goexit()
			}
		}
		counts <- len(ds)
		return nil
	})
	s.idle("g")
	close(counts)
	total := 0
	for n := range counts {
		total += n
	}
	if total != 5 {
		s.Errorf("%d messages were done at last, want 5", total)
	}
}
