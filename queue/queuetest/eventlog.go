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

	expired   []queue.LeaseExpiredEvent // guarded by mu
	slow      []queue.SlowEvent         // guarded by mu
	lapses    []queue.ExpiredEvent      // guarded by mu
	buried    []queue.DeadLetteredEvent // guarded by mu
	discarded []queue.DiscardedEvent    // guarded by mu
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
		Slow: func(e queue.SlowEvent) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.slow = append(l.slow, e)
		},
		LeaseExpired: func(e queue.LeaseExpiredEvent) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.expired = append(l.expired, e)
		},
		Expired: func(e queue.ExpiredEvent) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.lapses = append(l.lapses, e)
		},
		DeadLettered: func(e queue.DeadLetteredEvent) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.buried = append(l.buried, e)
		},
		Discarded: func(e queue.DiscardedEvent) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.discarded = append(l.discarded, e)
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

func (l *eventLog) lapsed() []queue.ExpiredEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lapses)
}

func (l *eventLog) expiries() []queue.LeaseExpiredEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.expired)
}

func (l *eventLog) slowHandlers() []queue.SlowEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.slow)
}

// ends returns what was told of messages that are not tried again.
func (l *eventLog) ends() ([]queue.DeadLetteredEvent, []queue.DiscardedEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.buried), slices.Clone(l.discarded)
}

func (l *eventLog) told() ([]move, []queue.FailedEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.moves), slices.Clone(l.failed)
}
