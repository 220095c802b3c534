// Package timers keeps messages that are not due yet in topics of a storage.Store, and moves them to where they go when they are. It knows topics and
// partitions, and nothing of groups, handlers or package queue: who uses it says where a message goes.
//
//	publish ─> inbox ─────────────┐
//	             │ too many       ├─> the least due ─> one entry: the messages where they go, and the ledger without them
//	             └─> sorted runs ─┘
//	                  └─> fewer, longer runs
//
// The inbox is a partition to which messages are appended as to any other, together with whatever else is in their entry. An [Index] reads it, and keeps a reference
// of some bytes for each. When these become many, they are written to a run, which is sorted by due time and read from its beginning; runs of like
// sizes are merged. So memory is bounded whatever waits, and a publish costs the same.
//
// What counts is what the ledger says: its newest record names the runs, how far each is done, and what is done in the inbox. It changes in the entry in which
// messages move, so that each is moved once, and a run that was cut short counts for nothing. Whatever dies is taken up from there.
//
// A timer that is cancelled gets a tombstone of the same key in the inbox. The two meet where all are put in order, at the latest when they are due.
package timers
