package disk

import (
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
)

// Options of a store on disk. The zero value is the safe default.
type Options struct {
	// MemoryBytes bounds the memory for records: half of it for those that wait to be copied to segments, half for those that are
	// kept to be read again. An append waits for room. 0: 128 MiB; at least 8 MiB.
	MemoryBytes int64
	// Events is called with what an operator may want to know as it happens: see storage.Event. nil: nobody wants to.
	Events func(storage.Event)
	// ScrubEvery has the whole store verified in the background, at once and then from one beginning to the next: see Store.Verify. What is damaged shows
	// in Stats.Work["scrub"], and as an event. 0: never.
	ScrubEvery time.Duration
	// ScrubBytesPerSecond bounds what that reads. 0: 32 MiB.
	ScrubBytesPerSecond int64
	// StallAfter is for how long a write or a sync may not return before Events is told so: storage.EventStalled. 0: 5 s.
	StallAfter time.Duration
	// Follower has everything that is durable copied to a second directory, all the time: see FollowerOptions.
	Follower FollowerOptions
	// Promote opens the directory of a follower, which Open refuses otherwise, as a store that goes its own way from now on, as Restore makes one:
	// nobody follows into it any more. It means nothing for other directories.
	Promote bool
	// Tuning is for tests, and for machines that are very small or very large.
	Tuning Tuning

	finishing bool // the directory of an unfinished copy, by who makes it
	following bool // the directory of a follower, by itself

	clock func() (wall, mono int64) // for tests; nil: the machine's

	noteBytes int64  // of notes, by which replay need not read the journal again; 0: a quarter of MemoryBytes
	fs        vfs.FS // for tests; nil: the directory that Open is told
}

// Tuning sets sizes that are right by default.
type Tuning struct {
	SlotBytes       int64         // of the first journal files; 0: 1 MiB; at least 64 KiB
	Slots           int           // how many of them a new directory gets; 0: 4; at least 2
	JournalBytes    int64         // what the journal may grow to; a checkpoint is made for each quarter of it; 0: 512 MiB; at least four slots
	SegmentBytes    int64         // what a segment file grows to; 0: 64 MiB; at least 64 KiB
	SpillBytes      int64         // what may wait in memory before it is copied to segments; 0: a quarter of MemoryBytes, at most 32 MiB
	CheckpointEvery time.Duration // between checkpoints while something changes; 0: 60 s; negative: no timer
	CleanEvery      time.Duration // between looks at the cleanup policies; 0: 1 s; negative: only Clean does
	UnlinkPause     time.Duration // after files of 32 MiB, or 64 of them, were removed; 0: 20 ms; negative: none, and none before a checkpoint for more
	OpenFiles       int           // segment files held open; 0: half of the descriptors that the process may have, at most 16384
	RoomEvery       time.Duration // between looks for space while the disk is full; 0: 1 s

	// RewriteEvery is between looks for segments to be compressed or compacted. 0: 2 s; negative: only Clean does.
	RewriteEvery          time.Duration
	RewriteBytesPerSecond int64 // what that reads and writes at most, but for Clean; 0: 64 MiB
	CompactBytes          int64 // of memory for the keys of a compaction; 0: 64 MiB; at least 64 KiB
}

const (
	minMemory    = 8 << 20
	minSlot      = 64 << 10
	maxSlot      = 64 << 20
	maxGroup     = 32 << 20 // bytes of one group; Invariant: fits a slot of maxSlot
	maxGroupRecs = 1 << 18
	// Records that are not synced yet are bounded by offsetJump in the whole store, so that after an unclean stop numbering can go on
	// behind all offsets that anyone may have seen: a sync is forced at half of it, while one group may be on its way and one being staged.
	offsetJump = 1 << 24
	maxAhead   = 4 << 20 // unsynced bytes while a SyncAlways topic is active, so that its syncs stay short
	// A segment file that was written to is synced before it is closed, one by one: with too few of them open, many partitions wait for that at each spill
	// instead of for a checkpoint, which syncs many at once.
	maxOpenFiles = 1 << 14
)

// withDefaults fills in what is zero and refuses what cannot be.
func (o Options) withDefaults() (Options, error) {
	t := &o.Tuning
	fill(&o.MemoryBytes, 128<<20)
	fill(&o.noteBytes, o.MemoryBytes/indexPart)
	fill(&o.ScrubBytesPerSecond, scrubSecond)
	fill(&t.SlotBytes, 1<<20)
	fill(&t.Slots, 4)
	fill(&t.JournalBytes, max(512<<20, 4*t.SlotBytes))
	fill(&t.SegmentBytes, 64<<20)
	fill(&t.SpillBytes, min(o.MemoryBytes/4, 32<<20))
	fill(&t.CheckpointEvery, 60*time.Second)
	fill(&t.CleanEvery, time.Second)
	fill(&t.UnlinkPause, 20*time.Millisecond)
	fill(&t.OpenFiles, max(1, min(osfs.Descriptors()/2, maxOpenFiles)))
	fill(&t.RoomEvery, time.Second)
	fill(&o.StallAfter, 5*time.Second)
	fill(&t.RewriteEvery, 2*time.Second)
	fill(&t.RewriteBytesPerSecond, 64<<20)
	fill(&t.CompactBytes, 64<<20)
	switch {
	case o.MemoryBytes < minMemory:
		return o, tooSmall("Options.MemoryBytes", o.MemoryBytes, minMemory)
	case o.ScrubEvery < 0:
		return o, tooSmall("Options.ScrubEvery", int64(o.ScrubEvery), 0)
	case o.ScrubBytesPerSecond < 0:
		return o, tooSmall("Options.ScrubBytesPerSecond", o.ScrubBytesPerSecond, 1)
	case t.SlotBytes < minSlot || t.SlotBytes > maxSlot || t.SlotBytes%sector != 0:
		return o, tooSmall("Tuning.SlotBytes", t.SlotBytes, minSlot)
	case t.Slots < 2:
		return o, tooSmall("Tuning.Slots", int64(t.Slots), 2)
	case t.JournalBytes < 4*t.SlotBytes:
		return o, tooSmall("Tuning.JournalBytes", t.JournalBytes, 4*t.SlotBytes)
	case t.SegmentBytes < minSlot:
		return o, tooSmall("Tuning.SegmentBytes", t.SegmentBytes, minSlot)
	case t.OpenFiles < 1:
		return o, tooSmall("Tuning.OpenFiles", int64(t.OpenFiles), 1)
	case o.StallAfter < time.Millisecond:
		return o, tooSmall("Options.StallAfter", int64(o.StallAfter), int64(time.Millisecond))
	case t.RoomEvery < time.Millisecond:
		return o, tooSmall("Tuning.RoomEvery", int64(t.RoomEvery), int64(time.Millisecond))
	case t.RewriteBytesPerSecond < 0:
		return o, tooSmall("Tuning.RewriteBytesPerSecond", t.RewriteBytesPerSecond, 1)
	case t.CompactBytes < minSlot:
		return o, tooSmall("Tuning.CompactBytes", t.CompactBytes, minSlot)
	case t.SpillBytes < 0 || t.SpillBytes > o.MemoryBytes/2:
		return o, tooSmall("Tuning.SpillBytes", t.SpillBytes, 1)
	}
	return o, nil
}

func fill[T int | int64 | time.Duration](field *T, def T) {
	if *field == 0 {
		*field = def
	}
}

func tooSmall(what string, size, least int64) error {
	return &storage.LimitError{What: what + " out of range (at least the second figure)", Size: size, Max: least}
}
