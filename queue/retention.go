package queue

import (
	"fmt"
	"time"
)

// Retention says which messages of a topic may go, in each of its partitions, the oldest first, as soon as any of the rules asks for it.
// The zero value keeps everything. Engines apply it in the background, every second or so, to whole pieces of a partition, so that
// somewhat more may be there than the rules say, never less.
//
// Whatever the rules, what is past its Message.Expires goes as well, when nothing that is not lies before it: some ten seconds later, or when the topic is used after a restart. Nothing goes so that a group whose members bury what
// expires has not passed, see Failure.BuryExpired, nor is it missed by others: it has expired for them. TopicStats.ExpiredRemoved counts it.
//
// A group that had not done what is removed goes on behind it, and is told how much it missed: see [Events] and [GroupStats].
type Retention struct {
	Age     time.Duration // since the message was stored, by the store's clock; 0: whatever their age
	Bytes   int64         // of a partition, as stored; 0: no bound
	Records int64         // of a partition; 0: no bound
	// WhenDone removes what every group that consumes the topic has done: a work queue. Without groups everything stays.
	WhenDone bool
	// LatestByKey keeps of each key the newest message, and those without a key. A message with a key and an empty value removes those before
	// it, and goes itself after some time. Not together with WhenDone.
	LatestByKey bool
}

func (r Retention) check(f *faults) {
	f.check(r.Age >= 0, "Retention.Age", r.Age, "not negative")
	f.check(r.Bytes >= 0, "Retention.Bytes", r.Bytes, "not negative")
	f.check(r.Records >= 0, "Retention.Records", r.Records, "not negative")
	f.check(!r.LatestByKey || !r.WhenDone, "Retention.LatestByKey", nil, "not together with WhenDone: what is done is deleted, the latest of its key or not")
}

// features lists what an engine must be able to for r.
func (r Retention) features() []Feature {
	var fs []Feature
	if r.Age > 0 || r.Bytes > 0 || r.Records > 0 {
		fs = append(fs, CanRetain)
	}
	if r.WhenDone {
		fs = append(fs, CanRemoveDone)
	}
	if r.LatestByKey {
		fs = append(fs, CanKeepLatest)
	}
	return fs
}

// String lists the rules.
func (r Retention) String() string {
	var rules string
	add := func(set bool, format string, args ...any) {
		if !set {
			return
		}
		if rules != "" {
			rules += ", "
		}
		rules += fmt.Sprintf(format, args...)
	}
	add(r.Age > 0, "%v", r.Age)
	add(r.Bytes > 0, "%d bytes", r.Bytes)
	add(r.Records > 0, "%d records", r.Records)
	add(r.WhenDone, "until done")
	add(r.LatestByKey, "the latest of each key")
	if rules == "" {
		return "everything"
	}
	return rules
}
