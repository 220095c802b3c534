package queuetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/leatmq/leat/queue"
)

func boundCases() []testCase {
	return []testCase{
		{name: "ConcurrencyIsTheMostAndIsReached", run: boundConcurrency},
		{name: "InFlightBytesAreBounded", run: boundBytes},
		{name: "InFlightBytesOfBatchesAreBounded", run: boundBatchBytes},
	}
}

// spreadOut stores n messages of that size without keys, in turn over as many partitions as "t" has.
func (s *stage) spreadOut(n, partitions, size int) {
	s.Helper()
	ms := make([]queue.Message, n)
	for i := range ms {
		ms[i] = queue.Message{Topic: "t", Value: make([]byte, size), Partition: queue.PinTo(i % partitions)}
	}
	s.store(ms...)
}

func boundConcurrency(s *stage) {
	const most, partitions = 5, 8
	s.topic("t", partitions)
	s.spreadOut(200, partitions, 10)
	o := s.someOrder()
	d := s.detect(o)
	arrived, open := make(chan struct{}, 300), make(chan struct{})
	s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: most}, d.watch(func(context.Context, *queue.Delivery) error {
		arrived <- struct{}{}
		<-open
		return nil
	}))
	free := sync.OnceFunc(func() { close(open) })
	s.Cleanup(free)
	for i := range most {
		await(s, arrived, fmt.Sprintf("handler %d of %d at the same time", i+1, most))
	}
	s.quiet()
	free()
	s.idle("g")
	if got := d.mostRunning(); got != most {
		s.Errorf("%d handlers ran at the same time, Concurrency is %d", got, most)
	}
}

// scale weighs what is in handlers.
type scale struct {
	mu           sync.Mutex
	weight, most int
	heaviest     int // the most that lay on it beside something else
	things       int
}

func (w *scale) put(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.things++
	w.weight += bytes
	w.most = max(w.most, w.weight)
	if w.things > 1 {
		w.heaviest = max(w.heaviest, w.weight)
	}
}

func (w *scale) take(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.things--
	w.weight -= bytes
}

func boundBytes(s *stage) {
	const bound, size, partitions = 1000, 300, 8
	s.topic("t", partitions)
	s.spreadOut(40, partitions, size)
	s.publish(queue.Message{Topic: "t", Value: make([]byte, 10*bound)}) // one message always passes
	s.spreadOut(40, partitions, size)
	var w scale
	o := s.someOrder()
	d := s.detect(o)
	chance := s.dice()
	s.consume(queue.Group{Name: "g", Topics: []string{"t"}, Order: o, Concurrency: 20, InFlightBytes: bound},
		d.watch(func(_ context.Context, x *queue.Delivery) error {
			w.put(x.Size())
			defer w.take(x.Size())
			s.dawdle(chance)
			return nil
		}))
	s.idle("g")
	if got := d.doneCount(); got != 81 {
		s.Errorf("%d messages are done, want 81", got)
	}
	if w.heaviest > bound || w.most < 10*bound {
		s.Errorf("%d bytes of several messages in handlers, %d of one; the bound is %d for several", w.heaviest, w.most, bound)
	}
}

func boundBatchBytes(s *stage) {
	const bound, size, partitions = 1000, 90, 4
	s.topic("t", partitions)
	s.spreadOut(200, partitions, size)
	var w scale
	g := queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder(), Concurrency: 4, InFlightBytes: bound}
	g.Batch = queue.Batch{Messages: 7}
	chance := s.dice()
	s.consumeBatch(g, func(_ context.Context, ds []*queue.Delivery) []error {
		for _, x := range ds {
			w.put(x.Size())
		}
		s.dawdle(chance)
		for _, x := range ds {
			w.take(x.Size())
		}
		return nil
	})
	s.idle("g")
	if w.heaviest > bound || w.heaviest < 2*size {
		s.Errorf("%d bytes of several messages in handlers, want several and %d at most", w.heaviest, bound)
	}
}
