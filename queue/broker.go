package queue

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const defaultDrainTime = 10 * time.Second

// Options is what every engine shares.
type Options struct {
	Logger    *slog.Logger  // nil: silent. Error: the store stopped, or a partition cannot be read. Warn: a handler panicked. Nothing else
	Events    Events        // nil functions are skipped
	DrainTime time.Duration // Close's bound, and how long handlers outlive their Consume; 0: 10s
	Needs     []Feature     // what the application cannot do without: ErrUnsupported where the engine lacks it
}

// Broker is what an application publishes to and consumes from, the same for every engine. All methods may be called
// at the same time. It must be closed.
type Broker struct {
	engine       Engine
	capabilities Capabilities
	logger       *slog.Logger
	events       Events
	drainTime    time.Duration
	singles      sync.Pool // of *single

	panics, late, undecoded atomic.Int64 // as in Stats

	life
}

// New makes a broker over an open engine, which it owns from then on. It is for authors of engines; applications call
// the engine's own Open. It returns a *ConfigError or ErrUnsupported, and then the engine is still the caller's.
func New(e Engine, o Options) (*Broker, error) {
	f := faults{subject: "broker"}
	f.check(e != nil, "engine", nil, "must not be nil")
	f.check(o.DrainTime >= 0, "DrainTime", o.DrainTime, "not negative")
	if err := f.err(); err != nil {
		return nil, err
	}
	b := &Broker{
		engine:       e,
		capabilities: e.Capabilities(),
		logger:       o.Logger,
		events:       o.Events.filled(),
		drainTime:    o.DrainTime,
		life:         newLife(),
	}
	if b.logger == nil {
		b.logger = slog.New(slog.DiscardHandler)
	}
	if b.drainTime == 0 {
		b.drainTime = defaultDrainTime
	}
	b.singles.New = func() any { return new(single) }
	for _, need := range o.Needs {
		if err := b.can(need); err != nil {
			return nil, err
		}
	}
	go b.watch()
	return b, nil
}

// Engine returns what the broker stands on, for packages that know more of it.
func (b *Broker) Engine() Engine { return b.engine }

// EnsureTopic creates the topic, durable on return, or returns nil if it is there with the same configuration. A
// difference, as any other fault, is a *ConfigError that names it; nothing is changed then. What the engine cannot do is
// ErrUnsupported.
func (b *Broker) EnsureTopic(ctx context.Context, name string, c TopicConfig) error {
	c, err := CheckTopic(name, c, b.capabilities.MaxBytes)
	if err != nil {
		return err
	}
	for _, f := range c.features() {
		if err := b.can(f); err != nil {
			return fmt.Errorf("topic %q: %w", name, err)
		}
	}
	if b.closed.Load() {
		return ErrClosed
	}
	return b.engine.EnsureTopic(ctx, name, c)
}

// WaitIdle waits until at one moment nothing of the groups is ready, running or waiting for a retry. A group that does
// not exist yet is waited for; one that exists is judged by its cursor, though a Consume that was just started may not have
// joined it yet. When ctx ends, the error names a group that was not idle, and why.
func (b *Broker) WaitIdle(ctx context.Context, groups ...string) error {
	f := faults{subject: "groups to wait for"}
	f.check(len(groups) > 0, "groups", nil, "at least one")
	for _, g := range groups {
		f.name("groups", g)
	}
	if err := f.err(); err != nil {
		return err
	}
	w, ok := b.engine.(EngineWaiter)
	if !ok {
		return fmt.Errorf("%w: %s: waiting for idle groups", ErrUnsupported, b.capabilities.Name)
	}
	if b.closed.Load() {
		return ErrClosed
	}
	err := w.WaitIdle(ctx, groups...)
	for _, g := range groups {
		if err != nil && b.allStuck(g) {
			err = fmt.Errorf("%w; group %q: %s", err, g, stuckReason)
		}
	}
	return err
}

// can returns ErrUnsupported if the engine lacks f.
func (b *Broker) can(f Feature) error {
	if _, ok := b.capabilities.Features[f]; ok {
		return nil
	}
	return fmt.Errorf("%w: %s: %s", ErrUnsupported, b.capabilities.Name, f)
}
