package storagetest

import (
	"math"
	"slices"
	"sort"

	"github.com/leatmq/leat/storage"
)

// compacted finds the records of a partition that are rightly missing, because its topic keeps, or kept since they were asked for, only the latest of each key: a
// later record of the key is there. They count as removed. It returns their offsets, ascending.
func (c *check) compacted(p storage.PartitionID, v *view) (missing []int64) {
	there := make(map[int64]bool, len(v.records))
	for i := range v.records {
		there[v.records[i].Offset] = true
	}
	for _, s := range c.h.seen.within(p, v.bounds.First, math.MaxInt64) {
		if there[s.offset] {
			continue
		}
		if a := c.h.entry(s.mark.entry); a == nil || a.gone || a.refused || v.lastOf(s.mark) <= s.offset || !c.h.compactsSince(p, a.begun) {
			continue
		}
		c.removed[s.mark.entry]++
		c.Compacted++
		missing = append(missing, s.offset)
	}
	return missing
}

// lastOf returns the offset of the last record that is there of a record's key, -1 if there is none, or if it has no key.
func (v *view) lastOf(m mark) int64 {
	if key := m.key(); key != nil {
		if last, ok := v.last[string(key)]; ok {
			return last
		}
	}
	return -1
}

// compactsSince tells whether the partition's topic may have kept only the latest of each key at any time since an event.
func (h *History) compactsSince(p storage.PartitionID, since int) bool {
	for _, a := range h.topics {
		if holds(&a.topic, p) {
			return h.keptLatest(a, since)
		}
	}
	return false
}

func (h *History) keptLatest(a *topicAttempt, since int) bool {
	on := a.spec.Strategy.Cleanup.LatestByKey
	for _, ch := range h.changes {
		if ch.Alter == nil || ch.Alter.Name != a.topic.Name || ch.refused && !ch.passing {
			continue
		}
		latest := ch.Alter.Strategy.Cleanup.LatestByKey
		switch {
		case !ch.acked: // perhaps
			on = on || latest
		case on && ch.ended > since:
			return true
		default:
			on = latest
		}
	}
	return on
}

// below counts the offsets of an ascending list that are below one.
func below(offsets []int64, offset int64) int64 {
	return int64(sort.Search(len(offsets), func(i int) bool { return offsets[i] >= offset }))
}

func contains(offsets []int64, offset int64) bool {
	return below(offsets, offset+1) > below(offsets, offset)
}

// superseded tells whether a record of a may be missing because a later one of its key is known, and its topic asks for that.
func (h *History) superseded(at place, a *Attempt, m mark) bool {
	key := m.key()
	if key == nil || !h.compactsSince(at.partition, a.begun) {
		return false
	}
	return slices.ContainsFunc(h.seen.within(at.partition, at.offset+1, math.MaxInt64), func(s sighting) bool { return string(s.mark.key()) == string(key) })
}
