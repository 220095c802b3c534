package embedded

import (
	"cmp"
	"slices"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// Stats implements queue.EngineStats.
func (e *engine) Stats() queue.Stats {
	var s queue.Stats
	for _, t := range e.store.Topics() {
		ts := queue.TopicStats{Name: t.Name, Partitions: t.Partitions}
		for n := range t.Partitions {
			ts.Records += e.stored(&t, n)
		}
		e.mu.RLock()
		used := e.topics[t.Name]
		e.mu.RUnlock()
		if used != nil {
			ts.Published, ts.PublishedBytes = used.published.Load(), used.publishedBytes.Load()
		}
		s.Topics = append(s.Topics, ts)
	}
	for _, g := range e.allGroups() {
		s.Groups = append(s.Groups, g.stats())
	}
	slices.SortFunc(s.Topics, func(a, b queue.TopicStats) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Groups, func(a, b queue.GroupStats) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// stored counts the records of a partition that are there now; 0 once the store is closed.
func (e *engine) stored(t *storage.Topic, partition int) int64 {
	id := t.Partition(partition)
	b, err := e.store.Bounds(id)
	if err != nil || b.First == 0 {
		return b.Records
	}
	gone, err := e.store.Ordinal(id, b.First)
	if err != nil {
		return b.Records
	}
	return b.Records - gone
}

func (g *group) stats() queue.GroupStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.backlog()
	s := queue.GroupStats{
		Name:    g.name,
		Members: len(g.members),
		Ready:   b.ready, InFlight: b.inFlight, Waiting: b.waiting,
		Delivered: g.counts.delivered, Done: g.counts.done, Failed: g.counts.failed, Missed: g.counts.missed,
	}
	if b.lag > 0 {
		s.Idle = g.idleReason(b)
	}
	return s
}
