package embedded

import (
	"errors"
	"fmt"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// strategyOf is how a store keeps what c asks for.
func strategyOf(c queue.TopicConfig) storage.Strategy {
	r := c.Retention
	s := storage.Strategy{Cleanup: storage.CleanupPolicy{
		MaxAge: r.Age, MaxBytes: r.Bytes, MaxRecords: r.Records, WhenDone: r.WhenDone, LatestByKey: r.LatestByKey,
	}}
	switch c.Durability {
	case queue.Memory:
		s.Level = storage.MemoryOnly
	case queue.OS:
		s.Sync = storage.SyncOS
	case queue.Interval:
		s.Sync = storage.SyncInterval(c.SyncEvery)
	}
	return s
}

// describe fills in c what can be told of s by a queue.TopicConfig.
func describe(c *queue.TopicConfig, s *storage.Strategy) {
	c.Durability, c.SyncEvery = durabilityOf(s)
	k := &s.Cleanup
	c.Retention = queue.Retention{
		Age: k.MaxAge, Bytes: k.MaxBytes, Records: k.MaxRecords, WhenDone: k.WhenDone, LatestByKey: k.LatestByKey,
	}
}

func durabilityOf(s *storage.Strategy) (queue.Durability, time.Duration) {
	switch {
	case s.Level == storage.MemoryOnly:
		return queue.Memory, 0
	case s.Sync == storage.SyncAlways:
		return queue.Synced, 0
	case s.Sync < 0:
		return queue.OS, 0
	}
	return queue.Interval, s.Sync.Interval()
}

// effective returns s with its defaults filled in, so that two strategies that mean the same are the same.
func effective(s storage.Strategy) storage.Strategy {
	if s.Level == storage.Compressed {
		s.Compression = s.Compression.WithDefaults()
	}
	if s.Level == storage.MemoryOnly && s.Memory.Bytes == 0 {
		s.Memory.Bytes = storage.DefaultMemoryBytes
	}
	if s.Cleanup.LatestByKey && s.Cleanup.TombstoneAge == 0 {
		s.Cleanup.TombstoneAge = storage.DefaultTombstoneAge
	}
	if s.Sync < 0 {
		s.Sync = storage.SyncOS
	}
	return s
}

// strategyDifferences names each field in which two strategies, defaults filled in, are not the same.
func strategyDifferences(have, want storage.Strategy) []queue.Fault {
	have, want = effective(have), effective(want)
	var fs []queue.Fault
	compare := func(field string, have, want any) {
		if have != want {
			fs = append(fs, queue.Fault{
				Field: "Strategy." + field, Have: fmt.Sprint(have), Want: fmt.Sprint(want), Rule: "EnsureTopic does not change a topic: see AlterTopic",
			})
		}
	}
	compare("Level", have.Level, want.Level)
	compare("Sync", have.Sync, want.Sync)
	hc, wc := &have.Compression, &want.Compression
	compare("Compression.Codec", hc.Codec, wc.Codec)
	compare("Compression.Level", hc.Level, wc.Level)
	compare("Compression.BlockBytes", hc.BlockBytes, wc.BlockBytes)
	hk, wk := &have.Cleanup, &want.Cleanup
	compare("Cleanup.MaxAge", hk.MaxAge, wk.MaxAge)
	compare("Cleanup.MaxBytes", hk.MaxBytes, wk.MaxBytes)
	compare("Cleanup.MaxRecords", hk.MaxRecords, wk.MaxRecords)
	compare("Cleanup.WhenDone", hk.WhenDone, wk.WhenDone)
	compare("Cleanup.LatestByKey", hk.LatestByKey, wk.LatestByKey)
	compare("Cleanup.TombstoneAge", hk.TombstoneAge, wk.TombstoneAge)
	compare("Cleanup.HoldForGroups", hk.HoldForGroups, wk.HoldForGroups)
	compare("Memory.Bytes", have.Memory.Bytes, want.Memory.Bytes)
	compare("Memory.WhenFull", have.Memory.WhenFull, want.Memory.WhenFull)
	compare("NoBackup", have.NoBackup, want.NoBackup)
	return fs
}

// strategyFault makes the store's refusal of a strategy one of a topic's configuration.
func strategyFault(name string, err error) error {
	var wrong *storage.StrategyError
	if !errors.As(err, &wrong) {
		return err
	}
	return &queue.ConfigError{
		Subject: fmt.Sprintf("topic %q", name), Faults: []queue.Fault{{Field: "Strategy." + wrong.Field, Rule: wrong.Rule}},
	}
}
