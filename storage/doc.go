// Package storage is the vocabulary of leat's storage engine: what a record, a partition, an entry and a cursor are, and what a [Store] of them
// promises. Two stores keep the promises: storage/disk in a directory, storage/mem in memory; both pass storage/storagetest.
//
// It knows partitions, offsets and the bytes of records. It does not know keys' meaning, ordering of work, retries
// or handlers: those are package queue and queue/embedded.
//
// # Words
//
// A partition is a log of records. An offset is a record's place in its partition: offsets grow strictly, are never reused, may have gaps,
// and are never subtracted to count. An entry is what one Append stores: all of it survives, or nothing does. A record is committed when readers may see
// it: after the write under SyncInterval and SyncOS, after the sync under SyncAlways. A cursor is how far a group has come in a partition. Intervals of offsets are half-open.
package storage
