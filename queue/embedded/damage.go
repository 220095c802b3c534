package embedded

import (
	"errors"
	"fmt"
	"slices"

	"github.com/leatmq/leat/storage"
)

// broken says why a partition is not read on, nil if all are.
func (g *group) broken() error {
	for _, p := range g.active {
		if p.broken != nil {
			return p.broken
		}
	}
	return nil
}

// breakOff gives up reading p, which err keeps from being read. If it is damaged, the group goes on with its other partitions, as long as it has
// any. It is called with g.mu held and returns with it held; meanwhile it may not be.
func (p *partition) breakOff(m *member, err error) {
	g := p.group
	if errors.Is(err, storage.ErrNotFound) {
		g.stop(g.deletedTopic(p.topic))
		return
	}
	err = fmt.Errorf("queue: group %q reading %s/%d: %w", g.name, p.topic.Name, p.number, g.engine.explained(err))
	var damage *storage.DamageError
	if !errors.As(err, &damage) {
		g.stop(err)
		return
	}
	if p.broken == nil {
		p.broken = err
		p.detach()
		g.mu.Unlock()
		m.Damaged(p.topic.Name, p.number, err)
		g.mu.Lock()
	}
	if !slices.ContainsFunc(g.active, func(other *partition) bool { return other.broken == nil }) {
		g.stop(err)
	}
}
