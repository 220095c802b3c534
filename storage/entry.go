package storage

import "time"

// Entry is the unit of atomicity: all batches and cursors of it survive a crash, or none does.
// An Entry, its batches and its records belong to the caller again when Append has returned.
type Entry struct {
	Batches []Batch  // at most one for each partition
	Cursors []Cursor // of several for one group and partition the last counts
	// MakesRoom says that something may be removed when the entry is stored: what it settles, or moves. If memory is full it goes beyond the bound, of the store or of a topic in memory, by a
	// SpareMemory of it at most, since else there might never be room. It does nothing where memory makes room by itself, by what is written to the disk.
	MakesRoom bool
	// Now is what time.Now just told who appends the entry: to look at the clock is a good part of what a small entry in memory costs. Zero: the store looks itself, as it does if
	// it goes by another clock.
	Now time.Time
}

// SpareMemory is the part of a bound of memory, one in so many, that entries may have beyond it that make room.
const SpareMemory = 8

// Batch is consecutive records of one partition.
type Batch struct {
	Partition PartitionID
	Records   []Record // Offset and Appended are set by Append
}

// Cursor is all that a group has to remember of a partition. It is absolute: the newest one replaces those before it.
type Cursor struct {
	Group     GroupID
	Partition PartitionID
	Floor     int64     // every record below is done
	Passed    int64     // how many records ever appended are done: those below Floor (see Store.Ordinal) and those in Done
	Done      []Range   // done above the floor: ascending, apart, none touching Floor
	Failed    []Failure // not done and tried before: ascending by offset
}

// Range is the offsets from From up to but not including To.
type Range struct{ From, To int64 }

// Failure is what is remembered of a record whose attempts failed.
type Failure struct {
	Offset   int64
	Attempts uint32 // how many failed
	Due      int64  // not again before this wall time, in nanoseconds of Unix time; 0: at once
	Note     string // for the layer above, never looked into; at most MaxNote bytes
}

// PartitionID names a partition of a store; never reused.
type PartitionID uint32

// GroupID names a group of a store; never reused.
type GroupID uint32

// Bounds says what a partition holds.
type Bounds struct {
	First   int64 // no record below it is stored
	Next    int64 // above every committed offset; a record appended later has this or more
	Records int64 // committed records ever appended, those removed since included
}
