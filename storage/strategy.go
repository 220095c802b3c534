package storage

import (
	"fmt"
	"time"
)

// Strategy says how a topic is stored. The zero value is the safe default: on disk, synced before a publish returns, kept for ever.
// Topics of different strategies share one store. See Store.AlterTopic for what may be changed later.
type Strategy struct {
	Level       Level
	Sync        SyncPolicy
	Compression CompressionPolicy // of Level Compressed; else zero
	Cleanup     CleanupPolicy
	Memory      MemoryPolicy // of Level MemoryOnly; else zero
	NoBackup    bool         // left out of snapshots, and of what a follower copies
}

// StrategyError says which field of a Strategy cannot be so. Nothing was done.
type StrategyError struct {
	Topic string // "" where a strategy is judged alone
	Field string // "Cleanup.MaxAge"
	Rule  string // what would be right
}

func (e *StrategyError) Error() string {
	if e.Topic == "" {
		return fmt.Sprintf("storage: strategy: %s: %s", e.Field, e.Rule)
	}
	return fmt.Sprintf("storage: strategy of topic %q: %s: %s", e.Topic, e.Field, e.Rule)
}

// Check returns a *StrategyError for the first field that cannot be so, alone or together with the others.
func (s Strategy) Check() error {
	var none CompressionPolicy
	c, m := &s.Cleanup, &s.Memory
	rules := []struct {
		ok    bool
		field string
		rule  string
	}{
		{s.Level <= Compressed, "Level", "one of MemoryAndDisk, MemoryOnly, DiskOnly, Compressed"},
		{s.Level == Compressed || s.Compression == none, "Compression", "only with Level Compressed"},
		{s.Compression.Codec == 0 || s.Compression.Codec.Known(), "Compression.Codec", "a codec of package compress, or zero"},
		{s.Compression.BlockBytes >= 0 && s.Compression.BlockBytes <= MaxBlockBytes, "Compression.BlockBytes", fmt.Sprintf("from 0 to %d", MaxBlockBytes)},
		{s.Level == MemoryOnly || *m == MemoryPolicy{}, "Memory", "only with Level MemoryOnly"},
		{s.Level != MemoryOnly || s.Sync == SyncAlways, "Sync", "zero with Level MemoryOnly: there is nothing to sync"},
		{m.Bytes >= 0, "Memory.Bytes", "not negative"},
		{m.WhenFull <= DropOldest, "Memory.WhenFull", "RefuseNew or DropOldest"},
		{c.MaxAge >= 0, "Cleanup.MaxAge", "not negative"},
		{c.MaxBytes >= 0, "Cleanup.MaxBytes", "not negative"},
		{c.MaxRecords >= 0, "Cleanup.MaxRecords", "not negative"},
		{c.TombstoneAge >= 0, "Cleanup.TombstoneAge", "not negative"},
		{c.LatestByKey || c.TombstoneAge == 0, "Cleanup.TombstoneAge", "only with LatestByKey"},
		{!c.LatestByKey || !c.WhenDone, "Cleanup.LatestByKey", "not together with WhenDone: what is done is deleted, the latest of its key or not"},
		{!c.LatestByKey || s.Level != MemoryOnly, "Cleanup.LatestByKey", "not with Level MemoryOnly"},
	}
	for _, r := range rules {
		if !r.ok {
			return &StrategyError{Field: r.field, Rule: r.rule}
		}
	}
	return nil
}

// Level says where a topic's records are.
type Level uint8

// The levels.
const (
	// MemoryAndDisk keeps records on disk, and the newest in memory as well, as far as the store's budget goes: each topic has the same
	// right to it, whatever the others write.
	MemoryAndDisk Level = iota
	// MemoryOnly keeps records in memory, within MemoryPolicy.Bytes. They, and the cursors of groups on them, are gone with the process;
	// the topic itself stays, with another Incarnation. They are committed at once, whatever the disk does, unless the store has stopped writing: it refuses
	// everything then. An entry cannot have records of such a topic together with anything durable: ErrMixedDurability.
	MemoryOnly
	// DiskOnly gives memory back as soon as the disk has a record.
	DiskOnly
	// Compressed is DiskOnly, and rewrites what is no longer appended to into large compressed blocks, in the background.
	Compressed
)

// String is for people.
func (l Level) String() string {
	names := [...]string{"memory and disk", "memory only", "disk only", "compressed"}
	if int(l) < len(names) {
		return names[l]
	}
	return fmt.Sprintf("level %d", uint8(l))
}

// SyncPolicy says when Append returns and readers may see a record, and so what survives when the machine loses power. A record that was
// acknowledged survives the death of the process under every policy.
//
// The zero value is SyncAlways. A positive value is an interval.
type SyncPolicy time.Duration

const (
	// SyncAlways waits for a sync, shared with all that wait at that moment. Nothing acknowledged is lost.
	SyncAlways SyncPolicy = 0
	// SyncOS leaves it to the operating system: after a power cut a prefix of the partition survives.
	SyncOS SyncPolicy = -1
)

// SyncInterval syncs at most d after a write: a power cut loses at most what was acknowledged in the last d and one sync.
// d is at least a millisecond; anything less counts as that.
func SyncInterval(d time.Duration) SyncPolicy { return SyncPolicy(max(d, time.Millisecond)) }

// Interval returns d of SyncInterval(d), and 0 for the other policies.
func (p SyncPolicy) Interval() time.Duration { return max(time.Duration(p), 0) }

// String is for people.
func (p SyncPolicy) String() string {
	switch {
	case p == SyncAlways:
		return "always"
	case p < 0:
		return "os"
	}
	return fmt.Sprintf("every %v", time.Duration(p))
}
