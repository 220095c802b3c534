package storage

import "time"

// Record is one message of a partition.
//
// In a [Batch] the store reads Key, Value, Headers and Timestamp, and copies what it keeps. In what [Store.Read] returns, the slices share
// buffers, mostly one, that belong to the caller and are never reused by the store.
type Record struct {
	Offset    int64     // set by the store
	Appended  time.Time // set by the store from its clock; never goes back within a partition
	Timestamp time.Time // the application's; kept to the nanosecond between the years 1678 and 2261, zero stays zero
	Key       []byte    // nil and empty are kept apart
	Value     []byte    // nil reads back as empty
	Headers   Headers   // encoded; nil for none
}

// Size is what the record counts for in limits: the bytes of key, value and encoded headers.
func (r *Record) Size() int { return len(r.Key) + len(r.Value) + len(r.Headers) }
