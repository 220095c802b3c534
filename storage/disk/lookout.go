package disk

import (
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
)

// lookout tells the operator what befalls the store. It has a goroutine of its own, since those that write may be stuck in what it tells of.
type lookout struct {
	core   *core.Core
	events func(storage.Event) // nil: nobody wants to know
	told   atomic.Bool         // that the store stopped

	quit, done chan struct{}
}

func newLookout(c *core.Core, events func(storage.Event)) *lookout {
	return &lookout{core: c, events: events, quit: make(chan struct{}), done: make(chan struct{})}
}

// tell calls the operator's function. No lock of the store is held by who calls it.
func (l *lookout) tell(e storage.Event) {
	if l.events == nil {
		return
	}
	e.At = time.Now()
	l.events(e)
}

// run watches until quit is closed.
func (l *lookout) run() {
	defer close(l.done)
	select {
	case <-l.core.Stopped():
	case <-l.quit:
	}
	l.stopped()
	<-l.quit
}

// stopped tells once that the store stopped, if it did.
func (l *lookout) stopped() {
	if cause := l.core.StopCause(); cause != nil && l.told.CompareAndSwap(false, true) {
		l.tell(storage.Event{Kind: storage.EventStopped, Err: cause, Text: "nothing more is written until it is closed and opened again"})
	}
}
