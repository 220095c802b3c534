package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
)

// archive is an effect that is stored together with the position behind which it goes on, for each partition.
type archive struct {
	last  map[int]queue.Position
	calls []string
	err   error
}

func (a *archive) group() queue.Group {
	return queue.Group{Order: queue.ByPartition, Concurrency: 4, Resume: func(_ context.Context, topic string, p int) (queue.Position, error) {
		a.calls = append(a.calls, fmt.Sprintf("%s/%d", topic, p))
		return a.last[p], a.err
	}}
}

func TestResumeGoesForwardAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 6, 0)
		a := &archive{last: map[int]queue.Position{}}
		m := join(t, b, a.group())
		var at []queue.Position
		for range 4 {
			h := m.one()
			at = append(at, h.Position)
			m.ack(h)
		}
		m.leave()
		for name, c := range map[string]struct {
			last queue.Position
			want []string
		}{
			"back":    {at[0], []string{"1", "2", "3", "4", "5"}},
			"forward": {at[3], []string{"4", "5"}},
			"nowhere": {queue.Position{}, []string{"0", "1", "2", "3", "4", "5"}},
			"by hand": {queue.PositionAt("t", 0, 4), []string{"5"}},
		} {
			a.last[0] = c.last
			m := join(t, b, a.group())
			if got := m.drain(); !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
			m.leave()
		}
		if err := b.WaitIdle(t.Context(), "g"); err != nil {
			t.Error(err)
		}
		if s := b.Stats().Groups[0]; s.Ready+s.InFlight+s.Waiting != 0 {
			t.Errorf("a lag of %+v after all was done", s)
		}
	})
}

func TestResumeIsDurableBeforeTheFirstDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 1)
		fill(t, b, 1, 6, 0)
		m := join(t, b, (&archive{}).group())
		m.drain()
		m.leave()
		a := &archive{last: map[int]queue.Position{0: queue.PositionAt("t", 0, 1)}}
		m = join(t, b, a.group())
		m.one()
		e := From(b).engine
		c, _ := e.store.Cursor(e.groups["g"].id, e.topics["t"].Partition(0))
		if c.Floor != 2 || c.Passed != 2 {
			t.Errorf("the store has floor %d, passed %d", c.Floor, c.Passed)
		}
	})
}

func TestResumeRunsWhileNothingOfTheMemberDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 4)
		fill(t, b, 4, 2, 0)
		a, c := &archive{last: map[int]queue.Position{}}, &archive{last: map[int]queue.Position{}}
		x := join(t, b, a.group())
		hs := []queue.Handover{x.one(), x.one(), x.one(), x.one()}
		if len(a.calls) != 4 {
			t.Fatalf("Resume was called for %v", a.calls)
		}
		y := join(t, b, c.group())
		for _, h := range hs {
			x.ack(h)
			a.last[h.Position.Partition()] = h.Position
			c.last[h.Position.Partition()] = h.Position
		}
		yh := y.one()
		if len(c.calls) != 2 {
			t.Fatalf("the second member resumed %v", c.calls)
		}
		xh := x.one()
		y.ack(yh)
		a.last[yh.Position.Partition()] = yh.Position
		y.leave()
		x.nothing(time.Minute) // two partitions wait to be taken over, and xh is in flight
		if len(a.calls) != 4 {
			t.Fatalf("Resume ran while a message was in flight: %v", a.calls)
		}
		x.ack(xh)
		a.last[xh.Position.Partition()] = xh.Position
		if got := x.drain(); len(got) != 2 || len(a.calls) != 6 {
			t.Errorf("then came %v; Resume was called for %v", got, a.calls)
		}
	})
}

// TestResumeRunsAlone: not even another Resume of the member runs meanwhile, though another partition has come.
func TestResumeRunsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 2)
		fill(t, b, 2, 2, 0)
		running, calls := 0, 0
		g := queue.Group{Order: queue.ByPartition, Concurrency: 4, Resume: func(_ context.Context, _ string, p int) (queue.Position, error) {
			calls++
			if running++; running > 1 {
				t.Error("two calls of Resume at once")
			}
			time.Sleep(time.Second)
			running--
			return queue.Position{}, nil
		}}
		x, y := join(t, b, queue.Group{Order: queue.ByPartition}), join(t, b, g)
		ctx, stop := context.WithCancel(t.Context())
		var receivers sync.WaitGroup
		receive := func() {
			for {
				var dst [1]queue.Handover
				if _, err := y.Receive(ctx, dst[:], queue.ReceiveLimits{}); err != nil {
					return
				}
				if running > 0 {
					t.Error("a message was handed out while Resume ran")
				}
				y.ack(dst[0])
			}
		}
		receivers.Go(receive)
		receivers.Go(receive)
		time.Sleep(time.Second / 2)
		x.leave() // its partition comes while the first is resumed
		receivers.Go(receive)
		if err := b.WaitIdle(ctx, "g"); err != nil {
			t.Error(err)
		}
		stop()
		receivers.Wait()
		if calls != 2 {
			t.Errorf("%d calls", calls)
		}
	})
}

func TestReceiversGoOnWhenResumeIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 2)
		fill(t, b, 2, 1, 0)
		a := archive{}
		g := a.group()
		resume := g.Resume
		g.Resume = func(ctx context.Context, topic string, p int) (queue.Position, error) {
			time.Sleep(time.Second)
			return resume(ctx, topic, p)
		}
		m := join(t, b, g)
		got := make(chan queue.Handover, 2)
		for range 2 { // each keeps what it got
			go func() { got <- m.one() }()
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(got) != 2 {
			t.Errorf("%d of two receivers got a message when Resume was done", len(got))
			m.leave()
		}
	})
}

// TestReadOfBeforeResumeIsDropped: a read that began before the cursor was set does not bring what it found.
func TestReadOfBeforeResumeIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openStopping(t)
		fill(t, b, 1, 6, 0)
		x := join(t, b, queue.Group{Order: queue.ByPartition})
		hold := make(chan struct{})
		s.holdReads(hold)
		go x.Receive(t.Context(), make([]queue.Handover, 1), queue.ReceiveLimits{})
		synctest.Wait() // it reads
		s.holdReads(nil)
		a := archive{last: map[int]queue.Position{0: queue.PositionAt("t", 0, 3)}}
		y := join(t, b, a.group())
		x.leave()
		got := make(chan []string)
		go func() { got <- y.drain() }()
		synctest.Wait()
		close(hold)
		if got := <-got; !slices.Equal(got, []string{"4", "5"}) {
			t.Errorf("behind position 3 came %v", got)
		}
	})
}

func TestResumeThatFailsEndsTheMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 2)
		ensure(t, b, "u", 1)
		fill(t, b, 2, 2, 0)
		wrong := errors.New("disk on fire")
		for name, c := range map[string]struct {
			archive archive
			want    error
		}{
			"error":           {archive{err: wrong}, wrong},
			"other life":      {archive{last: map[int]queue.Position{0: queue.NewPosition("t", 0, 1, 0)}}, queue.ErrNotFound},
			"beyond the end":  {archive{last: map[int]queue.Position{0: queue.PositionAt("t", 0, 2)}}, queue.ErrNotFound},
			"other partition": {archive{last: map[int]queue.Position{0: queue.PositionAt("t", 1, 0)}}, queue.ErrNotFound},
			"another topic's": {archive{last: map[int]queue.Position{0: queue.PositionAt("u", 0, 0)}}, queue.ErrNotFound},
		} {
			var others []*testMember
			for range 2 {
				others = append(others, join(t, b, queue.Group{Order: queue.ByPartition}))
			}
			m := join(t, b, c.archive.group())
			failed := make(chan error)
			for range 2 {
				go func() {
					_, err := m.Receive(t.Context(), make([]queue.Handover, 1), queue.ReceiveLimits{})
					failed <- err
				}()
			}
			synctest.Wait() // both wait for the partitions that the other has
			others[0].leave()
			others[1].leave()
			if x, y := <-failed, <-failed; !errors.Is(x, c.want) || !errors.Is(y, c.want) {
				t.Errorf("%s: %v and %v, want both %v", name, x, y, c.want)
			}
			m.leave()
		}
		m := join(t, b, queue.Group{Order: queue.ByPartition})
		if got := m.drain(); len(got) != 4 {
			t.Errorf("after all that, %v", got)
		}
	})
}
