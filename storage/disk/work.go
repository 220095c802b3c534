package disk

import (
	"sync"
	"time"

	"github.com/leatmq/leat/storage"
)

// works is the background work that Stats shows, by name. All methods may be called concurrently.
type works struct {
	mu sync.Mutex
	by map[string]*storage.Work // guarded by mu
}

// note changes what is known of a kind of work.
func (w *works) note(name string, change func(*storage.Work)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = map[string]*storage.Work{}
	}
	if w.by[name] == nil {
		w.by[name] = &storage.Work{}
	}
	change(w.by[name])
}

// done notes units that were finished, of so many bytes; failed, that one was not.
func (w *works) done(name string, runs, bytes int64) {
	w.note(name, func(x *storage.Work) {
		x.Runs, x.Done, x.LastError = x.Runs+runs, x.Done+bytes, nil
	})
}

func (w *works) failed(name string, err error, at time.Time) {
	w.note(name, func(x *storage.Work) { x.LastError, x.FailedAt = err, at })
}

func (w *works) running(name string, yes bool) {
	w.note(name, func(x *storage.Work) { x.Running = yes })
}

// all returns a copy.
func (w *works) all() map[string]storage.Work {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := make(map[string]storage.Work, len(w.by))
	for name, x := range w.by {
		m[name] = *x
	}
	return m
}
