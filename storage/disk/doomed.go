package disk

import (
	"sync"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/segment"
)

// doomed is a segment file that counts no more, or the directory of a partition that is no more.
type doomed struct {
	partition storage.PartitionID
	file      uint64 // 0: the directory
}

// graveyard is what is to be removed from the disk, as soon as that can harm nobody: neither the checkpoint that an open would stand on nor the one
// before it names a file then, and no snapshot is being made of it. Checkpoints list what is here, so that nothing is forgotten. All methods may be
// called concurrently.
type graveyard struct {
	mu     sync.Mutex
	graves map[doomed]*grave // guarded by mu
	pins   map[uint64]int    // guarded by mu; files in use by a snapshot
	begun  int64             // guarded by mu: sequence number of the newest checkpoint that was begun
	made   int64             // guarded by mu: of the newest one that is durable
	filled chan struct{}     // has a value when there may be something to do
	waits  chan struct{}     // guarded by mu; closed when the next checkpoint is durable; nil if nobody waits
}

type grave struct {
	segment *segment.Segment // nil if no process has one
	after   int64            // not before the checkpoint of this number is durable
	bytes   int64
}

func newGraveyard(made int64) *graveyard {
	return &graveyard{graves: map[doomed]*grave{}, pins: map[uint64]int{}, begun: made, made: made, filled: make(chan struct{}, 1)}
}

// pardon forgets everything, so that no file is removed.
func (g *graveyard) pardon() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.graves)
}

// bury takes segments that are in no history any more.
func (g *graveyard) bury(p storage.PartitionID, segments ...*segment.Segment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range segments {
		m := s.Meta()
		g.graves[doomed{p, m.File}] = &grave{segment: s, after: g.begun + 2, bytes: m.Length}
	}
	if len(segments) > 0 {
		signal(g.filled)
	}
}

// buryNamed takes what an earlier open has buried, and directories.
func (g *graveyard) buryNamed(ds ...doomed) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, d := range ds {
		if g.graves[d] == nil {
			g.graves[d] = &grave{after: g.begun + 2}
		}
	}
	if len(ds) > 0 {
		signal(g.filled)
	}
}

// begin notes that the checkpoint seq is being made. What was buried before is not in it.
func (g *graveyard) begin(seq uint64) {
	g.mu.Lock()
	g.begun = int64(seq)
	g.mu.Unlock()
}

// postpone notes that the checkpoint seq is made which names again what the one before named, whatever was buried since.
func (g *graveyard) postpone(seq int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begun = seq
	for _, x := range g.graves {
		x.after = max(x.after, seq+2)
	}
}

// newest is the sequence number of the newest checkpoint that was begun.
func (g *graveyard) newest() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.begun
}

// settled is the sequence number of the newest checkpoint that is durable.
func (g *graveyard) settled() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.made
}

// durable notes that the checkpoint seq is.
func (g *graveyard) durable(seq uint64) {
	g.mu.Lock()
	g.made = int64(seq)
	if g.waits != nil {
		close(g.waits)
		g.waits = nil
	}
	if len(g.graves) > 0 {
		signal(g.filled)
	}
	g.mu.Unlock()
}

// next is closed when another checkpoint than those so far is durable.
func (g *graveyard) next() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waits == nil {
		g.waits = make(chan struct{})
	}
	return g.waits
}

// list returns all that is buried.
func (g *graveyard) list() []doomed {
	g.mu.Lock()
	defer g.mu.Unlock()
	ds := make([]doomed, 0, len(g.graves))
	for d := range g.graves {
		ds = append(ds, d)
	}
	return ds
}

// has tells whether the file is buried.
func (g *graveyard) has(p storage.PartitionID, file uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.graves[doomed{p, file}] != nil
}

// ready returns what may be removed now, by partition. waiting is whether a checkpoint is needed for more.
func (g *graveyard) ready() (by map[storage.PartitionID][]doomed, waiting bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	by = map[storage.PartitionID][]doomed{}
	for d, grave := range g.graves {
		switch {
		case g.made < grave.after:
			waiting = true
		case g.pins[d.file] == 0:
			by[d.partition] = append(by[d.partition], d)
		}
	}
	return by, waiting
}

// grave returns what is known of d.
func (g *graveyard) grave(d doomed) grave {
	g.mu.Lock()
	defer g.mu.Unlock()
	if x := g.graves[d]; x != nil {
		return *x
	}
	return grave{}
}

// removed forgets what is removed for good.
func (g *graveyard) removed(ds []doomed) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, d := range ds {
		delete(g.graves, d)
	}
}

// backlog is the bytes of what is buried, as far as known.
func (g *graveyard) backlog() (bytes int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, x := range g.graves {
		bytes += x.bytes
	}
	return bytes
}

// pin keeps files from being removed until unpin.
func (g *graveyard) pin(files []uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range files {
		g.pins[f]++
	}
}

func (g *graveyard) unpin(files []uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range files {
		if g.pins[f]--; g.pins[f] <= 0 {
			delete(g.pins, f)
		}
	}
	if len(g.graves) > 0 {
		signal(g.filled)
	}
}
