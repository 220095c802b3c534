package queuetest

import (
	"context"
	"sync"

	"github.com/leatmq/leat/queue"
)

// held is a handler that waits to be let go.
type held struct {
	arrived chan *queue.Delivery
	open    chan struct{}
	free    func()
}

func (s *stage) hold() *held {
	h := &held{arrived: make(chan *queue.Delivery, 1000), open: make(chan struct{})}
	h.free = sync.OnceFunc(func() { close(h.open) })
	return h
}

func (h *held) handle(ctx context.Context, d *queue.Delivery) error {
	h.arrived <- d
	<-h.open
	return ctx.Err()
}

// consumeHeld starts a member whose handlers are let go when the stage ends, at the latest.
func (s *stage) consumeHeld(g queue.Group, h *held) *running {
	r := s.consume(g, h.handle)
	s.Cleanup(h.free)
	return r
}
