package storage

import (
	"fmt"
	"time"

	"github.com/leatmq/leat/compress"
)

// CompressionPolicy says how a topic of Level Compressed is compressed: whole blocks of many records, since single messages are too
// small to compress well.
type CompressionPolicy struct {
	Codec compress.ID    // 0: zstd
	Level compress.Level // 0: the codec's default
	// BlockBytes is how many bytes of records go into one block. A read expands one block at a time, so larger blocks are smaller on disk and
	// dearer to read at random. 0: 256 KiB; at most MaxBlockBytes.
	BlockBytes int
}

// DefaultBlockBytes is what CompressionPolicy.BlockBytes means by 0.
const DefaultBlockBytes = 256 << 10

// MaxBlockBytes bounds CompressionPolicy.BlockBytes.
const MaxBlockBytes = 4 << 20

// WithDefaults returns p with its zero fields filled in.
func (p CompressionPolicy) WithDefaults() CompressionPolicy {
	if p.Codec == 0 {
		p.Codec = compress.IDZstd
	}
	if p.BlockBytes == 0 {
		p.BlockBytes = DefaultBlockBytes
	}
	return p
}

// CleanupPolicy says which records of a topic may go, in each of its partitions: the oldest, as soon as any of the rules asks for it. The zero value keeps
// everything. Rules are applied in the background, every second or so, to whole batches; files go when nothing in them is left.
type CleanupPolicy struct {
	MaxAge     time.Duration // by the append time; 0: whatever their age
	MaxBytes   int64         // of a partition on disk or, MemoryOnly, in memory; 0: no bound
	MaxRecords int64         // of a partition; 0: no bound
	// WhenDone removes what every group that has a cursor on the partition has done: a work queue. A partition without
	// groups keeps everything, and so does one with holders alone: see HolderPrefix.
	WhenDone bool
	// LatestByKey keeps of each key the newest record, and those without a key. It is applied to what is no longer appended to, in the background. A record
	// with a key and an empty value is a tombstone: it removes those before it, and goes itself after TombstoneAge.
	LatestByKey  bool
	TombstoneAge time.Duration // of LatestByKey; 0: 24 hours
	// HoldForGroups keeps, against all the other rules, what a group that has a cursor on the partition has not done. Without it such a group
	// misses what was removed, and is told how much.
	HoldForGroups bool
}

// DefaultTombstoneAge is what CleanupPolicy.TombstoneAge means by 0.
const DefaultTombstoneAge = 24 * time.Hour

// MemoryPolicy bounds a topic of Level MemoryOnly. What every group that has a cursor on a partition finished is forgotten first.
type MemoryPolicy struct {
	Bytes    int64 // of all partitions together; 0: 256 MiB. An entry that makes room may go an eighth beyond it
	WhenFull Overflow
}

// DefaultMemoryBytes is what MemoryPolicy.Bytes means by 0.
const DefaultMemoryBytes = 256 << 20

// Overflow says what happens when a bound is reached and nothing can be forgotten.
type Overflow uint8

// The rules of overflow.
const (
	RefuseNew  Overflow = iota // Append returns ErrFull
	DropOldest                 // the oldest records go, done or not; groups that miss them are told
)

// String returns the name of the constant.
func (o Overflow) String() string {
	switch o {
	case RefuseNew:
		return "RefuseNew"
	case DropOldest:
		return "DropOldest"
	}
	return fmt.Sprintf("Overflow(%d)", uint8(o))
}
