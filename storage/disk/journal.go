package disk

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
)

// journal takes entries in order and commits them in groups. Appenders stage: they put their frames into memory blocks under one
// mutex and wait. One goroutine, the committer (committer.go), writes and syncs what has gathered meanwhile; an appender that is alone may
// take its place for a group.
type journal struct {
	core  *core.Core
	pool  *core.Pool
	ring  *ring
	lanes *lanes
	id    identity
	hard  int64 // unspilled bytes at which appenders wait
	soft  int64 // unspilled bytes at which the keeper is told to spill

	wake    chan struct{} // the committer has work
	kick    chan struct{} // the keeper has
	further chan struct{} // more is durable; nil while nobody wants to know
	quit    chan struct{} // closed to end the committer, when nothing is staged any more
	done    chan struct{} // closed when it has ended
	certain chan struct{} // closed when nothing of what was replayed is in doubt any more; nil: it never was

	turn      turn       // held by who commits; taken before mu
	committer *committer // to be used with turn held

	mu        sync.Mutex // staging; taken after the partitions of the entry
	lsn       frame.LSN  // of the newest staged frame
	synced    frame.LSN  // everything up to it is durable
	block     *core.Block
	blocks    []*core.Block // in the order of staging: those that tails refer to
	open      *pending
	staged    int64  // records ever
	durable   int64  // of these, synced
	unsynced  int64  // bytes written or staged, not synced
	always    uint64 // number of the newest group with records of a SyncAlways topic; 0: none
	unspilled int64
	parts     int64             // partitions with unspilled bytes
	dirty     []*core.Partition // that have unspilled frames
	trimmed   []*core.Partition // whose first offset moved, or that were dropped
	mark      mark
	admission

	commits, syncs, written atomic.Int64 // groups, syncs, bytes of groups and pads
}

// pending is a group being staged or committed.
type pending struct {
	core.Group
	number   uint64
	extents  []extent
	one      [1]extent // where extents begins
	bytes    int64
	entries  int
	records  int64
	staged   int64 // records ever staged when the group was sealed
	sync     bool
	interval time.Duration
	last     frame.LSN
}

// extent is bytes of a block that go to the journal.
type extent struct {
	block    *core.Block
	from, to int
}

// mark is a place in the journal: everything up to lsn is in front of pos in slot seq.
type mark struct {
	lsn frame.LSN
	seq uint64
	pos int64
}

func newJournal(pool *core.Pool, r *ring, id identity, o Options, from mark) *journal {
	j := &journal{
		pool: pool, ring: r, id: id, hard: o.MemoryBytes / 2, soft: o.Tuning.SpillBytes,
		turn: newTurn(), wake: make(chan struct{}, 1), kick: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
		lsn: from.lsn, synced: from.lsn, mark: from,
	}
	j.open = j.newPending(1)
	return j
}

func (j *journal) newPending(number uint64) *pending {
	g := &pending{number: number}
	g.Begin()
	g.extents = g.one[:0]
	return g
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Stage implements core.Backend.
func (j *journal) Stage(e *core.Entry) (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	g := j.open
	for i := range e.Frames {
		f := &e.Frames[i]
		j.lsn++
		f.Header.LSN = j.lsn
		f.Header.SyncedBack = back(j.lsn, j.synced)
		j.place(g, f, e.Seal(f))
		g.records += int64(f.Header.Count)
	}
	g.Add(e, g.number)
	g.entries++
	g.bytes += int64(e.Bytes)
	g.last = j.lsn
	j.demand(g, e)
	j.reserved.bytes -= int64(e.Bytes)
	j.reserved.records -= count(e)
	j.reserved.parts -= int64(e.Parts())
	e.Group = &g.Group
	return false, nil
}

// place copies a frame into memory and notes where it is.
func (j *journal) place(g *pending, f *core.Frame, raw []byte) {
	b, pos := j.hold(f.Part, raw)
	if n := len(g.extents); n > 0 && g.extents[n-1].block == b && g.extents[n-1].to == pos {
		g.extents[n-1].to += len(raw)
	} else {
		b.Retain()
		g.extents = append(g.extents, extent{b, pos, pos + len(raw)})
	}
	if f.Part != nil {
		f.Push(b, pos+frame.HeaderSize)
	}
}

// hold copies a frame of p, or of no partition, into memory. mu is held.
func (j *journal) hold(p *core.Partition, raw []byte) (b *core.Block, pos int) {
	if j.block == nil || !j.block.Room(len(raw)) {
		j.block = j.pool.Get(len(raw))
		j.blocks = append(j.blocks, j.block)
	}
	b = j.block
	pos = b.Put(raw)
	if p != nil {
		b.Touch(p)
		j.list(p, int64(len(raw)))
		j.unspilled += int64(len(raw))
	}
	return b, pos
}

// list notes that p has so many bytes more to be spilled. mu is held.
func (j *journal) list(p *core.Partition, bytes int64) {
	if !p.Listed {
		p.Listed = true
		j.dirty = append(j.dirty, p)
	}
	if p.Pending == 0 {
		j.parts++
	}
	p.Pending += bytes
}

// demand decides whether the group is synced.
func (j *journal) demand(g *pending, e *core.Entry) {
	j.staged += count(e)
	j.unsynced += int64(e.Bytes)
	g.sync = g.sync || e.Sync
	if e.Always {
		j.always = g.number
	}
	recent := j.always != 0 && g.number-j.always < 1024
	if j.staged-j.durable >= offsetJump/2 || recent && j.unsynced > maxAhead {
		g.sync = true
	}
	if d := time.Duration(e.Interval); d > 0 && (g.interval == 0 || d < g.interval) {
		g.interval = d
	}
}

// back is how far synced lies behind lsn. LSNs of an earlier epoch are durable when an epoch begins.
func back(lsn, synced frame.LSN) uint32 {
	return uint32(min(uint64(lsn-synced), 1<<32-1))
}

// Wait implements core.Backend. An appender whose context cannot end, and who finds nobody committing, commits the open group itself if that goes
// into the slot that is in use: two changes of goroutine less, and it would wait for the sync anyhow. What takes another slot is the committer's, since that may
// wait for the keeper; and a context that can end is honoured even if the disk stalls. Nothing is left lying: who has staged comes here next, and
// either commits or wakes the committer.
func (j *journal) Wait(ctx context.Context, e *core.Entry) error {
	g := e.Group
	if ctx.Done() != nil || !j.turn.TryLock() {
		signal(j.wake)
	} else {
		j.committer.alone()
		j.turn.Unlock()
	}
	if known(g, !e.Sync) {
		return outcome(g)
	}
	if ctx.Done() == nil { // less to do than for a select
		<-g.Done
		return outcome(g)
	}
	select {
	case <-g.Done:
		return outcome(g)
	case <-ctx.Done():
		return errors.Join(storage.ErrIndeterminate, ctx.Err())
	}
}

// glances is how often the committer, and an appender whose entry needs no sync, let others run before they sleep: what they wait for is mostly there
// by then, and sleeping and being woken cost more than the write.
const glances = 8

// known tells whether the outcome of g is known, after a few glances if patient.
func known(g *core.Group, patient bool) bool {
	for n := 0; ; n++ {
		select {
		case <-g.Done:
			return true
		default:
		}
		if !patient || n == glances {
			return false
		}
		runtime.Gosched()
	}
}

func outcome(g *core.Group) error {
	if g.Err != nil {
		return errors.Join(storage.ErrIndeterminate, g.Err)
	}
	return nil
}

// Unroom implements core.Backend.
func (j *journal) Unroom(e *core.Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.reserved.bytes -= int64(e.Bytes)
	j.reserved.records -= count(e)
	j.roomMade()
}

// Trimmed implements core.Backend: the keeper takes it from here.
func (j *journal) Trimmed(p *core.Partition) {
	if p.Volatile() {
		p.Release()
		return
	}
	j.mu.Lock()
	j.trimmed = append(j.trimmed, p)
	j.mu.Unlock()
	signal(j.kick)
}

// takeTrimmed returns the partitions that Trimmed was told of.
func (j *journal) takeTrimmed() []*core.Partition {
	j.mu.Lock()
	defer j.mu.Unlock()
	ps := j.trimmed
	j.trimmed = nil
	return ps
}

// takeDirty returns the partitions with unspilled frames and how many bytes each has. Each stays listed until it has none.
func (j *journal) takeDirty() map[*core.Partition]int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := make(map[*core.Partition]int64, len(j.dirty))
	kept := j.dirty[:0]
	for _, p := range j.dirty {
		if p.Listed = p.Pending > 0; p.Listed {
			m[p] = p.Pending
			kept = append(kept, p)
		}
	}
	clear(j.dirty[len(kept):])
	j.dirty = kept
	return m
}

// replayed says that all that was replayed is in a checkpoint.
func (j *journal) replayed() {
	if j.certain == nil {
		return
	}
	select {
	case <-j.certain:
	default:
		close(j.certain)
	}
}

// spilled says that bytes of p are in a segment now, of which so many were in memory.
func (j *journal) spilled(p *core.Partition, bytes, memory int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if p.Pending -= bytes; p.Pending == 0 && bytes > 0 {
		j.parts--
	}
	j.unspilled -= memory
	j.roomMade()
}
