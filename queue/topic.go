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
)

// TopicConfig is what every engine understands about a topic. EnsureTopic compares it with what is there, defaults
// filled in.
type TopicConfig struct {
	Partitions int           // 0: 1; at most MaxPartitions
	Durability Durability    // what a publish waits for; 0: Synced
	SyncEvery  time.Duration // for Interval only; 0: 1s
	MaxBytes   int           // of key, value and headers of one message together; 0: 1 MiB
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
	return c
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
	f.check(maxBytes <= 0 || c.MaxBytes <= maxBytes, "MaxBytes", c.MaxBytes, fmt.Sprintf("the engine's limit is %d", maxBytes))
	return f.err()
}

// Differences names each field in which two configurations, defaults filled in, are not the same. It is for engines,
// whose EnsureTopic returns them in a *ConfigError.
func Differences(have, want TopicConfig) []Fault {
	const rule = "EnsureTopic does not change a topic"
	var fs []Fault
	if have.Partitions != want.Partitions {
		fs = append(fs, Fault{"Partitions", strconv.Itoa(have.Partitions), strconv.Itoa(want.Partitions), rule})
	}
	if have.Durability != want.Durability {
		fs = append(fs, Fault{"Durability", have.Durability.String(), want.Durability.String(), rule})
	}
	if have.SyncEvery != want.SyncEvery {
		fs = append(fs, Fault{"SyncEvery", have.SyncEvery.String(), want.SyncEvery.String(), rule})
	}
	if have.MaxBytes != want.MaxBytes {
		fs = append(fs, Fault{"MaxBytes", strconv.Itoa(have.MaxBytes), strconv.Itoa(want.MaxBytes), rule})
	}
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
