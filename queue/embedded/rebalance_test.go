package embedded

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
)

func TestPartitionMovesWhenItsWorkIsSettled(t *testing.T) {
	for _, order := range []queue.Order{queue.ByKey, queue.ByPartition} {
		t.Run(order.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { partitionMoves(t, order) })
		})
	}
}

func partitionMoves(t *testing.T, order queue.Order) {
	b := memory(t, 2)
	fill(t, b, 2, 3, 1)
	g := queue.Group{Order: order, Concurrency: 4}
	x := join(t, b, g)
	h0, h1 := x.one(), x.one()
	if h0.Position.Partition() > h1.Position.Partition() {
		h0, h1 = h1, h0
	}
	if got := x.told(); !slices.Equal(got, []string{"+t/0", "+t/1"}) {
		t.Fatalf("the only member was told %v", got)
	}
	y := join(t, b, g)
	y.nothing(time.Minute) // partition 1 is to be y's, and x still works on it
	x.nothing(time.Minute) // and x gets no more of it
	if got := append(x.told(), y.told()...); len(got) > 0 {
		t.Fatalf("told %v while work is in flight", got)
	}
	x.ack(h1)
	next := y.one()
	if next.Position.Partition() != 1 || string(next.Value) != "1" {
		t.Errorf("the new owner got %s, value %s", next.Position, next.Value)
	}
	if got := append(x.told(), y.told()...); !slices.Equal(got, []string{"-t/1", "+t/1"}) {
		t.Errorf("told %v", got)
	}
	x.leave() // with partition 0 in flight
	y.ack(next)
	if got := y.drain(); !slices.Equal(got, []string{"2", "0", "1", "2"}) { // the last of partition 1, then partition 0
		t.Errorf("after the other left: %v", got)
	}
	if err := x.settle(h0, queue.SettleDone, 0); !errors.Is(err, queue.ErrLeaseLost) {
		t.Errorf("settling after Leave: %v", err)
	}
	if got := append(x.told(), y.told()...); !slices.Equal(got, []string{"-t/0", "+t/0"}) {
		t.Errorf("told %v", got)
	}
}

func TestPartitionStaysWhenTheNewcomerLeavesBeforeItMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 2)
		fill(t, b, 2, 2, 1)
		g := queue.Group{Order: queue.ByPartition, Concurrency: 4}
		x := join(t, b, g)
		hs := []queue.Handover{x.one(), x.one()}
		x.told()
		y := join(t, b, g)
		y.leave()
		x.ack(hs...)
		if got := x.drain(); len(got) != 2 {
			t.Errorf("left: %v", got)
		}
		if got := append(x.told(), y.told()...); len(got) > 0 {
			t.Errorf("told %v, though nothing moved", got)
		}
	})
}

func TestMembersAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		ensure(t, b, "u", 1)
		fill(t, b, 1, 2, 0)
		first := join(t, b, queue.Group{Topics: []string{"t", "u"}})
		first.ack(first.one())
		same := join(t, b, queue.Group{Topics: []string{"u", "t"}})
		same.leave()
		newcomer := func(g queue.Group) error {
			g.Name, g.Concurrency = "g", 1
			m, err := b.Engine().Join(t.Context(), queue.Membership{
				Group: g, Assigned: func(string, int) {}, Revoked: func(string, int) {},
			})
			if err == nil {
				m.Leave(t.Context())
			}
			return err
		}
		var fault *queue.ConfigError
		err := newcomer(queue.Group{Topics: []string{"t"}, Order: queue.Unordered})
		if !errors.As(err, &fault) || len(fault.Faults) != 2 {
			t.Errorf("a member that disagrees in topics and order: %v", err)
		}
		first.leave()
		m := join(t, b, queue.Group{Topics: []string{"t"}, Order: queue.Unordered})
		if h := m.one(); string(h.Value) != "1" {
			t.Errorf("the newcomer began at %s, and not where the group was", h.Position)
		}
		if err := newcomer(queue.Group{Topics: []string{"none"}}); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("unknown topic: %v", err)
		}
	})
}

func TestManyMembersGetTheirShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 6)
		g := queue.Group{Order: queue.ByKey}
		var ms []*testMember
		for range 3 {
			ms = append(ms, join(t, b, g))
		}
		ctx, stop := context.WithCancel(t.Context())
		for _, m := range ms {
			go m.Receive(ctx, make([]queue.Handover, 1), queue.ReceiveLimits{})
		}
		synctest.Wait()
		for i, m := range ms {
			if got := m.told(); len(got) != 2 {
				t.Errorf("member %d was told %v", i, got)
			}
		}
		ms[1].leave()
		synctest.Wait()
		for _, i := range []int{0, 2} {
			if got := ms[i].told(); len(got) != 1 || got[0][0] != '+' {
				t.Errorf("member %d was told %v after another left", i, got)
			}
		}
		stop()
		synctest.Wait()
	})
}
