package storage

import (
	"fmt"
	"time"
)

// Strategy says how a topic is stored. The zero value is the safe default.
type Strategy struct {
	Sync SyncPolicy
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
