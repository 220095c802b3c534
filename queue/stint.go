package queue

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

// stint is where a worker is with the call of its handler: the number of the call, and how far it has come. The worker begins and ends
// it, at the price of two writes to memory of its own. The watcher of its member looks at it from time to time, and may say that it
// ran out of time, or take the messages away; the one of the two that comes first counts.
type stint struct {
	state  atomic.Uint64
	number uint64 // of the call; the worker's own

	// With a HandlerTimeout only.
	began  atomic.Int64 // on the clock of the watcher
	ctx    context.Context
	cancel atomic.Pointer[context.CancelCauseFunc] // of ctx
}

// What state says of a call, below its number.
const (
	idle      = iota // there is none
	running          // the handler runs
	cancelled        // the same, and its context has ended since it takes too long
	abandoned        // the same, and its messages are another's

	looked    = 4 // added while the watcher looks at what the worker has in hand
	stateBits = 3
)

// begin says that the handler runs, and returns its context.
func (s *stint) begin(c *consumer, handling context.Context) context.Context {
	if c.group.HandlerTimeout > 0 {
		if s.ctx == nil {
			ctx, cancel := context.WithCancelCause(handling)
			s.ctx = ctx
			s.cancel.Store(&cancel)
		}
		s.began.Store(int64(c.watch.now()))
		handling = s.ctx
	}
	s.number++
	s.state.Store(s.number<<stateBits | running)
	return handling
}

// end says that the handler returned, and returns how far it had come. If the messages are another's, nothing that the worker has in
// hand may be touched.
func (s *stint) end(c *consumer) (state uint64) {
	was := s.state.Swap(s.number << stateBits)
	if was&looked != 0 {
		c.watch.awaitLook()
		was &^= looked
	}
	if state = was & (1<<stateBits - 1); state == cancelled {
		s.ctx = nil // for the next call
	}
	return state
}

// busy tells whether the handler runs.
func (s *stint) busy() bool { return s.state.Load()&(1<<stateBits-1) != idle }

// timedOut adds to the failures of a call that ran out of time.
func timedOut(failures []error) {
	for i, err := range failures {
		if err != nil {
			failures[i] = fmt.Errorf("%w: %w", ErrHandlerTimeout, err)
		}
	}
}

// goroutineID is the number of this goroutine in stack traces.
func goroutineID() (id uint64) {
	var buf [40]byte // "goroutine 123 [running]:"
	for _, c := range buf[len("goroutine "):runtime.Stack(buf[:], false)] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}

// How long a handler runs until it is reported, and how often it is looked at without a HandlerTimeout.
const (
	slowAfter = time.Minute
	lookEvery = slowAfter / 2
)
