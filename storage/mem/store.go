// Package mem is a storage.Store in memory: the core of the store on disk without its journal, for unit tests and for data that may be lost with
// the process. It opens in microseconds, starts no goroutine, touches no file, and works inside a testing/synctest bubble.
//
// It is not a cache, and not faster because it promises less order: partitions, entries, cursors and errors are those of storage/disk.
package mem

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
)

// Options of a store. The zero value is the default.
type Options struct {
	// MemoryBytes bounds the memory for records. An append that would pass the bound first frees what every group that has a
	// cursor on its partition finished, and is refused with storage.ErrFull if that is not enough. 0: 256 MiB.
	MemoryBytes int64
}

const defaultMemory = 256 << 20

// Store is a storage.Store in memory.
type Store struct {
	core.Face
	core  *core.Core
	pool  *core.Pool
	bound int64

	sweeping sync.Mutex
	sweep    core.Sweep   // guarded by sweeping
	room     sync.Mutex   // held while room is looked for, never together with a partition's
	reserved atomic.Int64 // bytes of entries between Room and Stage
}

var _ storage.Store = (*Store)(nil)

// Open returns an empty store.
func Open(o Options) (*Store, error) {
	if o.MemoryBytes < 0 {
		return nil, &storage.LimitError{What: "MemoryBytes", Size: o.MemoryBytes, Max: 1<<63 - 1}
	}
	if o.MemoryBytes == 0 {
		o.MemoryBytes = defaultMemory
	}
	s := &Store{pool: core.NewPool(o.MemoryBytes), bound: o.MemoryBytes}
	s.core = core.New(s)
	s.Face = s.core.Face()
	return s, nil
}

// Room is the core's: it reserves memory for e or refuses it.
func (s *Store) Room(ctx context.Context, e *core.Entry) error {
	if err := ctx.Err(); err != nil {
		return core.NoRoom(err)
	}
	if s.reserve(e) {
		return nil
	}
	s.trim()
	if s.reserve(e) {
		return nil
	}
	return core.NoRoom(nil)
}

func (s *Store) reserve(e *core.Entry) bool {
	s.room.Lock()
	defer s.room.Unlock()
	need := int64(e.Bytes)
	if s.pool.Live()+s.reserved.Load()+need > s.bound && !e.Small() {
		return false
	}
	s.reserved.Add(need)
	return true
}

// Stage is the core's: it commits e.
func (s *Store) Stage(e *core.Entry) (bool, error) {
	s.reserved.Add(-int64(e.Bytes))
	s.core.CommitInPlace(e, s.block)
	return true, nil
}

// Unroom is the core's.
func (s *Store) Unroom(e *core.Entry) { s.reserved.Add(-int64(e.Bytes)) }

// Trimmed is the core's: it gives memory back.
func (s *Store) Trimmed(p *core.Partition) {
	first := p.Marks().First
	if p.Dropped() {
		first = math.MaxInt64
	}
	p.Trim(first)
}

// Wait is the core's; nothing is ever waited for.
func (s *Store) Wait(context.Context, *core.Entry) error { return nil }

const firstBlock = 4 << 10

// block returns where p's next n bytes go: blocks grow with the partition, so that an idle one takes nothing and a busy one few.
func (s *Store) block(p *core.Partition, n int) *core.Block {
	last := p.Last()
	if last != nil && last.Room(n) {
		return last
	}
	size := firstBlock
	if last != nil {
		size = min(2*last.Cap(), s.pool.Usual())
	}
	size = max(n, min(size, int(s.bound-s.pool.Live()-s.reserved.Load())))
	if size == s.pool.Usual() {
		return s.pool.Get(size)
	}
	return s.pool.GetSmall(size)
}

// trim frees what every group finished.
func (s *Store) trim() {
	for id, floor := range s.core.State.Floors() {
		if p := s.core.Catalog.Partition(id); p != nil {
			p.Trim(floor)
		}
	}
}

// Clean implements storage.Store.
func (s *Store) Clean(ctx context.Context) error {
	if err := s.core.Writable(); err != nil {
		return err
	}
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	cuts, err := s.sweep.Plan(s.core, nil)
	return errors.Join(err, s.core.TrimAll(ctx, cuts))
}

// Stats implements storage.Store.
func (s *Store) Stats() storage.Stats {
	st := s.core.Stats()
	st.MemoryBytes = s.pool.Live()
	return st
}

// Report implements storage.Store: a store in memory is always new.
func (s *Store) Report() storage.OpenReport {
	return storage.OpenReport{New: true, Clean: true, Took: time.Duration(0)}
}

// Close implements storage.Store. All records are gone.
func (s *Store) Close(context.Context) error {
	s.core.Shut()
	return nil
}
