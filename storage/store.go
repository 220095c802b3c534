package storage

import (
	"context"
	"time"
)

// Store is a set of topics and groups. All methods may be called concurrently. Waits end with their context; reads do not wait.
//
// After a write or sync failed, a store stops writing: see Stopped. After Close every call returns ErrClosed, but for Stats, Topics and the like,
// which tell what was last so.
type Store interface {
	// CreateTopic makes a topic, durable on return whatever its strategy. ErrExists if there is one of the name; *LimitError,
	// *StrategyError.
	CreateTopic(ctx context.Context, s TopicSpec) (Topic, error)
	// Topic finds a topic by name.
	Topic(name string) (Topic, bool)
	// Topics lists all topics, in the order they were made.
	Topics() []Topic
	// AlterTopic replaces a topic's strategy and settings, durable on return; what is stored already follows in the background. A topic stays MemoryOnly or not:
	// *StrategyError. Records of appends in progress count as before or behind it. Those behind it are never removed by what the topic asked for before.
	AlterTopic(ctx context.Context, name string, s Strategy, settings []byte) error
	// GrowTopic gives a topic more partitions, so that there are total of them, durable on return, and returns the topic as it is then; appends and reads go on. The new ones
	// are empty and have the topic's strategy. In the same step each group that has a cursor on a partition of the topic gets one at the beginning of each new one, so that nothing is removed
	// there as done, or is not held, before the group has come. Nothing happens to a topic that has so many. *LimitError for more than MaxPartitions, and for more cursors than an entry takes: grow
	// in smaller steps; ErrShrink; ErrNotFound; and those of an Append that finds no room, or ends unknown.
	GrowTopic(ctx context.Context, name string, total int) (Topic, error)
	// DeleteTopic removes a topic with its records and the cursors on it, durable on return. Its space is given back in the background, its
	// partitions' IDs are not used again; reads in progress may still succeed. ErrNotFound.
	DeleteTopic(ctx context.Context, name string) error
	// DeleteGroup removes a group and its cursors, durable on return. ErrNotFound.
	DeleteGroup(ctx context.Context, name string) error
	// Trim removes the records of p below first, whatever the topic's strategy says and whoever has not done them; durable on return. What lies in one batch with
	// records from first on is no longer read, and goes with them. first is at most Bounds.Next.
	Trim(ctx context.Context, p PartitionID, first int64) error
	// Clean applies the cleanup policies of all topics now, and compresses and compacts what is no longer appended to, for topics that ask for it. Stores do it
	// themselves from time to time. Errors, beside those of Append: *DamageError and others of what could not be rewritten, and is as it was.
	Clean(ctx context.Context) error
	// CreateGroup makes a group, or finds the one of the name; durable on return.
	CreateGroup(ctx context.Context, name string) (Group, error)
	// Groups lists all groups, in the order they were made.
	Groups() []Group

	// Append stores e: all of it or nothing. It sets Offset and Appended of its records and returns the durability that the strictest
	// topic asked for; cursors count as their partition's topic.
	//
	// Errors: *LimitError, ErrNotFound, ErrMixedDurability, and others for an entry or a cursor that cannot be, before anything happened; ErrFull joined with ctx's error when
	// ctx ended while waiting for room, or at once in a memory store, or for a topic in memory, whose bound is reached; ErrNoSpace together with ErrFull when the disk is full and e
	// has records; ErrFull joined with the system's error when e needs a file and there is no descriptor for it; *StoppedError. In all these cases nothing was stored and never will be. ErrIndeterminate, joined with the cause, when ctx ended or the
	// store stopped after e was taken: it is stored whole or not at all. Offset is set then, too: as soon as Bounds.Next is above it, a read at it tells.
	Append(ctx context.Context, e *Entry) (Durability, error)

	// Read appends to dst committed records of p, in offset order, from the first whose offset is at least from, whole batches as they were
	// appended: one if there is any, or what is left of it from there on, and then as many as fit maxBytes. next is where to go on; a read at the end appends nothing, and next is
	// at least from. Records below Bounds.First are skipped silently: compare offsets.
	// Errors: ErrNotFound, *DamageError, and those of the file system.
	Read(dst []Record, p PartitionID, from int64, maxBytes int) (records []Record, next int64, err error)
	// ReadInto is Read with memory of the caller's: the records' slices are part of *buf, which is replaced by a larger one where it is too small, and is as long as what was
	// used of it. So they are good until the caller uses that again. It spares fresh memory, which costs more than the read.
	ReadInto(dst []Record, buf *[]byte, p PartitionID, from int64, maxBytes int) (records []Record, next int64, err error)
	// Bounds tells what p holds.
	Bounds(p PartitionID) (Bounds, error)
	// OffsetAt returns where the committed records begin that were appended at or after t: all that are stored from that offset on were, and none below it. It is Bounds.Next if
	// there are none. It need not be the offset of a record, where those in front of the first one are removed.
	OffsetAt(p PartitionID, t time.Time) (int64, error)
	// Ordinal counts the committed records ever appended to p below offset.
	Ordinal(p PartitionID, offset int64) (int64, error)
	// Watch has w notified whenever records of p are committed, until the returned function is called.
	Watch(p PartitionID, w *Watcher) (unwatch func(), err error)
	// Cursor returns the newest committed cursor of g on p. It belongs to the caller.
	Cursor(g GroupID, p PartitionID) (Cursor, bool)

	// Stopped is closed when the store stopped writing because a write or sync failed; StopCause is then a *StoppedError. Reads go on. The way
	// out is to close the store and open it again.
	Stopped() <-chan struct{}
	StopCause() error
	Stats() Stats
	// Report tells what the open found.
	Report() OpenReport
	// Close makes everything durable and gives up files, memory and goroutines. When ctx ends first it stops waiting for writes in progress to become durable;
	// what was acknowledged is safe all the same. It is idempotent.
	Close(ctx context.Context) error
}

// Durability is what an acknowledged entry survives.
type Durability uint8

// The durabilities, growing.
const (
	InMemory Durability = iota + 1 // nothing
	Written                        // the death of the process
	Synced                         // loss of power
)

// Stats is a snapshot of a store's counters.
type Stats struct {
	Topics, Partitions, Groups int
	Appended                   int64 // records committed since the open
	AppendedBytes              int64 // bytes of their frames
	Commits, Syncs             int64 // groups written to the journal, and syncs of it
	MemoryBytes                int64 // held for records in memory
	UnspilledBytes             int64 // of these, not yet in a segment
	JournalBytes               int64 // size of the journal's files
	Spills, Checkpoints        int64
	Segments                   int64
	SegmentBytes               int64 // size of the segments' files
	OpenFiles                  int
	Trimmed                    int64           // records removed since the open, by Trim and by cleanup
	Full                       bool            // no space on the disk: see ErrNoSpace
	Work                       map[string]Work // background work by its name: "cleanup", "rewrite", "unlink", ...
}

// OpenReport is what an open found and did.
type OpenReport struct {
	New       bool          // the directory was empty
	Clean     bool          // the last owner closed it
	Entries   int64         // replayed from the journal
	Records   int64         // in these
	CutBytes  int64         // of a torn tail: written, never acknowledged as synced, cut
	Leftovers int           // files of an interrupted run, whose content is elsewhere, removed
	Foreign   []string      // names that are not the store's, left alone
	Exposed   bool          // others than its owner may write in the directory: take that right away from them, they could forge records
	Raised    []PartitionID // partitions whose next offset was raised above a cursor that was ahead of it
	// Damage is the records that are known to be lost, in holes that readers are told of or that were skipped; and of a store that was opened
	// to be read all the same, the damage of the journal: what lies behind is not served.
	Damage     []*DamageError
	Took       time.Duration
	Checkpoint int64 // sequence number of the checkpoint used
}
