package storage

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("storage: closed")
	// ErrNotFound is returned for a partition or group that the store does not have.
	ErrNotFound = errors.New("storage: not found")
	// ErrExists is returned by CreateTopic for a name that is taken.
	ErrExists = errors.New("storage: exists")
	// ErrShrink is returned by GrowTopic for fewer partitions than a topic has: what lies in them would be lost. Make another topic, and move what it holds.
	ErrShrink = errors.New("storage: a topic cannot have fewer partitions than before")
	// ErrFull says that there was no room in memory for an entry, which was not stored: read faster, write slower, or raise the bound.
	ErrFull = errors.New("storage: full")
	// ErrIndeterminate says that it is not known whether an entry was stored.
	ErrIndeterminate = errors.New("storage: outcome unknown")
	// ErrInUse says that the directory has an owner already, in this process or another.
	ErrInUse = errors.New("storage: directory in use")
	// ErrNotDamaged says that nothing is wrong with what was to be given up.
	ErrNotDamaged = errors.New("storage: not damaged")
	// ErrNoSpace says that the disk is full. The entry was not stored; cursors are still taken. Records are again as soon as there is space.
	ErrNoSpace = errors.New("storage: no space left on the disk")
	// ErrReadOnly is returned for writing to a store that was opened to be read, and by an open for writing of a directory that cannot be
	// written to.
	ErrReadOnly = errors.New("storage: read-only")
	// ErrMixedDurability is returned for an entry that has records of a MemoryOnly topic together with records or cursors of durable ones: it
	// could not survive whole. Nothing was stored.
	ErrMixedDurability = errors.New("storage: an entry of records in memory and durable ones cannot be atomic")
	// ErrNotEmpty is returned for writing a copy of a store into a directory that holds something. Nothing was changed.
	ErrNotEmpty = errors.New("storage: directory not empty")
	// ErrUnfinished is returned for a directory in which a snapshot or a restore has not ended: what is there is no whole store. A new snapshot or restore into it
	// begins again.
	ErrUnfinished = errors.New("storage: unfinished copy of a store")
	// ErrFollower is returned by an open for writing of a directory into which a store is followed: use Restore, or promote it, when that store is gone.
	ErrFollower = errors.New("storage: the directory follows a store")
	// ErrDiverged says that a directory that follows a store has what that store has not, which was set back or lost something. Nothing is copied any more: restore from
	// the directory, or follow into another.
	ErrDiverged = errors.New("storage: the directory that follows has what the store has not")
	// ErrFormat says that a directory was written by a newer version, or is no store: nothing was changed.
	ErrFormat = errors.New("storage: unknown format")
)

// LimitError says that something is larger than a limit. Nothing was allocated or written for it.
type LimitError struct {
	What      string // "record", "entry", ...
	Size, Max int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("storage: %s of %d, limit %d", e.What, e.Size, e.Max)
}

// StoppedError says that the store stopped writing, and why: a write or a sync failed, and what the disk holds since then is not known until
// the store is closed and opened again.
type StoppedError struct{ Cause error }

func (e *StoppedError) Error() string {
	return "storage: stopped writing until reopened: " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *StoppedError) Unwrap() error { return e.Cause }

// DamageError says that bytes that were once durable are not what was written. Nothing was cut or changed.
type DamageError struct {
	File        string // below the store's directory; the directory of it if the file is not known
	From, To    int64  // bytes; To is 0 if unknown
	Partition   PartitionID
	First, Next int64 // offsets that are lost, half-open; both 0 if it is not about records
	Records     int64 // how many records these were, as far as is known
	Reason      string
	Skipped     bool // it was decided that reads go on behind it
}

func (e *DamageError) Error() string {
	s := fmt.Sprintf("storage: damaged: %s, bytes %d to %d: %s", e.File, e.From, e.To, e.Reason)
	if e.Next > e.First {
		s += fmt.Sprintf(" (partition %d, offsets %d to %d)", e.Partition, e.First, e.Next)
	}
	return s
}

// JournalError says that the journal is damaged below what was synced, so that it is not known what stood there: the store cannot be opened for
// writing, and nothing was changed. The ways out are a backup, or disk.Salvage, which keeps and loses what Salvage says.
type JournalError struct {
	Damage  *DamageError // the first place
	Salvage Salvaged
}

func (e *JournalError) Error() string {
	return fmt.Sprintf("%v; a salvage keeps %d entries with %d records of the journal, and loses %d frames in %d bytes",
		e.Damage, e.Salvage.Entries, e.Salvage.Records, e.Salvage.Frames, e.Salvage.Bytes)
}

// Unwrap returns the damage.
func (e *JournalError) Unwrap() error { return e.Damage }

// Salvaged is what a salvage of the journal keeps and loses.
type Salvaged struct {
	Entries int64        // whole entries kept
	Records int64        // kept, in these and in others
	Frames  int64        // lost that were once durable: batches, cursors, topics, padding
	Bytes   int64        // that could not be read
	Lost    []FrameRange // the lost frames
}

// FrameRange is frames of the journal by their numbers, both included.
type FrameRange struct{ First, Last uint64 }
