package queue

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leatmq/leat/retry"
)

// sliceEngine keeps everything in one slice: one partition, one group, nothing waits for anything but its own
// retry. It is enough to see what a Broker does.
type sliceEngine struct {
	caps    Capabilities
	stopped chan struct{}

	mu          sync.Mutex
	wake        chan struct{} // closed and made anew when ready grows or the engine closes
	ready       []*sliceItem
	settled     []Settlement // every one, in order; Handle is the *sliceItem
	stopErr     error
	closed      bool
	closeErr    error // what Close returns
	joined      []Membership
	left        int
	nextOffset  int64
	refuseJoin  error
	breaks      error // what Receive returns from now on
	ensured     TopicConfig
	lateSettles bool          // refuse every outcome
	limits      ReceiveLimits // of the last Receive
}

type sliceItem struct {
	record  Record
	attempt int
}

func newSliceEngine() *sliceEngine {
	features := map[Feature]Grade{}
	for _, f := range []Feature{CanOrderByKey, CanOrderByPartition, CanShare, CanBatch, CanRead, CanResume, CanCommit} {
		features[f] = Grade{}
	}
	return &sliceEngine{
		caps:    Capabilities{Name: "slice", MaxBytes: 1 << 20, Features: features},
		stopped: make(chan struct{}),
		wake:    make(chan struct{}),
	}
}

func (e *sliceEngine) Capabilities() Capabilities { return e.caps }

func (e *sliceEngine) EnsureTopic(_ context.Context, _ string, c TopicConfig) error {
	e.ensured = c
	return nil
}

func (e *sliceEngine) Publish(_ context.Context, ms []Message, rs []Receipt) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	for i := range ms {
		p := NewPosition(ms[i].Topic, 0, 1, e.nextOffset)
		e.nextOffset++
		e.ready = append(e.ready, &sliceItem{record: Record{Message: ms[i], Position: p}})
		rs[i] = Receipt{Position: p, Durability: Memory}
	}
	e.wakeAll()
	return nil
}

func (e *sliceEngine) wakeAll() { // mu is held
	close(e.wake)
	e.wake = make(chan struct{})
}

func (e *sliceEngine) Join(_ context.Context, m Membership) (Member, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.joined = append(e.joined, m)
	return (*sliceMember)(e), e.refuseJoin
}

func (e *sliceEngine) Done() <-chan struct{} { return e.stopped }

func (e *sliceEngine) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stopErr
}

// stop is what a failed write would do.
func (e *sliceEngine) stop(err error) {
	e.mu.Lock()
	e.stopErr = err
	e.mu.Unlock()
	close(e.stopped)
}

// breakWith makes Receive fail.
func (e *sliceEngine) breakWith(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.breaks = err
	e.wakeAll()
}

func (e *sliceEngine) Close(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errors.New("closed twice")
	}
	e.closed = true
	e.wakeAll()
	return errors.Join(e.closeErr, ctx.Err())
}

func (e *sliceEngine) Read(_ context.Context, r Range) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for _, it := range e.ready {
			if it.record.Topic == r.Topic && !yield(&it.record, nil) {
				return
			}
		}
	}
}

func (e *sliceEngine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return Stats{Topics: []TopicStats{{Name: "t", Published: e.nextOffset}}}
}

// outcomes returns what was settled so far, in order.
func (e *sliceEngine) outcomes() []Outcome {
	e.mu.Lock()
	defer e.mu.Unlock()
	var os []Outcome
	for _, s := range e.settled {
		os = append(os, s.Outcome)
	}
	return os
}

// sliceMember is the engine seen as a member.
type sliceMember sliceEngine

func (m *sliceMember) Receive(ctx context.Context, dst []Handover, limits ReceiveLimits) (int, error) {
	e := (*sliceEngine)(m)
	for {
		e.mu.Lock()
		e.limits = limits
		if e.closed || e.breaks != nil {
			defer e.mu.Unlock()
			if e.closed {
				return 0, ErrClosed
			}
			return 0, e.breaks
		}
		n := min(len(dst), len(e.ready))
		for i, it := range e.ready[:n] {
			it.attempt++
			dst[i] = Handover{Record: it.record, Attempt: it.attempt, Handle: it}
		}
		e.ready = slices.Delete(e.ready, 0, n)
		wake := e.wake
		e.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (m *sliceMember) Settle(_ context.Context, ss []Settlement) {
	e := (*sliceEngine)(m)
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range ss {
		it := ss[i].Handle.(*sliceItem)
		if e.closed || e.lateSettles {
			ss[i].Err = ErrLeaseLost
			continue
		}
		e.settled = append(e.settled, ss[i])
		switch ss[i].Outcome {
		case SettleRetry:
			time.AfterFunc(ss[i].After, func() { e.again(it) })
		case SettleRelease:
			it.attempt--
			e.ready = append(e.ready, it)
			e.wakeAll()
		}
	}
}

func (e *sliceEngine) again(it *sliceItem) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ready = append(e.ready, it)
	e.wakeAll()
}

func (m *sliceMember) Leave(ctx context.Context) error {
	e := (*sliceEngine)(m)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.left++
	return ctx.Err()
}

// open makes a broker over e that is closed with t.
func open(t testing.TB, e Engine, o Options) *Broker {
	t.Helper()
	b, err := New(e, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// publish stores messages with the given values in topic t.
func publish(t testing.TB, b *Broker, values ...string) {
	t.Helper()
	for _, v := range values {
		if _, err := b.Publish(context.Background(), Message{Topic: "t", Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
	}
}

// inBackground runs f, and returns what it returned when called.
func inBackground(f func() error) func() error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return func() error { return <-c }
}

// group tries again for ever: after 100 ms, doubling to a minute.
var group = Group{Name: "g", Topics: []string{"t"}, Concurrency: 1, Failure: Failure{Retry: retry.Policy{Jitter: retry.NoJitter, MaxAttempts: -1}}}
