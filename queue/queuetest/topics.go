package queuetest

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/leatmq/leat/queue"
)

func topicCases() []testCase {
	return []testCase{
		{name: "EnsureTopicAgain", run: ensureAgain},
		{name: "EnsureTopicWithAnotherConfiguration", run: ensureOther},
		{name: "EnsureTopicAtOnce", run: ensureAtOnce},
		{name: "BadNamesAreRefused", run: badNames},
		{name: "UnknownTopicIsNotFound", run: unknownTopic},
		{name: "CapabilitiesStayTheSame", run: steadyCapabilities},
		{name: "CapabilitiesNameTheirLimits", run: honestGrades},
	}
}

func ensureAgain(s *stage) {
	explicit := queue.TopicConfig{Partitions: 1, Durability: queue.Synced, MaxBytes: 1 << 20}
	for i, c := range []queue.TopicConfig{{}, {}, explicit, {Partitions: 1}} {
		if err := s.broker.EnsureTopic(s.within(), "t", c); err != nil {
			s.Fatalf("call %d with %+v, the same with the defaults filled in: %v", i+1, c, err)
		}
		s.publish(queue.Message{Topic: "t", Value: []byte{byte(i)}})
	}
	if got := len(s.delivered("t")); got != 4 {
		s.Errorf("the topic has %d messages of the 4 that were published between the calls", got)
	}
}

func ensureOther(s *stage) {
	have := queue.TopicConfig{Partitions: 2, Durability: queue.Interval}
	if err := s.broker.EnsureTopic(s.within(), "t", have); err != nil {
		s.Fatal(err)
	}
	for field, want := range map[string]queue.TopicConfig{
		"Partitions": {Partitions: 3, Durability: queue.Interval},
		"Durability": {Partitions: 2, Durability: queue.OS},
		"SyncEvery":  {Partitions: 2, Durability: queue.Interval, SyncEvery: 1},
		"MaxBytes":   {Partitions: 2, Durability: queue.Interval, MaxBytes: 1000},

		"Dedup.Window": {Partitions: 2, Durability: queue.Interval, Dedup: queue.Dedup{Window: time.Hour}},
		"Dedup.IDs":    {Partitions: 2, Durability: queue.Interval, Dedup: queue.Dedup{IDs: 10}},
		"Dedup.Off":    {Partitions: 2, Durability: queue.Interval, Dedup: queue.Dedup{Off: true}},
	} {
		s.wantFault("another "+field, s.broker.EnsureTopic(s.within(), "t", want), field)
	}
	if err := s.broker.EnsureTopic(s.within(), "t", have); err != nil {
		s.Errorf("the topic changed though that was refused: %v", err)
	}
	limit := s.broker.Engine().Capabilities().MaxBytes
	s.wantFault("more than the engine's limit", s.broker.EnsureTopic(s.within(), "large", queue.TopicConfig{MaxBytes: limit + 1}), "MaxBytes")
	_, err := s.broker.Publish(s.within(), queue.Message{Topic: "large"})
	s.wantError("publishing to a topic that was refused", err, queue.ErrNotFound)
}

func ensureAtOnce(s *stage) {
	const callers = 20
	errs := make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() { errs[i] = s.broker.EnsureTopic(s.within(), "t", queue.TopicConfig{Partitions: 1 + i%2}) })
	}
	all.Wait()
	winner := slices.Index(errs, nil)
	if winner < 0 {
		s.Fatalf("nobody made the topic: %v", errs)
	}
	for i, err := range errs {
		var config *queue.ConfigError
		if won := i%2 == winner%2; won && err != nil || !won && !errors.As(err, &config) {
			s.Errorf("caller %d of one of two configurations: %v; of each all or none succeed", i, err)
		}
	}
}

func badNames(s *stage) {
	for _, name := range []string{"", "..", "a/b", "ä", "leat.x", "__x"} {
		s.wantFault("topic "+name, s.broker.EnsureTopic(s.within(), name, queue.TopicConfig{}), "Name")
	}
}

func unknownTopic(s *stage) {
	s.topic("known", 1)
	ctx := s.within()
	_, err := s.broker.Publish(ctx, queue.Message{Topic: "t"})
	s.wantError("Publish", err, queue.ErrNotFound)
	g := queue.Group{Name: "g", Topics: []string{"known", "t"}, Order: s.someOrder()}
	s.wantError("Consume", s.broker.Consume(ctx, g, finish), queue.ErrNotFound)
	if s.can(queue.CanRead) {
		for _, err = range s.broker.Read(ctx, queue.Range{Topic: "t"}) {
		}
		s.wantError("Read", err, queue.ErrNotFound)
	}
	if s.can(queue.CanBatch) {
		_, err = s.broker.PublishBatch(ctx, queue.Message{Topic: "known"}, queue.Message{Topic: "t"})
		s.wantError("PublishBatch", err, queue.ErrNotFound)
	}
	_, err = s.broker.Publish(ctx, queue.Message{Topic: "t"})
	s.wantError("Publish after all that, which must have made nothing", err, queue.ErrNotFound)
	if got := s.delivered("known"); len(got) != 0 {
		s.Errorf("a batch that was refused left %d messages", len(got))
	}
}

func steadyCapabilities(s *stage) {
	c := s.broker.Engine().Capabilities()
	if c.Name == "" || c.MaxBytes <= 0 {
		s.Errorf("name %q and MaxBytes %d: an engine has both", c.Name, c.MaxBytes)
	}
	again := s.broker.Engine().Capabilities()
	if again.Name != c.Name || again.MaxBytes != c.MaxBytes || len(again.Features) != len(c.Features) {
		s.Errorf("first %+v, then %+v", c, again)
	}
	for f := range c.Features {
		if again.Features[f] != c.Features[f] {
			s.Errorf("%q is %+v, then %+v", f, c.Features[f], again.Features[f])
		}
	}
}

// honestGrades wants what is emulated to say what it cannot do, and nothing to be claimed that this suite does not hold.
func honestGrades(s *stage) {
	for f, g := range s.broker.Engine().Capabilities().Features {
		if g.Emulated && g.Limit == "" {
			s.Errorf("%q is emulated, at a price that it does not name", f)
		}
		if !slices.ContainsFunc(features(), func(known feature) bool { return known.Feature == f }) {
			s.Errorf("%q is claimed, which no case knows", f)
		}
	}
}
