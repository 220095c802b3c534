package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// disk returns the store, if it is on disk and may be used.
func (e *Engine) disk() (*disk.Store, error) {
	if err := e.open(); err != nil {
		return nil, err
	}
	s, ok := e.engine.store.(*disk.Store)
	if !ok {
		return nil, fmt.Errorf("%w: this is for queues in a directory", queue.ErrUnsupported)
	}
	return s, nil
}

// Verify reads everything that counts from the disk, at most so many bytes a second, and names each damage with its file, bytes and offsets. Everything
// goes on meanwhile; it also works on what was opened to be read. Damage is in the report, and no error. See the method of disk.Store.
func (e *Engine) Verify(ctx context.Context, o disk.VerifyOptions) (disk.VerifyReport, error) {
	s, err := e.disk()
	if err != nil {
		return disk.VerifyReport{}, err
	}
	r, err := s.Verify(ctx, o)
	return r, translate(err)
}

// Damaged lists the messages that are known to be lost, by partition. What is damaged and was not read yet is not among them: Verify looks for it.
func (e *Engine) Damaged() ([]*storage.DamageError, error) {
	s, err := e.disk()
	if err != nil {
		return nil, err
	}
	return s.Damaged(), nil
}

// Skip gives up the messages that d names, durable on return: groups and readers go on behind them, the groups as having missed them. It is d as it was
// found, in what [queue.Events] told of a damaged partition, or in the error that a Read or Consume ended with. What can be read is not given up:
// storage.ErrNotDamaged. Running Consumes of groups that went on with their other partitions go on with this one. It may be of what the queue keeps for itself: Explain says what is lost then.
func (e *Engine) Skip(ctx context.Context, d *storage.DamageError) error {
	s, err := e.disk()
	if err != nil {
		return err
	}
	if err := s.Skip(ctx, d.Partition, d.First, d.Next); err != nil {
		return translate(err)
	}
	return e.engine.unbreak(ctx, d)
}

// Mend replaces what is damaged in segments by what a copy of the directory has, such as a snapshot, and tells what it could not mend. The damaged files
// are kept aside. Everything goes on meanwhile, and running Consumes go on with what is whole again. See the method of disk.Store.
func (e *Engine) Mend(ctx context.Context, dir string, o disk.MendOptions) (disk.MendReport, error) {
	s, err := e.disk()
	if err != nil {
		return disk.MendReport{}, err
	}
	r, err := s.Mend(ctx, dir, o)
	return r, errors.Join(translate(err), e.engine.unbreak(ctx, r.Mended...))
}

// unbreak has groups try again to read what was damaged.
func (e *engine) unbreak(ctx context.Context, ds ...*storage.DamageError) (err error) {
	for _, g := range e.allGroups() {
		forgetful := false
		g.mu.Lock()
		for _, d := range ds {
			switch p := g.tracked(d.Partition); {
			case p == nil:
			case p.park != nil && p.park.unknown != nil:
				forgetful = true
			case p.broken != nil:
				p.unbreak()
			}
		}
		g.mu.Unlock()
		if forgetful {
			err = errors.Join(err, g.rememberNow(ctx))
		}
	}
	return err
}

// unbreak offers the partition again.
func (p *partition) unbreak() {
	p.heal()
	switch g := p.group; {
	case len(g.members) == 0 || p.unwatch == nil:
	case g.order == queue.Unordered:
		p.attach(&g.shared)
		g.shared.wake(0)
	case p.owner != nil && p.heir == nil && !p.adopting && !p.owner.left:
		p.attach(p.owner.feed)
		p.owner.feed.wake(0)
	}
}
