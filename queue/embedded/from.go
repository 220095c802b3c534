package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// Engine is what only the embedded engine can do. A nil Engine refuses everything with ErrUnsupported. All methods may be called at the
// same time. They return queue.ErrClosed once the broker is closed, and queue.ErrNotFound for a topic, partition or group that is not there.
type Engine struct {
	broker *queue.Broker
	engine *engine
}

// From returns the embedded engine of b, and nil if b has another.
func From(b *queue.Broker) *Engine {
	e, ok := b.Engine().(*engine)
	if !ok {
		return nil
	}
	return &Engine{b, e}
}

// open tells why the engine does nothing any more, nil if it does.
func (e *Engine) open() error {
	if e == nil {
		return fmt.Errorf("%w: this is for brokers of package embedded", queue.ErrUnsupported)
	}
	select {
	case <-e.engine.closed:
		return queue.ErrClosed
	default:
		return nil
	}
}

// Report tells what the open found and did.
func (e *Engine) Report() storage.OpenReport {
	if e == nil {
		return storage.OpenReport{}
	}
	return e.engine.store.Report()
}

// Storage tells what the store counts: memory, files, background work and its errors.
func (e *Engine) Storage() storage.Stats {
	if e == nil {
		return storage.Stats{}
	}
	return e.engine.store.Stats()
}

// Strategy returns how a topic is stored, with all defaults filled in, and its configuration, in which Durability, SyncEvery and
// Retention say the same as far as they can.
func (e *Engine) Strategy(topic string) (storage.Strategy, queue.TopicConfig, error) {
	if err := e.open(); err != nil {
		return storage.Strategy{}, queue.TopicConfig{}, err
	}
	t, err := e.engine.topic(topic)
	if err != nil {
		return storage.Strategy{}, queue.TopicConfig{}, err
	}
	m := t.manner.Load()
	return effective(m.strategy), m.config, nil
}

// EnsureTopic is Broker.EnsureTopic with a storage strategy in place of c.Durability, c.SyncEvery and c.Retention, which must be zero. It
// compares the whole strategy, defaults filled in; Broker.EnsureTopic compares what a TopicConfig can say.
func (e *Engine) EnsureTopic(ctx context.Context, name string, c queue.TopicConfig, s storage.Strategy) error {
	if err := e.open(); err != nil {
		return err
	}
	c, err := e.checkConfig(name, c)
	if err != nil {
		return err
	}
	return e.engine.ensureStrategy(ctx, name, c, s)
}

// checkConfig judges a configuration that comes together with a strategy, and fills in its defaults.
func (e *Engine) checkConfig(name string, c queue.TopicConfig) (queue.TopicConfig, error) {
	var faults []queue.Fault
	refuse := func(set bool, field string, have any) {
		if set {
			faults = append(faults, queue.Fault{Field: field, Have: fmt.Sprint(have), Rule: "zero where a storage.Strategy says it"})
		}
	}
	refuse(c.Durability != 0, "Durability", c.Durability)
	refuse(c.SyncEvery != 0, "SyncEvery", c.SyncEvery)
	refuse(c.Retention != queue.Retention{}, "Retention", c.Retention)
	c.Durability, c.SyncEvery, c.Retention = 0, 0, queue.Retention{}
	filled, err := queue.CheckTopic(name, c, e.engine.Capabilities().MaxBytes)
	var wrong *queue.ConfigError
	if errors.As(err, &wrong) {
		faults = append(faults, wrong.Faults...)
	}
	return filled, configFault(name, faults)
}
