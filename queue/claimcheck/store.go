package claimcheck

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/storage/blob"
)

// Store keeps the values of messages of one broker. Its methods may be called at the same time. It must be closed, before its broker.
type Store struct {
	broker *queue.Broker
	engine *embedded.Engine
	o      Options
	blobs  blobs

	mu      sync.Mutex
	pins    map[hash]int      // guarded by mu; what is about to be named by a message, how often
	touched map[hash]struct{} // guarded by mu; what was pinned since a sweep began; nil: there is none
	total   int64             // guarded by mu; bytes of values, and of what is being written
	using   int               // guarded by mu; writers, and parts that they kept and that are not published yet, sweeps, and those who begin to read
	closed  bool              // guarded by mu

	sweeps  chan struct{} // of one; whoever has what is in it sweeps
	known   known         // of the sweeper
	quit    context.CancelFunc
	running sync.WaitGroup
	failed  error // guarded by mu; of the last sweep in the background
}

// Open opens the values of b in dir, which is made if it is missing, and belongs to the queue from then on: best a directory beside it. b must be of package embedded, else the error is
// queue.ErrUnsupported. Others are ErrOption, ErrOwner, storage.ErrInUse if another Store has the directory, and those of the file system.
func Open(b *queue.Broker, dir string, o Options) (*Store, error) {
	if _, err := o.withDefaults(false); err != nil {
		return nil, err
	}
	if _, err := embedded.From(b).RawPartitions(); err != nil {
		return nil, err
	}
	d, err := blob.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("claimcheck: opening %s: %w", dir, err)
	}
	s, err := openIn(b, d, o)
	if err != nil {
		return nil, fmt.Errorf("claimcheck: opening %s: %w", dir, err)
	}
	return s, nil
}

// openIn is Open in a directory that it takes over, also with an error.
func openIn(b *queue.Broker, d *blob.Dir, o Options) (*Store, error) {
	e := embedded.From(b)
	o, err := o.withDefaults(false)
	if err == nil {
		err = own(b, e, d)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return newStore(b, e, o, files{d})
}

// InMemory keeps values in memory, for brokers that do so. Errors are queue.ErrUnsupported, for a broker that is not of package embedded, and ErrOption.
func InMemory(b *queue.Broker, o Options) (*Store, error) {
	o, err := o.withDefaults(true)
	if err != nil {
		return nil, err
	}
	e := embedded.From(b)
	if _, err := e.RawPartitions(); err != nil {
		return nil, err
	}
	return newStore(b, e, o, newMemory())
}

func newStore(b *queue.Broker, e *embedded.Engine, o Options, kept blobs) (*Store, error) {
	s := &Store{broker: b, engine: e, o: o, blobs: kept, pins: map[hash]int{}, sweeps: make(chan struct{}, 1), known: newKnown()}
	all, err := kept.List()
	if err != nil {
		return nil, errors.Join(err, kept.Close())
	}
	for _, size := range all {
		s.total += size
	}
	s.sweeps <- struct{}{}
	ctx, quit := context.WithCancel(context.Background())
	s.quit = quit
	if o.SweepEvery > 0 {
		s.running.Go(func() { s.sweepFromTimeToTime(ctx) })
	}
	return s, nil
}

// Close ends sweeping, and gives the directory up, as soon as the writers that are open have ended: they may go on, and publish as long as the broker does. So may readers. All else is
// queue.ErrClosed from now on, so it is called when the last Consume has returned. Closing again does nothing.
func (s *Store) Close() error {
	s.quit()
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.closeUnused()
}

// closeUnused closes the blobs of a closed store when nobody is at work on them. The caller holds mu.
func (s *Store) closeUnused() error {
	if !s.closed || s.using > 0 {
		return nil
	}
	return s.blobs.Close()
}

// enter keeps the blobs from being closed until leave.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return queue.ErrClosed
	}
	s.using++
	return nil
}

func (s *Store) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.using--
	s.closeUnused()
}

func (s *Store) sweepFromTimeToTime(ctx context.Context) {
	t := time.NewTicker(s.o.SweepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		_, err := s.Sweep(ctx)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.failed = err
		s.mu.Unlock()
	}
}

// Stats is what a Store holds.
type Stats struct {
	Bytes      int64 // of values and of what is being written
	SweepError error // of the last sweep in the background; nil: it went well
}

// Stats returns the figures as they are now.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{s.total, s.failed}
}

// take counts n bytes that are about to be written.
func (s *Store) take(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.o.MaxTotal-s.total {
		return fmt.Errorf("%w: %d bytes of values, the bound is %d", queue.ErrFull, s.total, s.o.MaxTotal)
	}
	s.total += n
	return nil
}

func (s *Store) give(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total -= n
}

// pin keeps a value from being swept.
func (s *Store) pin(h hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins[h]++
	if s.touched != nil {
		s.touched[h] = struct{}{}
	}
}

func (s *Store) unpin(h hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pins[h]--; s.pins[h] == 0 {
		delete(s.pins, h)
	}
}

// publish publishes a message that names ps, which are pinned, and unpins them. If it is not known whether it was stored they stay pinned, until the store is opened again.
func (s *Store) publish(ctx context.Context, m queue.Message, ps []part) (queue.Receipt, error) {
	m.Value = appendClaim(nil, ps)
	m.Headers = m.Headers.With(Header, "1")
	r, err := s.broker.Publish(ctx, m)
	s.published(ps, err)
	return r, err
}

func (s *Store) published(ps []part, err error) {
	if !errors.Is(err, queue.ErrIndeterminate) {
		s.release(ps)
		return
	}
	for range ps {
		s.leave()
	}
}

// release unpins what finish returned.
func (s *Store) release(ps []part) {
	for i := range ps {
		s.unpin(ps[i].hash)
		s.leave()
	}
}
