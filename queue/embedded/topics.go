package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/leatmq/leat/backpressure"
	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// topic is a topic that was looked for at least once. Of what storage.Topic says, what may be altered is in manner, and which partitions there are in shape.
type topic struct {
	Name     string
	First    storage.PartitionID
	volatile bool // its level is MemoryOnly, which cannot be altered
	manner   atomic.Pointer[manner]
	shape    atomic.Pointer[shape]

	ids      atomic.Pointer[ids]  // nil: nobody has asked for them
	gone     atomic.Bool          // it was deleted
	expiring atomic.Bool          // sweeper looks at it
	flow     atomic.Pointer[flow] // nil: nothing has bounded its backlog since the open

	_              [64]byte      // what each publish changes is in a cache line of its own: above is what each delivery looks at
	turn           atomic.Uint64 // see sticky
	published      atomic.Int64  // records since open
	publishedBytes atomic.Int64
	expired        atomic.Int64 // the same, of delayed ones that went nowhere
	swept          atomic.Int64 // the same, that were removed since they had expired
}

// manner is what may be altered of a topic.
type manner struct {
	config   queue.TopicConfig
	strategy storage.Strategy
}

// settings is the form in which storage.TopicSpec keeps what the store does not know of a queue.TopicConfig.
type settings struct {
	Version  int           `json:"version"`
	MaxBytes int           `json:"maxBytes"`
	Dedup    dedupSettings `json:"dedup,omitzero"`
	Limit    limitSettings `json:"limit,omitzero"`
}

type limitSettings struct {
	Messages int64               `json:"messages,omitempty"`
	Bytes    int64               `json:"bytes,omitempty"`
	Rate     float64             `json:"rate,omitempty"`
	Burst    int                 `json:"burst,omitempty"`
	WhenFull backpressure.Policy `json:"whenFull,omitempty"`
}

type dedupSettings struct {
	Window time.Duration `json:"window,omitempty"` // in nanoseconds
	IDs    int           `json:"ids,omitempty"`
	Off    bool          `json:"off,omitempty"`
}

const settingsVersion = 1

func encodeSettings(c queue.TopicConfig) ([]byte, error) {
	return json.Marshal(settings{settingsVersion, c.MaxBytes, dedupSettings(c.Dedup), limitSettings(c.Limit)})
}

func decodeSettings(t *storage.Topic) (*manner, error) {
	var s settings
	if err := json.Unmarshal(t.Settings, &s); err != nil {
		return nil, fmt.Errorf("queue: settings of topic %q: %w", t.Name, err)
	}
	if s.Version != settingsVersion {
		return nil, fmt.Errorf("queue: settings of topic %q: version %d: made by a newer version", t.Name, s.Version)
	}
	m := &manner{strategy: t.Strategy}
	m.config = queue.TopicConfig{Partitions: t.Partitions, MaxBytes: s.MaxBytes, Dedup: queue.Dedup(s.Dedup).WithDefaults(), Limit: queue.Limit(s.Limit)}
	describe(&m.config, &t.Strategy)
	return m, nil
}

// EnsureTopic implements queue.Engine.
func (e *engine) EnsureTopic(ctx context.Context, name string, c queue.TopicConfig) error {
	s := strategyOf(c)
	have, err := e.ensure(ctx, name, c, s)
	if err != nil {
		return err
	}
	describe(&c, &s) // as it would have been stored
	return configFault(name, queue.Differences(have.config, c))
}

// ensureStrategy is EnsureTopic for who cares for the whole strategy.
func (e *engine) ensureStrategy(ctx context.Context, name string, c queue.TopicConfig, s storage.Strategy) error {
	have, err := e.ensure(ctx, name, c, s)
	if err != nil {
		return err
	}
	wanted := have.config // but for what the strategy says
	wanted.Partitions, wanted.MaxBytes, wanted.Dedup, wanted.Limit = c.Partitions, c.MaxBytes, c.Dedup, c.Limit
	return configFault(name, append(queue.Differences(have.config, wanted), strategyDifferences(have.strategy, s)...))
}

func configFault(name string, faults []queue.Fault) error {
	if len(faults) == 0 {
		return nil
	}
	return &queue.ConfigError{Subject: fmt.Sprintf("topic %q", name), Faults: faults}
}

// ensure finds the topic, or makes it.
func (e *engine) ensure(ctx context.Context, name string, c queue.TopicConfig, s storage.Strategy) (*manner, error) {
	if err := s.Check(); err != nil {
		return nil, strategyFault(name, err)
	}
	if err := e.supports(&s); err != nil {
		return nil, fmt.Errorf("topic %q: %w", name, err)
	}
	have, err := e.topic(name)
	if errors.Is(err, queue.ErrNotFound) {
		have, err = e.createTopic(ctx, name, c, s)
	}
	if err != nil {
		return nil, err
	}
	e.cleaned(&s)
	return have.manner.Load(), nil
}

// createTopic makes the topic, or finds the one that another caller made meanwhile.
func (e *engine) createTopic(ctx context.Context, name string, c queue.TopicConfig, s storage.Strategy) (*topic, error) {
	kept, err := encodeSettings(c)
	if err != nil {
		return nil, err
	}
	_, err = e.store.CreateTopic(ctx, storage.TopicSpec{Name: name, Partitions: c.Partitions, Strategy: s, Settings: kept})
	if err != nil && !errors.Is(err, storage.ErrExists) {
		return nil, strategyFault(name, translate(err))
	}
	return e.lookup(name)
}

// topic finds a topic of an application by name.
func (e *engine) topic(name string) (*topic, error) {
	if internal(name) {
		return nil, fmt.Errorf("%w: topic %q", queue.ErrNotFound, name)
	}
	return e.lookup(name)
}

// lookup finds a topic by name. The first look reads its settings, so that opening many costs nothing.
func (e *engine) lookup(name string) (*topic, error) {
	e.mu.RLock()
	t := e.topics[name]
	e.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.topics[name]; t != nil {
		return t, nil
	}
	// With the lock held, so that a topic that is deleted meanwhile is forgotten after it was remembered here.
	stored, ok := e.store.Topic(name)
	if !ok {
		return nil, fmt.Errorf("%w: topic %q", queue.ErrNotFound, name)
	}
	m, err := decodeSettings(&stored)
	if err != nil {
		return nil, err
	}
	t = &topic{Name: stored.Name, First: stored.First, volatile: stored.Strategy.Level == storage.MemoryOnly}
	t.manner.Store(m)
	t.shape.Store(newShape(&stored))
	if !internal(name) && e.kind != readOnly {
		f, err := e.newFlow(t, m.config.Limit)
		if err != nil {
			return nil, err
		}
		t.flow.Store(f)
	}
	e.topics[name] = t
	return t, nil
}
