package queue

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// leaseEngine is a sliceEngine with leases that end when the test says so.
type leaseEngine struct {
	*sliceEngine
	expire bool // the next lease is over before Receive returns
}

func newLeaseEngine() *leaseEngine {
	e := &leaseEngine{sliceEngine: newSliceEngine()}
	e.caps.Features[CanLease] = Grade{}
	return e
}

func (e *leaseEngine) Join(ctx context.Context, m Membership) (Member, error) {
	member, err := e.sliceEngine.Join(ctx, m)
	return &leaseMember{member.(*sliceMember), e, m}, err
}

type leaseMember struct {
	*sliceMember
	engine *leaseEngine
	Membership
}

func (m *leaseMember) Receive(ctx context.Context, dst []Handover, limits ReceiveLimits) (int, error) {
	n, err := m.sliceMember.Receive(ctx, dst, limits)
	if err != nil {
		return n, err
	}
	dst[0].Deadline = time.Now().Add(m.Group.Lease)
	if m.engine.expire {
		m.engine.expire = false
		m.Expired("another's", dst[0].Position, 1)
		m.Expired(dst[0].Handle, dst[0].Position, dst[0].Attempt)
		m.engine.again(dst[0].Handle.(*sliceItem))
	}
	return n, nil
}

// A lease that is over before anybody could hold it is not handed on.
func TestLeaseThatIsOverBeforeItIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newLeaseEngine()
		e.expire = true
		told := 0
		b := open(t, e, Options{Events: Events{LeaseExpired: func(LeaseExpiredEvent) { told++ }}})
		publish(t, b, "a")
		for l, err := range b.Deliveries(t.Context(), group) {
			if err != nil {
				t.Fatal(err)
			}
			if l.Attempt != 2 || l.Context().Err() != nil || l.Deadline() != time.Now().Add(30*time.Second) {
				t.Errorf("got attempt %d, until %v; its context: %v", l.Attempt, l.Deadline(), l.Context().Err())
			}
			break
		}
		if told != 2 || e.left != 1 {
			t.Errorf("told %d times, left %d times; want 2 and once", told, e.left)
		}
	})
}

// The body of a loop that does not return is as stuck as a handler.
func TestStuckLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newLeaseEngine(), Options{})
		publish(t, b, "a")
		open := make(chan struct{})
		wait := inBackground(func() error {
			for l, err := range b.Deliveries(t.Context(), group) {
				if err != nil {
					return err
				}
				<-l.Context().Done() // it heeds this, and goes on all the same
				<-open
			}
			return nil
		})
		synctest.Wait()
		if got := b.Stats().Handlers; got != 1 {
			t.Errorf("%d handlers run, want the body of the loop", got)
		}
		began := time.Now()
		err := b.Close()
		var stuck *StuckError
		if !errors.As(err, &stuck) || stuck.Handlers != 1 || bytes.Count(stuck.Stacks, []byte("TestStuckLoop")) == 0 || bytes.Contains(stuck.Stacks, []byte("(*Broker).Shutdown")) {
			t.Errorf("Close returned %v, want a *StuckError with the stack of the loop", err)
		}
		if took := time.Since(began); took != b.drainTime+grace {
			t.Errorf("Close took %v", took)
		}
		close(open)
		if err := wait(); err != ErrClosed {
			t.Errorf("the loop ended with %v, want ErrClosed", err)
		}
	})
}

func TestDeliveriesRefuses(t *testing.T) {
	e := newSliceEngine()
	b := open(t, e, Options{})
	pairs := func(g Group) (errs []error) {
		for l, err := range b.Deliveries(t.Context(), g) {
			if l != nil {
				t.Error("a lease comes with an error")
			}
			errs = append(errs, err)
		}
		return errs
	}
	if errs := pairs(group); len(errs) != 1 || !errors.Is(errs[0], ErrUnsupported) {
		t.Errorf("without leases: %v, want ErrUnsupported once", errs)
	}
	var config *ConfigError
	if errs := pairs(Group{HandlerTimeout: time.Second}); len(errs) != 1 || !errors.As(errs[0], &config) || len(config.Faults) < 3 {
		t.Errorf("a faulty group: %v, want all faults at once", errs)
	}
	if len(e.joined) != 0 {
		t.Errorf("%d joined", len(e.joined))
	}
	e.caps.Features[CanLease] = Grade{}
	e.breakWith(errors.New("broken"))
	if errs := pairs(group); len(errs) != 1 || errs[0].Error() != "broken" || e.left != 1 {
		t.Errorf("an engine that fails: %v, left %d times", errs, e.left)
	}
}
