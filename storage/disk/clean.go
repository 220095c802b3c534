package disk

import (
	"context"
	"errors"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
)

// cleaner is the goroutine that applies the cleanup policies. What it removes it removes as Trim does: by entries.
type cleaner struct {
	st    *Store
	every time.Duration
	turn  chan struct{} // holds a token while nobody cleans
	sweep core.Sweep    // guarded by turn
	quit  chan struct{}
	done  chan struct{}
}

const cleanWork = "cleanup"

func newCleaner(st *Store, every time.Duration) *cleaner {
	c := &cleaner{st: st, every: every, turn: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	c.turn <- struct{}{}
	return c
}

// run cleans from time to time until quit is closed.
func (c *cleaner) run() {
	defer close(c.done)
	if c.every < 0 {
		<-c.quit
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-c.quit
		cancel()
	}()
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := c.clean(ctx); err != nil && c.st.core.Writable() == nil && ctx.Err() == nil {
				c.st.workFailed(cleanWork, err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// clean applies the policies once.
func (c *cleaner) clean(ctx context.Context) error {
	select {
	case <-c.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { c.turn <- struct{}{} }()
	cuts, err := c.sweep.Plan(c.st.core, c.st.holdings)
	before := c.st.core.Stats().Trimmed
	err = errors.Join(err, c.st.core.TrimAll(ctx, cuts))
	if err == nil {
		c.st.works.done(cleanWork, c.st.core.Stats().Trimmed-before, 0)
	}
	return err
}

// Clean implements storage.Store.
func (st *Store) Clean(ctx context.Context) error {
	if err := st.core.Writable(); err != nil {
		return err
	}
	if err := st.cleaner.clean(ctx); err != nil {
		return err
	}
	return st.rewriteAll(ctx)
}

// holdings describes the files of a partition, oldest first.
func (st *Store) holdings(p *core.Partition) (hs []core.Holding) {
	h := st.keeper.parts.find(p.ID)
	if h == nil {
		return nil
	}
	for _, s := range h.list() {
		m := s.Meta()
		hs = append(hs, core.Holding{Base: m.Base, Next: m.Next, Ordinal: m.Ordinal, Records: m.Count, Bytes: m.Length, Newest: m.MaxTime})
	}
	return hs
}

// workFailed tells that background work failed and will be tried again.
func (st *Store) workFailed(work string, err error) {
	st.works.failed(work, err, time.Now())
	st.lookout.tell(storage.Event{Kind: storage.EventWorkError, Err: err, Text: work + ": it is tried again"})
}
