package queuetest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatmq/leat/queue"
)

// How long a case waits for what must come by itself, and how long in a bubble, where retries may go on until then.
const (
	stagePatience       = time.Minute
	stageBubblePatience = time.Hour
)

// stage is what a case runs on.
type stage struct {
	*testing.T
	harness  Harness
	broker   *queue.Broker
	crash    func() // has the broker die, and opens what is left; of a stage that is fragile
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

// sized picks the figure for LEAT_LOOPS, and tells it.
func (s *stage) sized(short, ci, full int) int {
	s.Helper()
	n := short
	switch v := os.Getenv("LEAT_LOOPS"); v {
	case "", "short":
	case "ci":
		n = ci
	case "full":
		n = full
	default:
		s.Fatalf("LEAT_LOOPS=%s: want short, ci or full", v)
	}
	s.Logf("%d times", n)
	return n
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
