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
	e.roster.load() // if that fails, nothing is known to be paused
	delayed, next, failing := e.delays.figures()
	s.NextDue, s.Orphans = next, e.delays.orphans.Load()
	if failing != nil {
		s.DelayError = e.explained(failing).Error()
	}
	for _, t := range e.userTopics() {
		ts := queue.TopicStats{Name: t.Name, Partitions: t.Partitions, Delayed: delayed[t.First]}
		for n := range t.Partitions {
			ts.Records += e.stored(t.Partition(n))
		}
		e.mu.RLock()
		used := e.topics[t.Name]
		e.mu.RUnlock()
		if used != nil {
			ts.Published, ts.PublishedBytes = used.published.Load(), used.publishedBytes.Load()
			ts.Expired, ts.ExpiredRemoved = used.expired.Load(), used.swept.Load()
			if s := used.ids.Load(); s != nil {
				ts.Duplicates, ts.IDs = s.figures()
			}
			if f := used.flow.Load(); f != nil {
				f.stats(&ts)
			}
		}
		s.Topics = append(s.Topics, ts)
	}
	for _, g := range e.allGroups() {
		if !internal(g.name) {
			s.Groups = append(s.Groups, g.stats())
		}
	}
	slices.SortFunc(s.Topics, func(a, b queue.TopicStats) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Groups, func(a, b queue.GroupStats) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// stored counts the records of a partition that are there now; 0 once the store is closed.
func (e *engine) stored(id storage.PartitionID) int64 {
	b, err := e.store.Bounds(id)
	if err != nil {
		return 0
	}
	return e.storedWithin(id, b)
}

// storedWithin counts the records of a partition whose bounds are b.
func (e *engine) storedWithin(id storage.PartitionID, b storage.Bounds) int64 {
	if b.First == 0 {
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
		Ready:   b.ready, InFlight: b.inFlight, Waiting: b.waiting, Parked: b.parked,
		Delivered: g.counts.delivered, Done: g.counts.done, Failed: g.counts.failed, Expired: g.lapsed, Missed: g.counts.missed,
	}
	if b.lag > 0 {
		s.Idle = g.idleReason(b)
	}
	return s
}
