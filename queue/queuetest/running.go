package queuetest

import (
	"context"
	"time"

	"github.com/leatmq/leat/queue"
)

// running is a Consume in the background.
type running struct {
	s     *stage
	end   context.CancelFunc
	ended chan error
}

// start runs consume, a Consume or ConsumeBatch, until stopped, or until the stage ends.
func (s *stage) start(consume func(ctx context.Context) error) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{s: s, end: cancel, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- consume(ctx)
	}()
	s.Cleanup(func() {
		cancel()
		<-done
	})
	return r
}

func (s *stage) consume(g queue.Group, h queue.Handler) *running {
	b := s.broker
	return s.start(func(ctx context.Context) error { return b.Consume(ctx, g, h) })
}

// result waits until the Consume ended by itself.
func (r *running) result() error {
	r.s.Helper()
	return await(r.s, r.ended, "the end of Consume")
}

// await waits until c is closed, and ends the test if the Consume ends before that.
func (r *running) await(c <-chan struct{}, what string) {
	r.s.Helper()
	patience := time.NewTimer(r.s.patience)
	defer patience.Stop()
	select {
	case <-c:
	case err := <-r.ended:
		r.s.Fatalf("Consume ended with %v while the test waited for %s", err, what)
	case <-patience.C:
		r.s.Fatalf("waited %v in vain for %s; %+v", r.s.patience, what, r.s.broker.Stats())
	}
}

// stop ends the Consume and wants it to end well.
func (r *running) stop() {
	r.s.Helper()
	r.end()
	if err := r.result(); err != nil {
		r.s.Errorf("Consume ended with %v, want nil", err)
	}
}
