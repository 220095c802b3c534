package storagetest

import (
	"reflect"

	"github.com/leatmq/leat/storage"
)

// cursorKey names a cursor.
type cursorKey struct {
	group     storage.GroupID
	partition storage.PartitionID
}

// version is a cursor that was asked for.
type version struct {
	attempt *Attempt
	cursor  *storage.Cursor
}

// cursors compares every cursor with the versions of it that were asked for, in their order: two versions of one cursor are never
// under way at a time.
func (c *check) cursors() {
	versions := map[cursorKey][]version{}
	for _, a := range c.h.entries {
		if a.gone || a.refused {
			continue
		}
		for i := range a.Plan.Cursors {
			cur := &a.Plan.Cursors[i]
			k := cursorKey{cur.Group, cur.Partition}
			if c.h.dropped(cur.Partition) {
				continue
			}
			versions[k] = append(versions[k], version{a, cur})
		}
	}
	for _, g := range c.s.Groups() {
		for _, t := range c.s.Topics() {
			for i := range t.Partitions {
				k := cursorKey{g.ID, t.Partition(i)}
				c.cursor(k, versions[k])
				delete(versions, k)
			}
		}
	}
	for k, vs := range versions {
		for _, v := range vs {
			if c.survives(v.attempt) {
				c.bad(&c.Lost, "the cursor of group %d on partition %d is missing with them", k.group, k.partition)
				break
			}
			if v.attempt.total == 0 {
				v.attempt.gone = true
			}
		}
	}
}

func (c *check) cursor(k cursorKey, versions []version) {
	cur, ok := c.s.Cursor(k.group, k.partition)
	is := -1
	if ok {
		c.Cursors++
		c.sane(&cur)
		for i := range versions {
			if sameCursor(versions[i].cursor, &cur) {
				is = i
			}
		}
		if is < 0 && !c.granted(&cur) {
			c.bad(&c.OldCursors, "group %d, partition %d: a cursor that nobody asked for: %+v", k.group, k.partition, cur)
			return
		}
		c.together(k, versions[:is+1], true)
	}
	for i := len(versions) - 1; i > is; i-- {
		if c.survives(versions[i].attempt) {
			c.bad(&c.OldCursors, "group %d, partition %d: the cursor of entry %d was acknowledged, version %d of %d is there", k.group, k.partition,
				versions[i].attempt.Number, is+1, len(versions))
			break
		}
	}
	c.together(k, versions[is+1:], false)
}

// granted tells whether a cursor is as a group gets it on a partition that its topic is given.
func (c *check) granted(cur *storage.Cursor) bool {
	if cur.Floor > 0 || cur.Passed > 0 || len(cur.Done)+len(cur.Failed) > 0 {
		return false
	}
	for _, a := range c.h.topics {
		if n, ok := a.topic.Index(cur.Partition); ok && n >= a.spec.Partitions {
			return true
		}
	}
	return false
}

// together finds entries whose cursor is there without their records, or the other way round.
func (c *check) together(k cursorKey, versions []version, there bool) {
	for i, v := range versions {
		records := c.there(v.attempt) > 0
		if v.attempt.total == c.dropped[v.attempt.Number] { // it has no records that could tell
			v.attempt.gone = v.attempt.gone || !there
			continue
		}
		if records == there {
			continue
		}
		if there && i < len(versions)-1 && v.attempt.durability == 0 {
			continue // it failed before the next was begun
		}
		if there && c.settleUnseen(v.attempt) {
			continue
		}
		c.bad(&c.Torn, "entry %d: records there %v, its cursor of group %d on partition %d there %v", v.attempt.Number, records, k.group, k.partition, there)
	}
}

func sameCursor(a, b *storage.Cursor) bool {
	return a.Group == b.Group && a.Partition == b.Partition && a.Floor == b.Floor && a.Passed == b.Passed &&
		sameSlice(a.Done, b.Done) && sameSlice(a.Failed, b.Failed)
}

func sameSlice[T any](a, b []T) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// sane checks that a cursor fits what is stored.
func (c *check) sane(cur *storage.Cursor) {
	b, err := c.s.Bounds(cur.Partition)
	if err != nil {
		c.bad(&c.Unreadable, "bounds of partition %d: %v", cur.Partition, err)
		return
	}
	last := cur.Floor
	for _, r := range cur.Done {
		last = max(last, r.To)
	}
	for _, f := range cur.Failed {
		last = max(last, f.Offset+1)
	}
	if last > b.Next {
		c.bad(&c.PastData, "the cursor of group %d on partition %d goes to %d, the data to %d", cur.Group, cur.Partition, last, b.Next)
	}
	if cur.Floor < b.First { // what it has passed is not counted any more
		return
	}
	passed, err := Passed(c.s, cur)
	if err != nil || passed != cur.Passed {
		c.bad(&c.PastData, "the cursor of group %d on partition %d has passed %d records, of those stored %d, %v", cur.Group, cur.Partition, cur.Passed, passed, err)
	}
}

// Passed counts the records of s that are done by a cursor.
func Passed(s storage.Store, cur *storage.Cursor) (int64, error) {
	passed, err := s.Ordinal(cur.Partition, cur.Floor)
	if err != nil {
		return 0, err
	}
	for _, r := range cur.Done {
		from, err := s.Ordinal(cur.Partition, r.From)
		if err != nil {
			return 0, err
		}
		to, err := s.Ordinal(cur.Partition, r.To)
		if err != nil {
			return 0, err
		}
		passed += to - from
	}
	return passed, nil
}
