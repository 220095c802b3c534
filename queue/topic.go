package queue

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Limits of topics, and the defaults of TopicConfig.
const (
	MaxNameBytes  = 249     // of the name of a topic or group
	MaxPartitions = 1 << 16 // of one topic

	defaultSyncEvery = time.Second
	defaultMaxBytes  = 1 << 20

	defaultDedupWindow = 10 * time.Minute
	defaultDedupIDs    = 1_000_000
	minDedupWindow     = time.Second
	maxDedupWindow     = 30 * 24 * time.Hour
	maxDedupIDs        = 1 << 24
)

// TopicConfig is what every engine understands about a topic. EnsureTopic compares it with what is there, defaults
// filled in.
type TopicConfig struct {
	Partitions int           // 0: 1; at most MaxPartitions. Admin.AddPartitions makes it more
	Durability Durability    // what a publish waits for; 0: Synced
	SyncEvery  time.Duration // for Interval only; 0: 1s
	MaxBytes   int           // of key, value and headers of one message together; 0: 1 MiB
	Retention  Retention     // what may be removed; zero: nothing
	Dedup      Dedup         // of messages with an ID; zero: 10 minutes, 1,000,000 IDs
	Limit      Limit         // of what groups are behind, and of how fast messages come; zero: no bound
}

// Dedup says for how long a topic remembers the IDs of its messages. Both bounds hold: an ID is forgotten when it is as old as Window, or when IDs newer
// ones have come. Both are counted from the publish, of a message that is delayed as well: when it becomes due it is nothing new, and if its ID is forgotten by then another one with it
// may come before. What is remembered outlives the process if the topic does, and costs about 50 bytes of memory for each ID, in a topic that has any.
type Dedup struct {
	Window time.Duration // 0: 10 minutes; from a second to 30 days
	IDs    int           // 0: 1,000,000; at most 16,777,216
	Off    bool          // IDs are names only, and nothing is a duplicate; Window and IDs are zero then
}

// WithDefaults returns d with its zero fields filled in.
func (d Dedup) WithDefaults() Dedup {
	if d.Off {
		return d
	}
	if d.Window == 0 {
		d.Window = defaultDedupWindow
	}
	if d.IDs == 0 {
		d.IDs = defaultDedupIDs
	}
	return d
}

func (d Dedup) check(f *faults) {
	if d.Off {
		f.check(d.Window == 0, "Dedup.Window", d.Window, "zero with Off")
		f.check(d.IDs == 0, "Dedup.IDs", d.IDs, "zero with Off")
		return
	}
	f.check(d.Window >= minDedupWindow && d.Window <= maxDedupWindow, "Dedup.Window", d.Window, fmt.Sprintf("from %v to %v", minDedupWindow, maxDedupWindow))
	f.check(d.IDs >= 1 && d.IDs <= maxDedupIDs, "Dedup.IDs", d.IDs, fmt.Sprintf("from 1 to %d", maxDedupIDs))
}

func (c TopicConfig) withDefaults() TopicConfig {
	if c.Partitions == 0 {
		c.Partitions = 1
	}
	if c.Durability == 0 {
		c.Durability = Synced
	}
	if c.Durability == Interval && c.SyncEvery == 0 {
		c.SyncEvery = defaultSyncEvery
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	c.Dedup = c.Dedup.WithDefaults()
	return c
}

// CheckTopic returns c with its defaults filled in, or a *ConfigError with all that is wrong with it or the name. maxBytes is the engine's
// limit, 0 for none. It is for engines that have an EnsureTopic of their own besides the Broker's.
func CheckTopic(name string, c TopicConfig, maxBytes int) (TopicConfig, error) {
	c = c.withDefaults()
	return c, validateTopic(name, c, maxBytes)
}

// features lists what an engine must be able to for c.
func (c TopicConfig) features() []Feature {
	fs := c.Retention.features()
	if c.Limit != (Limit{}) {
		fs = append(fs, CanLimit)
	}
	if c.Durability == Memory {
		fs = append(fs, CanStoreInMemory)
	}
	return fs
}

// validateTopic judges c with its defaults filled in. maxBytes is the engine's limit; 0 is none.
func validateTopic(name string, c TopicConfig, maxBytes int) error {
	f := faults{subject: "topic " + strconv.Quote(name)}
	f.name("Name", name)
	f.check(c.Partitions >= 1 && c.Partitions <= MaxPartitions, "Partitions", c.Partitions, fmt.Sprintf("from 1 to %d", MaxPartitions))
	f.check(c.Durability <= Synced, "Durability", c.Durability, "one of Memory, OS, Interval, Synced")
	f.check(c.Durability == Interval || c.SyncEvery == 0, "SyncEvery", c.SyncEvery, "only with Durability Interval")
	f.check(c.SyncEvery >= 0, "SyncEvery", c.SyncEvery, "not negative")
	f.check(c.MaxBytes > 0, "MaxBytes", c.MaxBytes, "not negative")
	c.Retention.check(&f)
	c.Dedup.check(&f)
	c.Limit.check(&f, c.MaxBytes)
	f.check(maxBytes <= 0 || c.MaxBytes <= maxBytes, "MaxBytes", c.MaxBytes, fmt.Sprintf("the engine's limit is %d", maxBytes))
	return f.err()
}

// Differences names each field in which two configurations, defaults filled in, are not the same. It is for engines,
// whose EnsureTopic returns them in a *ConfigError.
func Differences(have, want TopicConfig) []Fault {
	var fs []Fault
	compare := func(field string, have, want any) {
		if have != want {
			fs = append(fs, Fault{field, fmt.Sprint(have), fmt.Sprint(want), "EnsureTopic does not change a topic"})
		}
	}
	compare("Partitions", have.Partitions, want.Partitions)
	compare("Durability", have.Durability, want.Durability)
	compare("SyncEvery", have.SyncEvery, want.SyncEvery)
	compare("MaxBytes", have.MaxBytes, want.MaxBytes)
	compare("Retention.Age", have.Retention.Age, want.Retention.Age)
	compare("Retention.Bytes", have.Retention.Bytes, want.Retention.Bytes)
	compare("Retention.Records", have.Retention.Records, want.Retention.Records)
	compare("Retention.WhenDone", have.Retention.WhenDone, want.Retention.WhenDone)
	compare("Retention.LatestByKey", have.Retention.LatestByKey, want.Retention.LatestByKey)
	compare("Dedup.Window", have.Dedup.Window, want.Dedup.Window)
	compare("Dedup.IDs", have.Dedup.IDs, want.Dedup.IDs)
	compare("Dedup.Off", have.Dedup.Off, want.Dedup.Off)
	compare("Limit.Messages", have.Limit.Messages, want.Limit.Messages)
	compare("Limit.Bytes", have.Limit.Bytes, want.Limit.Bytes)
	compare("Limit.Rate", have.Limit.Rate, want.Limit.Rate)
	compare("Limit.Burst", have.Limit.Burst, want.Limit.Burst)
	compare("Limit.WhenFull", have.Limit.WhenFull, want.Limit.WhenFull)
	return fs
}

// badName returns the rule that a topic's or group's name breaks, "" if none.
func badName(name string) string {
	switch {
	case name == "":
		return "must not be empty"
	case len(name) > MaxNameBytes:
		return fmt.Sprintf("at most %d bytes", MaxNameBytes)
	case name == "." || name == "..":
		return `must not be "." or ".."`
	case strings.HasPrefix(name, "leat.") || strings.HasPrefix(name, "__"):
		return `names with "leat." and "__" are the library's`
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return "ASCII letters, digits, '.', '_' and '-' only"
		}
	}
	return ""
}
