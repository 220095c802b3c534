// Package core is what the stores on disk and in memory share: the catalog of topics and groups, partitions with their tails, cursors, and
// the steps of an append and of a read. What differs stands behind [Backend]: how an entry becomes permanent, and where records
// are that are not in memory any more.
//
// Locks, in the order in which they may be held together: Core.gate, Catalog.mu, Partition.appending, Partition.mu (both ascending by ID), then whatever the backend locks in
// Stage, then State.mu. There is no I/O under any of them.
package core

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

// Backend makes staged entries permanent.
type Backend interface {
	// Room waits until an entry of so many bytes may be staged. Its errors mean that nothing was stored.
	Room(ctx context.Context, e *Entry) error
	// Stage gives e its place in the order of all entries and its bytes a place in memory. The partitions of its batches are locked; those that are in memory only, for appending.
	// It returns whether e is committed already.
	Stage(e *Entry) (committed bool, err error)
	// Wait waits until e, which was staged and not committed, is as durable as it asks for.
	Wait(ctx context.Context, e *Entry) error
	// Unroom takes back what Room granted to e, which is not staged after all.
	Unroom(e *Entry)
	// Trimmed is told that records of p were removed: those below its first offset, or all if it was dropped. No lock is held.
	Trimmed(p *Partition)
}

// Core is the common part of a store. The zero Core is not usable; see New.
type Core struct {
	Catalog Catalog
	State   State
	Clock   Clock

	backend Backend
	seed    frame.Seed
	entries sync.Pool // of *Entry; a field, so that nothing crosses from one store, or test bubble, to another
	refs    sync.Pool // of *[]tailFrame, for reads
	loans   sync.Pool // of *loan
	scratch sync.Pool // of *[]byte, for reads
	stopped chan struct{}
	cause   atomic.Pointer[storage.StoppedError]
	gate    sync.RWMutex // held for reading while an entry is staged
	closed  atomic.Bool  // set under gate

	applying sync.Mutex // held by Apply; taken before every other lock
	reading  bool       // nothing is ever written; see ReadOnly

	memory *Pool         // for the records of volatile partitions; nil: they lie where all do
	staged atomic.Uint64 // orders what is staged in memory only

	beginning                        sync.Mutex // held while records are removed, in front of the partition
	appended, appendedBytes, trimmed atomic.Int64
}

// New returns a core without topics.
func New(b Backend) *Core {
	c := &Core{backend: b, stopped: make(chan struct{})}
	c.Catalog.init()
	c.State.init()
	c.Clock.init()
	return c
}

// SetMemory has the records of volatile partitions lie apart from all others, and pass by the backend. Before the first append.
func (c *Core) SetMemory(p *Pool) { c.memory = p }

// SetSeed sets the seed of all sums, before the first append.
func (c *Core) SetSeed(s frame.Seed) { c.seed = s }

// Seed returns the seed of all sums.
func (c *Core) Seed() frame.Seed { return c.seed }

// Stop makes the store refuse to write from now on. The first cause stays.
func (c *Core) Stop(cause error) {
	if c.cause.CompareAndSwap(nil, &storage.StoppedError{Cause: cause}) {
		close(c.stopped)
	}
}

// Stopped is storage.Store's.
func (c *Core) Stopped() <-chan struct{} { return c.stopped }

// StopCause is storage.Store's.
func (c *Core) StopCause() error {
	if e := c.cause.Load(); e != nil {
		return e
	}
	return nil
}

// Shut makes every later call fail with ErrClosed. When it has returned, nothing more is staged. It returns false if that was so already.
func (c *Core) Shut() bool {
	c.gate.Lock()
	defer c.gate.Unlock()
	return c.closed.CompareAndSwap(false, true)
}

// ReadOnly makes every write fail with storage.ErrReadOnly. Before the store serves.
func (c *Core) ReadOnly() { c.reading = true }

// Writable returns why nothing can be written, if so.
func (c *Core) Writable() error {
	switch {
	case c.closed.Load():
		return storage.ErrClosed
	case c.reading:
		return storage.ErrReadOnly
	}
	return c.StopCause()
}

// Stats fills in what the core counts.
func (c *Core) Stats() storage.Stats {
	s := c.Catalog.stats()
	s.Appended, s.AppendedBytes, s.Trimmed = c.appended.Load(), c.appendedBytes.Load(), c.trimmed.Load()
	return s
}

// Watch is storage.Store's.
func (c *Core) Watch(id storage.PartitionID, w *storage.Watcher) (func(), error) {
	p, err := c.partition(id)
	if err != nil {
		return nil, err
	}
	p.watch(w)
	return sync.OnceFunc(func() { p.unwatch(w) }), nil
}

// Bounds is storage.Store's.
func (c *Core) Bounds(id storage.PartitionID) (storage.Bounds, error) {
	p, err := c.partition(id)
	if err != nil {
		return storage.Bounds{}, err
	}
	return p.bounds(), nil
}

func (c *Core) partition(id storage.PartitionID) (*Partition, error) {
	if c.closed.Load() {
		return nil, storage.ErrClosed
	}
	p := c.Catalog.Partition(id)
	if p == nil {
		return nil, storage.ErrNotFound
	}
	return p, nil
}

// Hold keeps everything as it is: nothing that was staged becomes visible until the returned function is called.
func (c *Core) Hold() (release func()) {
	c.applying.Lock()
	return c.applying.Unlock
}
