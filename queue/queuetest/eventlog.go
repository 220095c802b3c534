package queuetest

import (
	"slices"
	"sync"

	"github.com/leatmq/leat/queue"
)

// eventLog keeps what a broker told.
type eventLog struct {
	mu     sync.Mutex
	moves  []move              // guarded by mu
	failed []queue.FailedEvent // guarded by mu
	misses []queue.MissedEvent // guarded by mu
}

// move is an Assigned or a Revoked.
type move struct {
	queue.PartitionEvent
	gained bool
}

func (l *eventLog) events() queue.Events {
	moved := func(gained bool) func(queue.PartitionEvent) {
		return func(e queue.PartitionEvent) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.moves = append(l.moves, move{e, gained})
		}
	}
	return queue.Events{
		Assigned: moved(true),
		Revoked:  moved(false),
		Failed: func(e queue.FailedEvent) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.failed = append(l.failed, e)
		},
		Missed: func(e queue.MissedEvent) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.misses = append(l.misses, e)
		},
	}
}

func (l *eventLog) missed() []queue.MissedEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.misses)
}

func (l *eventLog) told() ([]move, []queue.FailedEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.moves), slices.Clone(l.failed)
}
