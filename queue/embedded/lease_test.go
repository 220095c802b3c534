package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/lanes"
)

func TestLeaseOfAnEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 2, 0)
		m := join(t, b, queue.Group{Order: queue.Unordered, Concurrency: 2, Lease: time.Minute})
		x, y := m.one(), m.one()
		if left := time.Until(x.Deadline); left != time.Minute {
			t.Errorf("the deadline is %v away, want 1m", left)
		}
		time.Sleep(30 * time.Second)
		if err := m.settle(y, queue.SettleExtend, time.Hour); err != nil {
			t.Fatal("extending: ", err)
		}
		if err := m.settle(x, queue.SettleExtend, time.Second); err != nil { // sooner than it was
			t.Fatal("extending: ", err)
		}
		time.Sleep(time.Second - 1)
		if got := m.told(); got != nil {
			t.Errorf("told %v before the deadline", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if got, want := m.told(), []string{"expired attempt 1 of t/0"}; !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
		for _, o := range []queue.Outcome{queue.SettleDone, queue.SettleRetry, queue.SettleRelease, queue.SettleExtend} {
			if err := m.settle(x, o, time.Second); err != queue.ErrLeaseLost {
				t.Errorf("outcome %d after the deadline: %v", o, err)
			}
		}
		again := m.one()
		if again.Position != x.Position || again.Attempt != 2 || string(again.Value) != "0" || again.LastError != leaseExpired {
			t.Errorf("then came %+v", again)
		}
		m.ack(again, y)
		time.Sleep(2 * time.Hour)
		if got := m.told(); got != nil {
			t.Errorf("told %v of what was settled", got)
		}
		s := b.Stats().Groups[0]
		if s.Failed != 1 || s.Done != 2 || s.InFlight != 0 {
			t.Errorf("counted %+v", s)
		}
	})
}

func TestExtendingWithoutALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 1, 0)
		m := join(t, b, queue.Group{})
		h := m.one()
		if !h.Deadline.IsZero() {
			t.Errorf("a deadline without a lease: %v", h.Deadline)
		}
		if err := m.settle(h, queue.SettleExtend, time.Second); err != nil {
			t.Errorf("what is held: %v", err)
		}
		m.nothing(time.Hour)
		m.ack(h)
		if err := m.settle(h, queue.SettleExtend, time.Second); err != queue.ErrLeaseLost {
			t.Errorf("what is not held: %v", err)
		}
	})
}

// A process that was stopped may settle before the timer rings.
func TestOverdueBeforeTheTimerRings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 1, 0)
		m := join(t, b, queue.Group{Lease: time.Minute})
		h := m.one()
		g := m.Member.(*member).group
		g.mu.Lock()
		g.disarm()
		g.armed = 1 // so that nobody arms it
		g.mu.Unlock()
		time.Sleep(time.Minute)
		if err := m.settle(h, queue.SettleDone, 0); err != queue.ErrLeaseLost {
			t.Errorf("settling at the deadline: %v", err)
		}
		g.ring()
		if again := m.one(); again.Attempt != 2 {
			t.Errorf("attempt %d after a lease", again.Attempt)
		}
	})
}

// A partition that has to move does so when the lease of what is in flight is over.
func TestPartitionMovesWhenItsLeaseIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 2)
		fill(t, b, 2, 2, 1)
		x := join(t, b, queue.Group{Concurrency: 2, Lease: time.Minute})
		x.one()
		x.one()
		y := join(t, b, queue.Group{Lease: time.Minute})
		y.nothing(59 * time.Second)
		h := y.one()
		if h.Attempt != 2 || string(h.Value) != "0" || h.Position.Partition() != 1 {
			t.Errorf("the new owner got %+v", h)
		}
		if got, want := y.told(), []string{"+t/1"}; !slices.Equal(got, want) {
			t.Errorf("the new owner was told %v, want %v", got, want)
		}
		got := x.told()
		slices.Sort(got)
		if want := []string{"+t/0", "+t/1", "-t/1", "expired attempt 1 of t/0", "expired attempt 1 of t/1"}; !slices.Equal(got, want) {
			t.Errorf("the other was told %v, want %v", got, want)
		}
		y.ack(h)
	})
}

func TestLeavingEndsLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 3, 0)
		m, other := join(t, b, queue.Group{Concurrency: 3, Lease: time.Minute, Order: queue.Unordered}), join(t, b, queue.Group{Order: queue.Unordered})
		h := m.one()
		m.one()
		m.leave()
		time.Sleep(time.Hour)
		if got := m.told(); got != nil {
			t.Errorf("told %v after leaving", got)
		}
		if err := m.settle(h, queue.SettleExtend, time.Minute); !errors.Is(err, queue.ErrLeaseLost) {
			t.Errorf("extending after leaving: %v", err)
		}
		if got := other.one(); got.Attempt != 1 {
			t.Errorf("attempt %d of what was given back", got.Attempt)
		}
	})
}

// The heap against a list.
func TestLeasesAreInTheOrderOfTheirEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l leases
		set := lanes.NewSet(func(*message) {})
		var all []*lanes.Item[message]
		pick := func(t *rapid.T) int {
			if len(all) == 0 {
				t.Skip("nothing is leased")
			}
			return rapid.IntRange(0, len(all)-1).Draw(t, "which")
		}
		until := func(t *rapid.T) time.Duration { return time.Duration(rapid.IntRange(0, 20).Draw(t, "until")) }
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				it := set.Item()
				l.add(it, until(t))
				all = append(all, it)
			},
			"move": func(t *rapid.T) { l.move(all[pick(t)], until(t)) },
			"remove": func(t *rapid.T) {
				i := pick(t)
				l.remove(all[i])
				l.remove(all[i]) // it has none
				all = slices.Delete(all, i, i+1)
			},
			"": func(t *rapid.T) {
				if len(l) != len(all) {
					t.Fatalf("%d leases, want %d", len(l), len(all))
				}
				for i, it := range l {
					if int(it.Value.leased) != i+1 {
						t.Fatalf("the lease at %d says %d", i, it.Value.leased-1)
					}
				}
				for _, it := range all {
					if it.Value.until < l[0].Value.until {
						t.Fatalf("a lease until %d is not on top, but one until %d", it.Value.until, l[0].Value.until)
					}
				}
			},
		})
	})
}

func (m *testMember) expired(_ any, p queue.Position, attempt int) {
	m.note(fmt.Sprintf("expired attempt %d of ", attempt), p.Topic(), p.Partition())
}

// What is being stored does not expire meanwhile; if it cannot be stored, the lease is what it was.
func TestLeaseIsSuspendedWhileItsOutcomeIsStored(t *testing.T) {
	for _, over := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := memory(t, 1)
			fill(t, b, 1, 2, 0)
			ensure(t, b, "u", 1)
			m := join(t, b, queue.Group{Order: queue.Unordered, Concurrency: 2, Lease: time.Minute})
			acked, refused := m.one(), m.one()
			turn := m.Member.(*member).group.engine.flusher.turn
			<-turn // nothing is stored for a while
			errs := make(chan error, 2)
			settle := func(h queue.Handover, publish ...queue.Message) {
				ss := []queue.Settlement{{Handle: h.Handle, Outcome: queue.SettleDone, Publish: publish, Wait: true}}
				m.Settle(context.Background(), ss)
				errs <- ss[0].Err
			}
			go settle(acked)
			synctest.Wait()
			go settle(refused, queue.Message{Topic: "u"})
			if err := b.Admin().DeleteTopic(t.Context(), "u"); err != nil {
				t.Fatal(err)
			}
			if over {
				time.Sleep(time.Hour)
			}
			synctest.Wait()
			if got := m.told(); got != nil {
				t.Errorf("told %v while the outcomes are stored", got)
			}
			if err := m.settle(acked, queue.SettleRetry, 0); err != queue.ErrLeaseLost {
				t.Errorf("another outcome meanwhile: %v", err)
			}
			turn <- struct{}{}
			if err := errors.Join(<-errs, <-errs); !errors.Is(err, queue.ErrNotFound) || errors.Is(err, queue.ErrLeaseLost) {
				t.Errorf("settling: %v, want one to fail with ErrNotFound", err)
			}
			synctest.Wait()
			var want []string
			if over {
				want = []string{"expired attempt 1 of t/0"}
			}
			if got := m.told(); !slices.Equal(got, want) {
				t.Errorf("over: %v, told %v, want %v", over, got, want)
			}
			if err := m.settle(refused, queue.SettleDone, 0); (err == queue.ErrLeaseLost) != over {
				t.Errorf("over: %v, settling in another way: %v", over, err)
			}
			m.drain()
		})
	}
}
