package storage

import "sync"

// Watcher collects which partitions have new records. One watcher may watch any number of partitions: the cost of a notice
// does not depend on how many.
type Watcher struct {
	signal chan struct{}
	mu     sync.Mutex
	ready  []PartitionID // guarded by mu; each at most once
	listed map[PartitionID]struct{}
}

// NewWatcher returns a watcher of nothing.
func NewWatcher() *Watcher {
	return &Watcher{signal: make(chan struct{}, 1), listed: map[PartitionID]struct{}{}}
}

// C has a value when Take has something to return.
func (w *Watcher) C() <-chan struct{} { return w.signal }

// Take appends to dst the partitions notified since the last call, each once.
func (w *Watcher) Take(dst []PartitionID) []PartitionID {
	w.mu.Lock()
	defer w.mu.Unlock()
	dst = append(dst, w.ready...)
	w.ready = w.ready[:0]
	clear(w.listed)
	return dst
}

// Notify is for stores: p has new records. It does not block.
func (w *Watcher) Notify(p PartitionID) {
	w.mu.Lock()
	if _, again := w.listed[p]; !again {
		w.listed[p] = struct{}{}
		w.ready = append(w.ready, p)
	}
	w.mu.Unlock()
	select {
	case w.signal <- struct{}{}:
	default:
	}
}
