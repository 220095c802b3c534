package storagetest

import (
	"sort"

	"github.com/leatmq/leat/storage"
)

// compacted finds the records of a partition that are rightly missing, because its topic keeps, or once kept, only the latest of each key: a later record of the key
// is there. They count as trimmed. It returns their offsets, ascending.
func (c *check) compacted(p storage.PartitionID, first int64, records []storage.Record) (missing []int64) {
	if !c.h.compacts(p) {
		return nil
	}
	there, last := make(map[int64]bool, len(records)), map[string]int64{}
	for i := range records {
		there[records[i].Offset] = true
		if records[i].Key != nil {
			last[string(records[i].Key)] = records[i].Offset
		}
	}
	for at, s := range c.h.seen {
		if at.partition != p || at.offset < first || there[at.offset] {
			continue
		}
		key := s.mark.key()
		if a := c.h.entry(s.mark.entry); a == nil || a.gone || a.refused || key == nil || last[string(key)] <= at.offset {
			continue
		}
		c.trimmed[s.mark.entry]++
		c.Compacted++
		missing = append(missing, at.offset)
	}
	sort.Slice(missing, func(i, j int) bool { return missing[i] < missing[j] })
	return missing
}

// compacts tells whether the partition's topic was ever asked to keep only the latest of each key.
func (h *History) compacts(p storage.PartitionID) bool {
	for _, a := range h.topics {
		if !holds(&a.topic, p) {
			continue
		}
		if a.spec.Strategy.Cleanup.LatestByKey {
			return true
		}
		for _, ch := range h.changes {
			if ch.Alter != nil && ch.Alter.Name == a.topic.Name && !ch.refused && ch.Alter.Strategy.Cleanup.LatestByKey {
				return true
			}
		}
	}
	return false
}

// below counts the offsets of an ascending list that are below one.
func below(offsets []int64, offset int64) int64 {
	return int64(sort.Search(len(offsets), func(i int) bool { return offsets[i] >= offset }))
}

func contains(offsets []int64, offset int64) bool {
	return below(offsets, offset+1) > below(offsets, offset)
}

// superseded tells whether a record may be missing because a later one of its key is known, and its topic asks for that.
func (h *History) superseded(at place, m mark) bool {
	key := m.key()
	if key == nil || !h.compacts(at.partition) {
		return false
	}
	for p, s := range h.seen {
		if p.partition == at.partition && p.offset > at.offset && string(s.mark.key()) == string(key) {
			return true
		}
	}
	return false
}
