package disk

import (
	"context"
	"sync"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/segment"
)

// ask is somebody who waits for a checkpoint that is begun after now, and needs the files that it names.
type ask struct {
	answer chan captured // has room for one
	mu     sync.Mutex
	gone   bool // guarded by mu: nobody waits any more
}

// captured is an answer of the keeper: a checkpoint that it has made.
type captured struct {
	checkpoint *checkpoint
	err        error
}

// capture has the keeper make a checkpoint, whose files stay on the disk until release.
func (st *Store) capture(ctx context.Context) (c *checkpoint, release func(), err error) {
	k := st.keeper
	a := &ask{answer: make(chan captured, 1)}
	k.asking.Lock()
	k.asks = append(k.asks, a)
	k.asking.Unlock()
	signal(st.journal.kick)
	select {
	case got := <-a.answer:
		if got.err != nil {
			return nil, nil, got.err
		}
		files := got.checkpoint.named()
		return got.checkpoint.own(), func() { k.graves.unpin(files) }, nil
	case <-st.core.Stopped():
		err = st.core.StopCause()
	case <-ctx.Done():
		err = ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = true
	select {
	case got := <-a.answer:
		if got.err == nil {
			k.graves.unpin(got.checkpoint.named())
		}
	default:
	}
	return nil, nil, err
}

// takeAsks returns who waits for the next checkpoint to be begun.
func (k *keeper) takeAsks() []*ask {
	k.asking.Lock()
	defer k.asking.Unlock()
	asks := k.asks
	k.asks = nil
	return asks
}

// awaited tells whether somebody does.
func (k *keeper) awaited() bool {
	k.asking.Lock()
	defer k.asking.Unlock()
	return len(k.asks) > 0
}

// captureFor is capture. If somebody asks, nothing is applied meanwhile, so that not only records and cursors but topics, groups and what is trimmed, too, are as of
// one place in the journal: a copy has no journal to make up for it. Most of what that takes is done before.
func (k *keeper) captureFor(asks []*ask) (*checkpoint, []*segment.Segment, error) {
	if len(asks) == 0 {
		return k.capture(false)
	}
	if done, err := k.spilling(func() error { return k.upTo(k.core.State.Applied()) }); !done {
		return nil, nil, err
	}
	defer k.core.Hold()()
	return k.capture(false)
}

// why is the error of who asked for a checkpoint that could not be made: err, or that there is no space now.
func (k *keeper) why(err error) error {
	if pinch := k.pinch.Load(); err == nil && pinch != nil {
		err = short(*pinch)
	}
	if err == nil {
		err = storage.ErrNoSpace
	}
	return err
}

// answer pins the files of a checkpoint for each who waits for it. Until the one after the next is durable, none of them is removed anyway.
func (k *keeper) answer(asks []*ask, c *checkpoint, err error) {
	for _, a := range asks {
		a.mu.Lock()
		if !a.gone {
			if err == nil {
				k.graves.pin(c.named())
			}
			a.answer <- captured{c, err}
		}
		a.mu.Unlock()
	}
}

// named returns the files that c names.
func (c *checkpoint) named() (files []uint64) {
	for i := range c.topics {
		for n := range c.topics[i].parts {
			for _, m := range c.topics[i].parts[n].segments {
				files = append(files, m.File)
			}
		}
	}
	return files
}

// own returns a copy of c that may be changed, but for what its segments and cursors say.
func (c *checkpoint) own() *checkpoint {
	o := *c
	o.topics = append([]topicState(nil), c.topics...)
	for i := range o.topics {
		o.topics[i].parts = append([]partState(nil), o.topics[i].parts...)
	}
	o.groups = append([]storage.Group(nil), c.groups...)
	return &o
}
