package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// topic is a topic that was looked for at least once.
type topic struct {
	storage.Topic
	config queue.TopicConfig

	turn           atomic.Uint64 // see sticky
	published      atomic.Int64  // records since open
	publishedBytes atomic.Int64
}

// settings is the form in which storage.TopicSpec keeps what the store does not know of a queue.TopicConfig.
type settings struct {
	Version    int           `json:"version"`
	Durability string        `json:"durability"`
	SyncEvery  time.Duration `json:"syncEvery,omitempty"` // nanoseconds
	MaxBytes   int           `json:"maxBytes"`
}

const settingsVersion = 1

func encodeSettings(c queue.TopicConfig) ([]byte, error) {
	return json.Marshal(settings{settingsVersion, c.Durability.String(), c.SyncEvery, c.MaxBytes})
}

func decodeSettings(t *storage.Topic) (queue.TopicConfig, error) {
	var s settings
	if err := json.Unmarshal(t.Settings, &s); err != nil {
		return queue.TopicConfig{}, fmt.Errorf("queue: settings of topic %q: %w", t.Name, err)
	}
	for d := queue.Memory; d <= queue.Synced; d++ {
		if s.Version == settingsVersion && d.String() == s.Durability {
			return queue.TopicConfig{Partitions: t.Partitions, Durability: d, SyncEvery: s.SyncEvery, MaxBytes: s.MaxBytes}, nil
		}
	}
	return queue.TopicConfig{}, fmt.Errorf("queue: settings of topic %q: version %d, durability %q: made by a newer version", t.Name, s.Version, s.Durability)
}

// strategyOf is how a store keeps the durability of c. Memory is for stores that keep nothing anyway.
func strategyOf(c queue.TopicConfig) storage.Strategy {
	switch c.Durability {
	case queue.Synced:
		return storage.Strategy{Sync: storage.SyncAlways}
	case queue.Interval:
		return storage.Strategy{Sync: storage.SyncInterval(c.SyncEvery)}
	}
	return storage.Strategy{Sync: storage.SyncOS}
}

func durabilityOf(s storage.Strategy) (queue.Durability, time.Duration) {
	switch {
	case s.Sync == storage.SyncAlways:
		return queue.Synced, 0
	case s.Sync < 0:
		return queue.OS, 0
	}
	return queue.Interval, s.Sync.Interval()
}

// EnsureTopic implements queue.Engine.
func (e *engine) EnsureTopic(ctx context.Context, name string, c queue.TopicConfig) error {
	if c.Durability == queue.Memory && !e.memory {
		return fmt.Errorf("%w: topic %q: Durability Memory in a directory", queue.ErrUnsupported, name)
	}
	have, err := e.topic(name)
	if errors.Is(err, queue.ErrNotFound) {
		have, err = e.createTopic(ctx, name, c)
	}
	if err != nil {
		return err
	}
	if faults := queue.Differences(have.config, c); len(faults) > 0 {
		return &queue.ConfigError{Subject: fmt.Sprintf("topic %q", name), Faults: faults}
	}
	return nil
}

// createTopic makes the topic, or finds the one that another caller made meanwhile.
func (e *engine) createTopic(ctx context.Context, name string, c queue.TopicConfig) (*topic, error) {
	kept, err := encodeSettings(c)
	if err != nil {
		return nil, err
	}
	_, err = e.store.CreateTopic(ctx, storage.TopicSpec{Name: name, Partitions: c.Partitions, Strategy: strategyOf(c), Settings: kept})
	if err != nil && !errors.Is(err, storage.ErrExists) {
		return nil, translate(err)
	}
	return e.topic(name)
}

// topic finds a topic by name. The first look reads its settings, so that opening many costs nothing.
func (e *engine) topic(name string) (*topic, error) {
	e.mu.RLock()
	t := e.topics[name]
	e.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	stored, ok := e.store.Topic(name)
	if !ok {
		return nil, fmt.Errorf("%w: topic %q", queue.ErrNotFound, name)
	}
	config, err := decodeSettings(&stored)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.topics[name]; t != nil {
		return t, nil
	}
	t = &topic{Topic: stored, config: config}
	e.topics[name] = t
	return t, nil
}
