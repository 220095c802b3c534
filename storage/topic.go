package storage

// TopicSpec is what a topic is made from.
type TopicSpec struct {
	Name       string // 1 to 249 bytes; never part of a path
	Partitions int    // 1 to MaxPartitions
	Strategy   Strategy
	// Settings is kept with the topic for the layer above and never looked into; at most MaxSettings.
	Settings []byte
}

// Topic is a topic of a store. Its partitions have consecutive IDs from First on.
type Topic struct {
	TopicSpec
	// Incarnation is a random number, other than 0, of this topic in this directory. A topic made anew under an old name, or
	// in a directory that was wiped, has another, so that an offset kept elsewhere is known to be of another log.
	Incarnation uint64
	First       PartitionID
}

// Partition returns the ID of the topic's partition n, from 0.
func (t *Topic) Partition(n int) PartitionID { return t.First + PartitionID(n) }

// Group is a group of a store.
type Group struct {
	ID   GroupID
	Name string
}

// The limits of every store.
const (
	MaxPartitions = 65536    // of one topic
	MaxName       = 249      // bytes of a topic's or group's name
	MaxSettings   = 64 << 10 // bytes of TopicSpec.Settings
	MaxGroups     = 65536
	MaxRecord     = 8 << 20  // bytes of a record, as Record.Size counts
	MaxEntry      = 16 << 20 // bytes of an entry, encoded
)
