package queuetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
)

// How long a case waits for what must come by itself, and how long in a bubble, where retries may go on until then.
const (
	stagePatience       = 20 * time.Second
	stageBubblePatience = time.Hour
)

// stage is what a case runs on.
type stage struct {
	*testing.T
	harness  Harness
	broker   *queue.Broker
	patience time.Duration
	drain    time.Duration // of the brokers of restarts; 0: the default
	log      eventLog
	groups   atomic.Int64 // that were given a name
}

// newStage opens a broker that tells the stage its events. It has the drain time of Options' default.
func newStage(t *testing.T, h Harness) *stage {
	s := &stage{T: t, harness: h, patience: stagePatience}
	if h.Bubble {
		s.patience = stageBubblePatience
	}
	s.broker = s.open(0)
	return s
}

// open returns another broker, empty.
func (s *stage) open(drain time.Duration) *queue.Broker {
	s.Helper()
	return watched(s, func() *queue.Broker { return s.harness.Open(s, s.options(drain)) })
}

func (s *stage) options(drain time.Duration) queue.Options {
	return queue.Options{Events: s.log.events(), DrainTime: drain}
}

// restart closes the broker, cleanly, and opens what it kept.
func (s *stage) restart() {
	s.Helper()
	before := s.broker
	if err := before.Close(); err != nil {
		s.Fatal("closing before the restart: ", err)
	}
	s.broker = watched(s, func() *queue.Broker { return s.harness.Restart(s, before, s.options(s.drain)) })
}

// can tells whether the engine claims f.
func (s *stage) can(f queue.Feature) bool {
	_, ok := s.broker.Engine().Capabilities().Features[f]
	return ok
}

// within returns a context of the stage's patience.
func (s *stage) within() context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), s.patience)
	s.Cleanup(cancel)
	return ctx
}

// sized picks the figure for LEAT_LOOPS.
func (s *stage) sized(short, ci, full int) int {
	s.Helper()
	switch v := os.Getenv("LEAT_LOOPS"); v {
	case "", "short":
		return short
	case "ci":
		return ci
	case "full":
		return full
	default:
		s.Fatalf("LEAT_LOOPS=%s: want short, ci or full", v)
		return 0
	}
}

func (s *stage) topic(name string, partitions int) {
	s.Helper()
	if err := s.broker.EnsureTopic(s.within(), name, queue.TopicConfig{Partitions: partitions}); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) publish(ms ...queue.Message) []queue.Receipt {
	s.Helper()
	rs := make([]queue.Receipt, len(ms))
	for i, m := range ms {
		r, err := s.broker.Publish(s.within(), m)
		if err != nil {
			s.Fatal(err)
		}
		rs[i] = r
	}
	return rs
}

// fill stores n messages at once, with the values 0, 1, ..., and the keys of so many; 0: without keys.
func (s *stage) fill(topic string, n, keys int) {
	s.Helper()
	ms := make([]queue.Message, n)
	for i := range ms {
		ms[i] = queue.Message{Topic: topic, Value: fmt.Append(nil, i)}
		if keys > 0 {
			ms[i].Key = keyOf(i % keys)
		}
	}
	s.store(ms...)
}

// store publishes ms, at once if the engine can.
func (s *stage) store(ms ...queue.Message) {
	s.Helper()
	if !s.can(queue.CanBatch) {
		s.publish(ms...)
		return
	}
	for some := range slices.Chunk(ms, 500) {
		if _, err := s.broker.PublishBatch(s.within(), some...); err != nil {
			s.Fatal(err)
		}
	}
}

func keyOf(n int) []byte { return fmt.Appendf(nil, "key-%d", n) }

// records returns what a topic holds; for engines that can read without a group.
func (s *stage) records(topic string) []*queue.Record {
	s.Helper()
	return Records(s, s.broker, topic)
}

// running is a Consume in the background.
type running struct {
	s     *stage
	end   context.CancelFunc
	ended chan error
}

// start runs consume, a Consume or ConsumeBatch, until stopped, or until the stage ends.
func (s *stage) start(consume func(ctx context.Context) error) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{s: s, end: cancel, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- consume(ctx)
	}()
	s.Cleanup(func() {
		cancel()
		<-done
	})
	return r
}

func (s *stage) consume(g queue.Group, h queue.Handler) *running {
	b := s.broker
	return s.start(func(ctx context.Context) error { return b.Consume(ctx, g, h) })
}

// result waits until the Consume ended by itself.
func (r *running) result() error {
	r.s.Helper()
	return await(r.s, r.ended, "the end of Consume")
}

// stop ends the Consume and wants it to end well.
func (r *running) stop() {
	r.s.Helper()
	r.end()
	if err := r.result(); err != nil {
		r.s.Errorf("Consume ended with %v, want nil", err)
	}
}

// idle waits until the groups are.
func (s *stage) idle(groups ...string) {
	s.Helper()
	if err := s.broker.WaitIdle(s.within(), groups...); err != nil {
		s.Fatal(err)
	}
}

// await receives from c, or ends the test.
func await[T any](s *stage, c <-chan T, what string) T {
	s.Helper()
	patience := time.NewTimer(s.patience)
	defer patience.Stop()
	select {
	case v := <-c:
		return v
	case <-patience.C:
		s.Fatalf("waited %v in vain for %s; %+v", s.patience, what, s.broker.Stats())
		panic("not reached")
	}
}

// wantError fails the test if err is not want.
func (s *stage) wantError(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: %v, want %v", what, err, want)
	}
}

// wantFault fails the test if err is not a ConfigError that names field.
func (s *stage) wantFault(what string, err error, field string) {
	s.Helper()
	var config *queue.ConfigError
	if !errors.As(err, &config) {
		s.Errorf("%s: %v, want a *ConfigError about %s", what, err, field)
		return
	}
	named := func(f queue.Fault) bool { return f.Field == field }
	if !slices.ContainsFunc(config.Faults, named) {
		s.Errorf("%s: %v, want a fault in %s", what, err, field)
	}
}

// eventLog keeps what a broker told.
type eventLog struct {
	mu     sync.Mutex
	moves  []move              // guarded by mu
	failed []queue.FailedEvent // guarded by mu
}

// move is an Assigned or a Revoked.
type move struct {
	queue.PartitionEvent
	gained bool
}

func (l *eventLog) events() queue.Events {
	moved := func(gained bool) func(queue.PartitionEvent) {
		return func(e queue.PartitionEvent) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.moves = append(l.moves, move{e, gained})
		}
	}
	return queue.Events{
		Assigned: moved(true),
		Revoked:  moved(false),
		Failed: func(e queue.FailedEvent) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.failed = append(l.failed, e)
		},
	}
}

func (l *eventLog) told() ([]move, []queue.FailedEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.moves), slices.Clone(l.failed)
}
