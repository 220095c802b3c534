package disk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/storage"
)

// scrubber is the goroutine that verifies the store in the background: once when it is opened, and again every so often, from beginning to beginning.
type scrubber struct {
	st    *Store
	every time.Duration
	known map[storage.DamageError]bool // that the operator was told of
	quit  chan struct{}
	done  chan struct{}
}

const (
	scrubWork   = "scrub"
	scrubSecond = 32 << 20 // bytes, unless Options.ScrubBytesPerSecond says otherwise
)

func newScrubber(st *Store) *scrubber {
	return &scrubber{
		st: st, every: st.opt.ScrubEvery, known: map[storage.DamageError]bool{}, quit: make(chan struct{}), done: make(chan struct{}),
	}
}

// run works until quit is closed, which is after the store sent its guests home.
func (s *scrubber) run() {
	defer close(s.done)
	for {
		began := time.Now()
		s.pass()
		timer := time.NewTimer(max(0, s.every-time.Since(began)))
		select {
		case <-timer.C:
		case <-s.quit:
			timer.Stop()
			return
		}
	}
}

// pass verifies everything once.
func (s *scrubber) pass() {
	works := &s.st.works
	works.running(scrubWork, true)
	defer works.running(scrubWork, false)
	last := int64(0)
	report, err := s.st.Verify(context.Background(), VerifyOptions{
		BytesPerSecond: s.st.opt.ScrubBytesPerSecond,
		Progress: func(done, total int64) {
			works.note(scrubWork, func(w *storage.Work) { w.Done, w.Backlog = w.Done+done-last, total-done })
			last = done
		},
	})
	for _, d := range report.Damage {
		s.tell(d)
	}
	switch {
	case errors.Is(err, storage.ErrClosed):
	case err != nil:
		works.failed(scrubWork, err, time.Now())
		s.st.lookout.tell(storage.Event{Kind: storage.EventWorkError, Err: err, Text: "scrub"})
	case len(report.Damage) > 0:
		works.done(scrubWork, 1, 0)
		works.failed(scrubWork, fmt.Errorf("storage: scrub found %d damaged places, the first: %w", len(report.Damage), report.Damage[0]), time.Now())
	default:
		works.done(scrubWork, 1, 0)
	}
}

// tell tells the operator of damage, once.
func (s *scrubber) tell(d *storage.DamageError) {
	if s.known[*d] {
		return
	}
	s.known[*d] = true
	e := storage.Event{Kind: storage.EventDamage, Err: d, Text: "found by the scrub"}
	for _, t := range s.st.Topics() {
		if _, ok := t.Index(d.Partition); ok && d.Next > d.First {
			e.Topic, e.Partition = t.Name, d.Partition
		}
	}
	s.st.lookout.tell(e)
}
