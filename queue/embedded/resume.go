package embedded

import (
	"context"
	"fmt"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/frontier"
)

// resumeAll sets the cursors of partitions that nobody else has to where the member's Resume says, durable on return.
func (m *member) resumeAll(ctx context.Context, ps []*partition) error {
	moved := false
	for _, p := range ps {
		at, err := m.Group.Resume(ctx, p.topic.Name, p.number)
		if err != nil {
			return fmt.Errorf("queue: group %q resuming %s/%d: %w", m.group.name, p.topic.Name, p.number, err)
		}
		s, err := m.resumeAt(p, at)
		if err != nil {
			return fmt.Errorf("queue: group %q resuming %s/%d at %q: %w", m.group.name, p.topic.Name, p.number, at, err)
		}
		moved = p.resume(s) || moved
	}
	if !moved {
		return nil
	}
	m.group.engine.changes.notify()
	return m.group.engine.flusher.flush(ctx)
}

// resumeAt returns the cursor behind a position.
func (m *member) resumeAt(p *partition, at queue.Position) (frontier.State, error) {
	e := m.group.engine
	if at.IsZero() {
		return e.begin(p.topic, p.number, m.Group.StartIfNew)
	}
	if at.Topic() != p.topic.Name || at.Partition() != p.number {
		return frontier.State{}, fmt.Errorf("%w: it is of another partition", queue.ErrNotFound)
	}
	return e.beginAt(p.topic, at, true)
}

// resume sets the cursor, unless it is there already.
func (p *partition) resume(s frontier.State) (moved bool) {
	g := p.group
	g.mu.Lock()
	defer g.mu.Unlock()
	var have frontier.State
	p.window.State(&have)
	if have.Floor == s.Floor && have.Passed == s.Passed && len(have.Done) == 0 && p.parked() == 0 {
		return false
	}
	p.restart(&s)
	p.broken = nil // the place may be behind what is damaged
	return true
}
