package storage

import "sort"

// TopicSpec is what a topic is made from.
type TopicSpec struct {
	Name       string // 1 to 249 bytes; never part of a path
	Partitions int    // 1 to MaxPartitions
	Strategy   Strategy
	// Settings is kept with the topic for the layer above and never looked into; at most MaxSettings.
	Settings []byte
}

// Topic is a topic of a store. The partitions that it was made with have consecutive IDs from First on; for those that it was given later see Added.
type Topic struct {
	TopicSpec
	// Incarnation is a random number, other than 0, of this topic in this directory. A topic made anew under an old name, or
	// in a directory that was wiped, has another, so that an offset kept elsewhere is known to be of another log. So has a topic of
	// level MemoryOnly after each open: its offsets begin again.
	Incarnation uint64
	// First is the ID of partition 0, by which a topic is known for life.
	First PartitionID
	// Added says where the IDs of partitions are that do not follow those before: see Store.GrowTopic. It ascends in both
	// fields, and is not to be changed.
	Added []Stretch
	// Past is the earlier incarnations, oldest first, at most MaxPast: one more with each Restore. It is not to be changed.
	Past []Life
}

// Life is an earlier incarnation of a topic: one that went on elsewhere, or was lost, after the copy was made that this directory goes back to.
type Life struct {
	Incarnation uint64
	// Next is, for each partition, where the copy ended, 0 for one that the topic was given later: records below it are the same in that incarnation and in this one, and an offset
	// from there on is of a record that this one never had.
	Next []int64
}

// IncarnationOf returns the incarnation in which the record of that offset in the topic's partition n was appended. It stays the same
// whatever is restored later, until more than MaxPast incarnations have followed.
func (t *Topic) IncarnationOf(n int, offset int64) uint64 {
	for i := range t.Past {
		if next := t.Past[i].Next; n < len(next) && offset < next[n] {
			return t.Past[i].Incarnation
		}
	}
	return t.Incarnation
}

// Holds tells whether the record of that offset in partition n of the topic's incarnation i is, or was, a record of this one.
func (t *Topic) Holds(i uint64, n int, offset int64) bool {
	for k := range t.Past {
		if t.Past[k].Incarnation == i {
			return n < len(t.Past[k].Next) && offset < t.Past[k].Next[n]
		}
	}
	return i == t.Incarnation
}

// Stretch says that the partitions of a topic from From on, up to the next stretch, have consecutive IDs from First on.
type Stretch struct {
	From  int
	First PartitionID
}

// Partition returns the ID of the topic's partition n, from 0.
func (t *Topic) Partition(n int) PartitionID {
	if len(t.Added) == 0 {
		return t.First + PartitionID(n)
	}
	s, _ := t.stretch(sort.Search(len(t.Added), func(i int) bool { return t.Added[i].From > n }))
	return s.First + PartitionID(n-s.From)
}

// Index tells which partition of the topic, from 0, has the ID. ok is false if none has.
func (t *Topic) Index(id PartitionID) (n int, ok bool) {
	if id < t.First {
		return 0, false
	}
	s, end := t.stretch(sort.Search(len(t.Added), func(i int) bool { return t.Added[i].First > id }))
	if d := int64(id - s.First); d < int64(end-s.From) {
		return s.From + int(d), true
	}
	return 0, false
}

// stretch returns stretch i, where 0 is what the topic was made with, and the partition in which the next one begins.
func (t *Topic) stretch(i int) (s Stretch, end int) {
	s, end = Stretch{First: t.First}, t.Partitions
	if i > 0 {
		s = t.Added[i-1]
	}
	if i < len(t.Added) {
		end = t.Added[i].From
	}
	return s, end
}

// Group is a group of a store.
type Group struct {
	ID   GroupID
	Name string
}

// HolderPrefix begins the names of groups that are holders: what they have not done is held for them as for any group, but they read nothing for
// anybody, so nothing is removed because holders alone have done it.
const HolderPrefix = "leat.hold."

// The limits of every store.
const (
	MaxPartitions = 65536    // of one topic
	MaxName       = 249      // bytes of a topic's or group's name
	MaxSettings   = 64 << 10 // bytes of TopicSpec.Settings
	MaxGroups     = 65536
	MaxPast       = 16       // of Topic.Past; the oldest are forgotten
	MaxNote       = 1 << 10  // bytes of Failure.Note
	MaxRecord     = 8 << 20  // bytes of a record, as Record.Size counts
	MaxEntry      = 16 << 20 // bytes of an entry, encoded
)
