package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/timers"
	"github.com/leatmq/leat/storage"
)

// headerRoom is what the encoding of headers may add to a message's size: two lengths a header.
const headerRoom = 1 << 10

// engine is a queue.Engine over a store.
//
// Locks, in the order in which they may be taken together: letters.turn, group.setup, flusher.turn, roster.mu, group.mu (several in the order of their ids, by
// WaitIdle alone), then one of flow.mu, mu, letters.mu, committer.mu, flusher.mu, changes.mu, sweeper.mu and the store's own; and, apart from these, ids.turn, then one of ids.mu,
// indexer.mu, mu and the store's own; flow.loading before group.setup; the store's own under flow.mu.
type engine struct {
	store     storage.Store
	kind      kind
	features  map[queue.Feature]queue.Grade
	began     time.Time
	died      bool      // the owner before did not close the store
	publishes sync.Pool // of *publish
	slabs     sync.Pool // of *slab, empty, with memory of their own
	empties   sync.Pool // of *slab without
	flusher   flusher
	committer committer
	indexer   indexer
	sweeper   sweeper
	waits     sync.Mutex // guards who waits for whom among flights; nothing is locked under it
	changes   changes
	letters   letters
	flows     flows
	// parkRecords is how many messages each group may park, which is maxParked but for tests.
	parkRecords int
	tidyRecords int           // the constant, but for tests
	tidyShare   int           // the same
	closed      chan struct{} // closed by Close
	cleans      chan struct{} // of one: there is a topic that is to be cleaned from now on
	roster      roster
	delays      delays
	expired     func(queue.ExpiredEvent) // nil: nobody wants to know
	wall        func() time.Time         // the clock of NotBefore and Expires, which may be set at any time
	expiries    chan struct{}            // of one: there is a group that may expire, or may sooner than was known
	running     sync.WaitGroup

	mu     sync.RWMutex
	topics map[string]*topic // guarded by mu; those that were looked for
	groups map[string]*group // guarded by mu; all of the store
}

func newEngine(s storage.Store, k kind) *engine {
	e := &engine{
		store:       s,
		kind:        k,
		features:    k.features(),
		cleans:      make(chan struct{}, 1),
		parkRecords: maxParked,
		tidyRecords: tidyRecords,
		tidyShare:   tidyShare,
		expiries:    make(chan struct{}, 1),
		began:       time.Now(),
		wall:        time.Now,
		closed:      make(chan struct{}),
		topics:      map[string]*topic{},
		groups:      map[string]*group{},
	}
	report := s.Report()
	e.died = !report.New && !report.Clean
	e.slabs.New = func() any { return &slab{buf: make([]byte, 0, slabBytes)} }
	e.empties.New = func() any { return new(slab) }
	e.publishes.New = func() any { return &publish{batchOf: map[storage.PartitionID]int32{}} }
	e.flusher.init(e)
	e.committer.init(e)
	e.roster.engine = e
	e.flows.init()
	e.letters.init(s.Groups())
	for _, g := range s.Groups() {
		if !internal(g.Name) {
			e.groups[g.Name] = newGroup(e, g)
		}
	}
	e.indexer.init(e)
	e.sweeper.init(e)
	e.delays.engine, e.delays.indexes = e, map[string]*timers.Index{}
	return e
}

// start begins the work in the background.
func (e *engine) start() {
	e.running.Go(e.run)
	e.running.Go(e.committer.run)
	if e.kind != readOnly {
		e.running.Go(e.indexer.run)
		e.running.Go(e.sweeper.run)
	}
}

// Store is what the engine stands on. It is for package queuetest.
func (e *engine) Store() storage.Store { return e.store }

// now is the clock of retries: it goes on however the wall clock is set.
func (e *engine) now() time.Duration { return time.Since(e.began) }

// cleaned has a topic's policy applied from time to time, if it has one and the store does not do so itself.
func (e *engine) cleaned(s *storage.Strategy) {
	if e.kind == inMemory && s.Cleanup != (storage.CleanupPolicy{}) {
		signal(e.cleans)
	}
}

// Capabilities implements queue.Engine.
func (e *engine) Capabilities() queue.Capabilities {
	return queue.Capabilities{Name: "embedded", MaxBytes: storage.MaxRecord - headerRoom - maxParkHeader - queue.MaxLibraryHeaderBytes, Features: e.features}
}

// kind is what the engine stands on.
type kind int

const (
	onDisk kind = iota
	inMemory
	readOnly // on disk
)

// features lists what the engine can do.
func (k kind) features() map[queue.Feature]queue.Grade {
	all := []queue.Feature{queue.CanRead, queue.CanRetain, queue.CanRemoveDone, queue.CanKeepLatest, queue.CanStoreInMemory}
	if k != readOnly {
		all = append(all, queue.CanOrderByKey, queue.CanOrderByPartition, queue.CanShare, queue.CanBatch, queue.CanResume, queue.CanCountAttempts, queue.CanPark,
			queue.CanCommit, queue.CanClaim, queue.CanLease, queue.CanPause, queue.CanSeek, queue.CanExclude, queue.CanExpire,
			queue.CanDedup, queue.CanMark, queue.CanDelay, queue.CanExpireMessages, queue.CanLimit, queue.CanAddPartitions)
	}
	features := map[queue.Feature]queue.Grade{}
	for _, f := range all {
		features[f] = queue.Grade{}
	}
	return features
}

// supports refuses a strategy that the store cannot keep.
func (e *engine) supports(s *storage.Strategy) error {
	k := &s.Cleanup
	for _, need := range []struct {
		set bool
		f   queue.Feature
	}{
		{s.Level == storage.MemoryOnly, queue.CanStoreInMemory},
		{k.MaxAge > 0 || k.MaxBytes > 0 || k.MaxRecords > 0, queue.CanRetain},
		{k.WhenDone, queue.CanRemoveDone},
		{k.LatestByKey, queue.CanKeepLatest},
	} {
		if _, ok := e.features[need.f]; need.set && !ok {
			return fmt.Errorf("%w: %s", queue.ErrUnsupported, need.f)
		}
	}
	return nil
}

// Done implements queue.Engine.
func (e *engine) Done() <-chan struct{} { return e.store.Stopped() }

// Err implements queue.Engine.
func (e *engine) Err() error {
	select {
	case <-e.store.Stopped():
		return translate(e.store.StopCause())
	default:
		return nil
	}
}

// cleanEvery is how often the engine has a store in memory remove what its topics keep no longer. A store on disk does so itself.
const cleanEvery = time.Second

// run writes cursors from time to time, deletes groups that expire, and stops the groups when the store stops.
func (e *engine) run() {
	var tick, look <-chan time.Time
	expiry := time.NewTimer(0)
	defer expiry.Stop()
	e.roster.load() // if that fails, whoever needs it is told
	for {
		select {
		case <-e.expiries:
			expiry.Reset(0)
		case <-expiry.C:
			if next := e.expire(e.flusher.ctx); next > 0 {
				expiry.Reset(max(0, next-e.now()))
			}
		case <-e.cleans:
			if tick == nil {
				t := time.NewTicker(cleanEvery)
				defer t.Stop()
				tick = t.C
			}
		case <-tick:
			if err := e.store.Clean(e.flusher.ctx); err == nil { // a store in memory fails when it is closed, and else never
				e.changes.notify()
			}
		case <-e.flows.begun:
			if look == nil {
				t := time.NewTicker(lookEvery)
				defer t.Stop()
				look = t.C
			}
		case <-look:
			e.flows.look()
		case <-e.flows.crossed:
			e.flows.tellAll()
		case <-e.closed:
			return
		case <-e.store.Stopped():
			e.failAll(e.Err())
			return
		case <-e.flusher.begun:
			e.flusher.pass()
		}
	}
}

// failAll ends all groups.
func (e *engine) failAll(err error) {
	for _, g := range e.allGroups() {
		g.fail(err)
	}
	e.flows.close(err)
	e.changes.notify()
}

func (e *engine) allGroups() []*group {
	e.mu.RLock()
	defer e.mu.RUnlock()
	gs := make([]*group, 0, len(e.groups))
	for _, g := range e.groups {
		gs = append(gs, g)
	}
	return gs
}

// Close implements queue.Engine.
func (e *engine) Close(ctx context.Context) error {
	close(e.closed)
	e.failAll(queue.ErrClosed)
	e.noteUnused(ctx, e.vacantGroups())
	e.delays.close()
	flushed := errors.Join(e.flusher.flush(ctx), e.indexer.pass(ctx, true))
	e.flusher.giveUp()
	e.running.Wait()
	if e.Err() != nil {
		flushed = nil // the store says it too, with its cause
	}
	return errors.Join(flushed, translate(e.store.Close(ctx)))
}
