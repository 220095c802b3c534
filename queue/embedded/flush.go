package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/frontier"
	"github.com/leatmq/leat/storage"
)

// flushDelay is how long a cursor that changed waits for others. A crash repeats what was finished in this time, and during one write.
const flushDelay = 5 * time.Millisecond

// maxFlush bounds the ranges and failures in one entry, of about rangeBytes each.
const (
	maxFlush   = 1 << 18
	rangeBytes = 8
)

// flusher writes cursors, for all groups together, one entry at a time, so that the newest is always written last.
type flusher struct {
	engine *engine
	begun  chan struct{} // of one: something is dirty since the last pass
	ctx    context.Context
	giveUp context.CancelFunc // ends ctx, and with it a pass

	mu    sync.Mutex
	dirty []*group // guarded by mu; each once

	turn    chan struct{} // holds a token while nobody flushes; what follows is guarded by it
	groups  []*group
	written []*track // in entry
	entry   storage.Entry
	state   frontier.State
	size    int // of entry, as maxFlush counts
}

func (f *flusher) init(e *engine) {
	f.engine = e
	f.begun = make(chan struct{}, 1)
	f.ctx, f.giveUp = context.WithCancel(context.Background())
	f.turn = make(chan struct{}, 1)
	f.turn <- struct{}{}
}

// add notes that g has dirty partitions. It may be called with g.mu held.
func (f *flusher) add(g *group) {
	f.mu.Lock()
	f.dirty = append(f.dirty, g)
	f.mu.Unlock()
	signal(f.begun)
}

// pass flushes after a while. Its errors are the groups'.
func (f *flusher) pass() {
	t := time.NewTimer(flushDelay)
	defer t.Stop()
	select {
	case <-t.C:
		f.flush(f.ctx)
	case <-f.engine.closed:
	}
}

// flush writes all cursors that are not what was written last, and returns when they are durable. When ctx ends first, they
// are written again at the next flush. Another error ends the groups.
func (f *flusher) flush(ctx context.Context) error {
	select {
	case <-f.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { f.turn <- struct{}{} }()
	f.mu.Lock()
	f.groups = append(f.groups[:0], f.dirty...)
	clear(f.dirty)
	f.dirty = f.dirty[:0]
	f.mu.Unlock()
	var err error
	for _, g := range f.groups {
		err = errors.Join(err, f.collect(ctx, g))
	}
	err = errors.Join(err, f.write(ctx))
	clear(f.groups)
	return err
}

// collect takes the dirty cursors of g into the entry, which it writes whenever it is large enough.
func (f *flusher) collect(ctx context.Context, g *group) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	ts := g.dirty
	g.dirty = nil
	var err error
	g.launch()
	parkedFirst(ts)
	for _, t := range ts {
		t.dirty = false
		if t.of.gone || g.deleted || f.take(t) < maxFlush {
			continue
		}
		g.mu.Unlock()
		err = errors.Join(err, f.write(ctx))
		g.mu.Lock()
		g.launch()
	}
	g.wakeAll() // for lanes that nobody came back for, see Settle
	return err
}

// take adds the cursor of t to the entry. It returns how much there is in it now.
func (f *flusher) take(t *track) int {
	n := len(f.entry.Cursors)
	f.entry.Cursors = slices.Grow(f.entry.Cursors, 1)[:n+1]
	c := &f.entry.Cursors[n]
	t.cursor(c, &f.state)
	f.written = append(f.written, t)
	f.size += 1 + len(c.Done) + len(c.Failed)
	for i := range c.Failed {
		f.size += len(c.Failed[i].Note) / rangeBytes
	}
	return f.size
}

// write appends the entry and empties it.
func (f *flusher) write(ctx context.Context) error {
	if len(f.entry.Cursors) == 0 {
		return nil
	}
	_, err := f.engine.store.Append(ctx, &f.entry)
	if errors.Is(err, storage.ErrNotFound) {
		err = f.append(ctx, f.entry.Cursors)
	}
	if err != nil {
		err = fmt.Errorf("queue: writing cursors: %w", translate(err))
		f.again(err, ctx.Err() != nil || errors.Is(err, queue.ErrFull))
	}
	f.entry.Cursors = f.entry.Cursors[:0]
	clear(f.written)
	f.written, f.size = f.written[:0], 0
	return err
}

// append writes cursors, but for those whose topic or group was deleted meanwhile.
func (f *flusher) append(ctx context.Context, cs []storage.Cursor) error {
	_, err := f.engine.store.Append(ctx, &storage.Entry{Cursors: cs})
	switch n := len(cs) / 2; {
	case !errors.Is(err, storage.ErrNotFound):
		return err
	case n == 0:
		return nil
	default:
		return errors.Join(f.append(ctx, cs[:n]), f.append(ctx, cs[n:]))
	}
}

// again has what was not written, or perhaps not, written at the next flush. If it cannot go on, the groups end.
func (f *flusher) again(err error, goOn bool) {
	for _, t := range f.written {
		g := t.of.group
		g.mu.Lock()
		t.touch()
		if !goOn {
			g.stop(err)
		}
		g.mu.Unlock()
	}
}
