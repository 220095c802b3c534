// Package mem is a storage.Store in memory: the core of the store on disk without its journal, for unit tests and for data that may be lost with
// the process. It opens in microseconds, starts no goroutine, touches no file, and works inside a testing/synctest bubble.
//
// It honours the strategies of its topics, so that a test runs the production's: every level is a topic in memory, those of MemoryOnly within their own bounds; cleanup
// policies are applied by Clean, and by appends, once a second at most; LatestByKey to all that is there.
//
// It is not a cache, and not faster because it promises less order: partitions, entries, cursors and errors are those of storage/disk.
package mem

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
)

// Options of a store. The zero value is the default.
type Options struct {
	// MemoryBytes bounds the memory for records. An append that would pass the bound first frees the oldest of what every group that has a cursor on its partition
	// finished: an eighth of the bound or, if that is not enough, all. If that is not enough either it is refused with storage.ErrFull, unless its topic drops its oldest.
	// An entry that makes room may go an eighth beyond it. 0: 256 MiB.
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
	swept    atomic.Int64 // when policies were last applied, in nanoseconds of Unix time
	due      atomic.Bool  // that is so long ago that the next append applies them
	tidied   atomic.Pointer[storage.Work]
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
	most := s.bound
	if s.reserve(e, most) {
		return nil
	}
	if s.core.ForgetFinished(s.bound, func() bool { return s.reserve(e, s.bound) }) {
		return nil
	}
	if e.MakesRoom {
		most += most / storage.SpareMemory
	}
	for !s.reserve(e, most) {
		if !s.core.DropOldest(e) {
			return core.NoRoom(nil)
		}
	}
	return nil
}

// reserve takes memory for e if all are at most so many bytes then.
func (s *Store) reserve(e *core.Entry, most int64) bool {
	s.room.Lock()
	defer s.room.Unlock()
	need := int64(e.Bytes)
	if s.pool.Live()+s.reserved.Load()+need > most && !e.Small() {
		return false
	}
	s.reserved.Add(need)
	return true
}

// Stage is the core's: it commits e.
func (s *Store) Stage(e *core.Entry) (bool, error) {
	s.reserved.Add(-int64(e.Bytes))
	s.core.CommitInPlace(e, s.block)
	if e.At-s.swept.Load() >= int64(sweepEvery) && !s.due.Load() {
		s.due.Store(true)
	}
	return true, nil
}

// Unroom is the core's.
func (s *Store) Unroom(e *core.Entry) { s.reserved.Add(-int64(e.Bytes)) }

// Trimmed is the core's: it gives memory back.
func (s *Store) Trimmed(p *core.Partition) {
	p.Release()
}

// Wait is the core's; nothing is ever waited for.
func (s *Store) Wait(context.Context, *core.Entry) error { return nil }

// block returns a new block for p's next n bytes.
func (s *Store) block(p *core.Partition, last *core.Block, n int) *core.Block {
	return s.pool.Grow(p, last, n, int(s.bound-s.pool.Live()-s.reserved.Load()))
}

// Append implements storage.Store.
func (s *Store) Append(ctx context.Context, e *storage.Entry) (storage.Durability, error) {
	d, err := s.Face.Append(ctx, e)
	if err == nil && s.due.Load() && s.sweeping.TryLock() {
		s.due.Store(false)
		s.note(s.clean(context.WithoutCancel(ctx), false), time.Now())
		s.sweeping.Unlock()
	}
	return d, err
}

// sweepEvery is how often appends apply the cleanup policies.
const sweepEvery = time.Second

// note has Stats tell how cleaning that nobody asked for went.
func (s *Store) note(err error, now time.Time) {
	w := &storage.Work{Runs: 1}
	if was := s.tidied.Load(); was != nil {
		w.Runs = was.Runs + 1
	}
	if err != nil {
		w.LastError, w.FailedAt = err, now
	}
	s.tidied.Store(w)
}

// Clean implements storage.Store.
func (s *Store) Clean(ctx context.Context) error {
	if err := s.core.Writable(); err != nil {
		return err
	}
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	return s.clean(ctx, true)
}

func (s *Store) clean(ctx context.Context, all bool) error {
	s.swept.Store(time.Now().UnixNano())
	cuts, err := s.sweep.Plan(s.core, nil)
	return errors.Join(err, s.core.TrimAll(ctx, cuts), s.core.KeepLatest(s.pool, all))
}

// Stats implements storage.Store.
func (s *Store) Stats() storage.Stats {
	st := s.core.Stats()
	st.MemoryBytes = s.pool.Live()
	if w := s.tidied.Load(); w != nil {
		st.Work = map[string]storage.Work{"cleanup": *w}
	}
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
