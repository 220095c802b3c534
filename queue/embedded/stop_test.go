package embedded

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/mem"
)

// stopping is a store in memory that can be told to fail.
type stopping struct {
	*mem.Store
	stopped chan struct{}

	mu     sync.Mutex
	append error         // of the next appends; guarded by mu
	cause  error         // guarded by mu
	read   error         // guarded by mu
	hold   chan struct{} // that reads wait for; guarded by mu
}

func openStopping(t *testing.T) (*stopping, *queue.Broker) {
	t.Helper()
	m, err := mem.Open(mem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &stopping{Store: m, stopped: make(chan struct{})}
	b, err := open(s, inMemory, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	ensure(t, b, "t", 1)
	return s, b
}

func (s *stopping) Append(ctx context.Context, e *storage.Entry) (storage.Durability, error) {
	s.mu.Lock()
	err := s.append
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return s.Store.Append(ctx, e)
}

func (s *stopping) Read(dst []storage.Record, p storage.PartitionID, from int64, maxBytes int) ([]storage.Record, int64, error) {
	s.mu.Lock()
	err, hold := s.read, s.hold
	s.mu.Unlock()
	if hold != nil {
		dst, next, err := s.Store.Read(dst, p, from, maxBytes)
		<-hold
		return dst, next, err
	}
	if err != nil {
		return dst, from, err
	}
	return s.Store.Read(dst, p, from, maxBytes)
}

func (s *stopping) Stopped() <-chan struct{} { return s.stopped }

func (s *stopping) StopCause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// fail stops the store as a failed write does.
func (s *stopping) fail(cause error) {
	s.mu.Lock()
	s.cause = &storage.StoppedError{Cause: cause}
	s.append = s.cause
	s.mu.Unlock()
	close(s.stopped)
}

func (s *stopping) set(appending, reading error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append, s.read = appending, reading
}

// holdReads has reads return what they found only when hold is closed; nil: at once.
func (s *stopping) holdReads(hold chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = hold
}

var errDisk = errors.New("input/output error")

func TestStoppedStoreHandsOutNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openStopping(t)
		fill(t, b, 1, 3, 0)
		m := join(t, b, queue.Group{Order: queue.ByPartition, Concurrency: 1})
		h := m.one()
		waiting := make(chan error) // until h is settled
		go func() {
			_, err := m.Receive(t.Context(), make([]queue.Handover, 1), queue.ReceiveLimits{})
			waiting <- err
		}()
		synctest.Wait()
		s.fail(errDisk)
		if err := <-waiting; !errors.Is(err, queue.ErrStopped) || !errors.Is(err, errDisk) {
			t.Errorf("Receive that waited: %v", err)
		}
		m.ack(h) // counts, and is not durable
		if _, err := m.Receive(t.Context(), make([]queue.Handover, 1), queue.ReceiveLimits{}); !errors.Is(err, errDisk) {
			t.Errorf("Receive: %v", err)
		}
		if err := m.Leave(t.Context()); !errors.Is(err, queue.ErrStopped) {
			t.Errorf("Leave: %v", err)
		}
		if _, err := b.Engine().Join(t.Context(), queue.Membership{Group: queue.Group{Name: "g", Topics: []string{"t"}}}); !errors.Is(err, errDisk) {
			t.Errorf("Join: %v", err)
		}
		n := 0
		for _, err := range b.Read(t.Context(), queue.Range{Topic: "t"}) {
			if err != nil {
				t.Error(err)
			}
			n++
		}
		if n != 3 {
			t.Errorf("%d records read without a group", n)
		}
		if err := b.WaitIdle(t.Context(), "g"); !errors.Is(err, queue.ErrStopped) {
			t.Errorf("WaitIdle: %v", err)
		}
		if _, err := b.Publish(t.Context(), queue.Message{Topic: "t"}); !errors.Is(err, queue.ErrStopped) || !errors.Is(err, errDisk) {
			t.Errorf("Publish: %v", err)
		}
		select {
		case <-b.Engine().Done():
		default:
			t.Error("the engine is not done")
		}
	})
}

// TestOutcomesOfAStoppedStore: what nobody will ever know of is not taken for an outcome.
func TestOutcomesOfAStoppedStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openStopping(t)
		fill(t, b, 1, 3, 0)
		m := join(t, b, queue.Group{Order: queue.Unordered, Concurrency: 3, Lease: time.Minute})
		ss := []queue.Settlement{{Outcome: queue.SettleRetry}, {Outcome: queue.SettleRelease}, {Outcome: queue.SettleExtend, After: time.Minute}}
		for i := range ss {
			ss[i].Handle = m.one().Handle
		}
		s.fail(errDisk)
		m.Settle(t.Context(), ss)
		for _, x := range ss {
			if !errors.Is(x.Err, queue.ErrStopped) || !errors.Is(x.Err, errDisk) {
				t.Errorf("outcome %d: %v, want ErrStopped and its cause", x.Outcome, x.Err)
			}
		}
		if got := groupStats(b, "g"); got.Failed != 0 || got.InFlight != 3 {
			t.Errorf("%+v, want nothing failed, all in flight", got)
		}
	})
}

// TestLeasesOfAStoppedStore: their holders are told, and nobody waits for them.
func TestLeasesOfAStoppedStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openStopping(t)
		fill(t, b, 1, 4, 0)
		leases, ended := make(chan *queue.Lease, 4), make(chan error)
		go func() {
			for l, err := range b.Deliveries(t.Context(), queue.Group{Name: "g", Topics: []string{"t"}, Order: queue.Unordered, Concurrency: 4}) {
				if err != nil {
					ended <- err
					return
				}
				leases <- l
			}
		}()
		var held []*queue.Lease
		for range 4 {
			held = append(held, <-leases)
		}
		began := time.Now()
		s.fail(errDisk)
		for i, settle := range []func(*queue.Lease) error{
			func(l *queue.Lease) error { return l.Ack(t.Context()) },
			func(l *queue.Lease) error { return l.Nack(t.Context(), errDisk) },
			func(l *queue.Lease) error { return l.NackAfter(t.Context(), time.Hour, errDisk) },
			func(l *queue.Lease) error { return l.Reject(t.Context(), errDisk) },
		} {
			if err := settle(held[i]); !errors.Is(err, queue.ErrStopped) {
				t.Errorf("way %d to settle a lease: %v, want ErrStopped", i, err)
			}
			if cause := context.Cause(held[i].Context()); !errors.Is(cause, queue.ErrStopped) {
				t.Errorf("way %d to settle a lease: its context ended with %v", i, cause)
			}
		}
		if err := <-ended; !errors.Is(err, queue.ErrStopped) || time.Since(began) > 0 {
			t.Errorf("the loop ended after %v with %v", time.Since(began), err)
		}
	})
}

// TestStopIsSeenAtOnce: also while the engine's goroutine is busy with something else.
func TestStopIsSeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openStopping(t)
		fill(t, b, 1, 3, 0)
		m := join(t, b, queue.Group{Order: queue.ByPartition})
		m.ack(m.one())
		synctest.Wait() // the goroutine waits to flush
		s.fail(errDisk)
		if _, err := m.Receive(t.Context(), make([]queue.Handover, 1), queue.ReceiveLimits{}); !errors.Is(err, errDisk) {
			t.Errorf("Receive: %v", err)
		}
	})
}

func TestFlushThatFailsEndsTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openStopping(t)
		fill(t, b, 1, 3, 0)
		m := join(t, b, queue.Group{Order: queue.ByPartition})
		m.ack(m.one())
		s.set(errDisk, nil)
		time.Sleep(time.Second)
		if _, err := m.Receive(t.Context(), make([]queue.Handover, 1), queue.ReceiveLimits{}); !errors.Is(err, errDisk) {
			t.Errorf("Receive: %v", err)
		}
		s.set(nil, nil)
		m.leave()
		m = join(t, b, queue.Group{Order: queue.ByPartition})
		if got := m.drain(); len(got) != 2 {
			t.Errorf("when the store was well again: %v", got)
		}
	})
}

func TestFullStoreDelaysTheFlushOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openStopping(t)
		fill(t, b, 1, 3, 0)
		m := join(t, b, queue.Group{Order: queue.ByPartition})
		s.set(storage.ErrFull, nil)
		m.ack(m.one())
		time.Sleep(time.Second)
		s.set(nil, nil)
		time.Sleep(time.Second)
		e := From(b).engine
		if c, _ := s.Cursor(e.groups["g"].id, e.topics["t"].First); c.Floor != 1 || c.Passed != 1 {
			t.Errorf("the store has %+v", c)
		}
	})
}

func TestUnreadablePartitionEndsTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openStopping(t)
		fill(t, b, 1, 3, 0)
		damage := &storage.DamageError{File: "x", Reason: "checksum"}
		s.set(nil, damage)
		m := join(t, b, queue.Group{})
		var found *storage.DamageError
		if _, err := m.Receive(t.Context(), make([]queue.Handover, 1), queue.ReceiveLimits{}); !errors.As(err, &found) {
			t.Errorf("Receive: %v", err)
		}
		m.leave()
		s.set(nil, nil)
		m = join(t, b, queue.Group{Order: queue.ByPartition})
		h := m.one()
		m.settle(h, queue.SettleRetry, 0)
		s.set(nil, damage) // now that it has to be read again
		if _, err := m.Receive(t.Context(), make([]queue.Handover, 1), queue.ReceiveLimits{}); !errors.As(err, &found) {
			t.Errorf("Receive of a second attempt: %v", err)
		}
		m.leave()
		s.set(nil, nil)
		m = join(t, b, queue.Group{Order: queue.ByPartition})
		if again := m.one(); again.Position != h.Position || again.Attempt != 2 {
			t.Errorf("%s, attempt %d", again.Position, again.Attempt)
		}
	})
}

func TestIndeterminateAndTranslations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openStopping(t)
		for name, c := range map[string]struct {
			err  error
			want []error
		}{
			"indeterminate": {errors.Join(storage.ErrIndeterminate, context.Canceled), []error{queue.ErrIndeterminate, context.Canceled}},
			"and stopped": {errors.Join(storage.ErrIndeterminate, &storage.StoppedError{Cause: errDisk}),
				[]error{queue.ErrIndeterminate, queue.ErrStopped, errDisk}},
			"full":   {errors.Join(storage.ErrFull, context.DeadlineExceeded), []error{queue.ErrFull, context.DeadlineExceeded}},
			"large":  {&storage.LimitError{What: "entry", Size: 2, Max: 1}, []error{queue.ErrTooLarge}},
			"closed": {storage.ErrClosed, []error{queue.ErrClosed}},
			"other":  {errDisk, []error{errDisk}},
		} {
			s.set(c.err, nil)
			_, err := b.Publish(t.Context(), queue.Message{Topic: "t"})
			for _, want := range c.want {
				if !errors.Is(err, want) {
					t.Errorf("%s: %v is not %v", name, err, want)
				}
			}
		}
		s.set(nil, nil)
	})
}

func TestCloseWithMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := openStopping(t)
		fill(t, b, 1, 3, 0)
		m := join(t, b, queue.Group{Order: queue.ByPartition})
		m.settle(m.one(), queue.SettleRetry, time.Hour) // a timer that must not outlive the broker
		waiting := make(chan error)
		go func() {
			_, err := m.Receive(context.Background(), make([]queue.Handover, 1), queue.ReceiveLimits{})
			waiting <- err
		}()
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := <-waiting; !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Receive: %v", err)
		}
		if _, err := b.Engine().Join(context.Background(), queue.Membership{Group: queue.Group{Name: "g", Topics: []string{"t"}}}); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("Join: %v", err)
		}
	})
}
