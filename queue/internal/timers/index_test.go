package timers

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
)

// bubble runs a test with a rig whose index is open, in a bubble.
func bubble(t *testing.T, refs int, f func(g *rig)) {
	synctest.Test(t, func(t *testing.T) {
		s := newLogged(t)
		defer s.Close(ctx)
		g := newRig(t, s, refs)
		g.open()
		defer g.close()
		f(g)
	})
}

var ctx = context.Background()

func after(d time.Duration) int64 { return time.Now().Add(d).UnixNano() }

func (g *rig) want(what string, want ...uint64) {
	g.Helper()
	if got := g.delivered(); !slices.Equal(got, want) {
		g.Errorf("%s: delivered %d, want %d", what, got, want)
	}
}

func TestDueInOrderAndToTheMoment(t *testing.T) {
	bubble(t, 0, func(g *rig) {
		if _, err := g.publish(0, after(3*time.Second), after(1500*time.Microsecond), after(1500*time.Microsecond), after(time.Second)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1499 * time.Microsecond)
		synctest.Wait()
		g.want("before the first is due")
		if got := g.index.Stats(); got.Pending[g.target.First] != 4 || got.Next != after(time.Microsecond) {
			t.Errorf("%+v, want 4 pending, the next in a microsecond", got)
		}
		time.Sleep(time.Microsecond)
		synctest.Wait()
		g.want("when two are due", 1, 2)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		g.want("when all are", 1, 2, 3, 0)
		if got := g.index.Stats(); len(got.Pending) != 0 || got.Next != 0 || got.Overdue || got.Err != nil {
			t.Errorf("%+v, want nothing", got)
		}
	})
}

func TestCancelAndMove(t *testing.T) {
	for _, refs := range []int{1 << 15, 4} { // in memory, and in runs
		bubble(t, refs, func(g *rig) {
			var ids []ID
			for n := range uint64(20) {
				id, err := g.publish(n, after(time.Duration(n+1)*time.Minute))
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, id...)
			}
			synctest.Wait()
			if runs := g.index.Stats().Runs; (runs > 0) != (refs == 4) {
				t.Fatalf("%d runs", runs)
			}
			gone := func(what string, err error) {
				t.Helper()
				if !errors.Is(err, ErrGone) {
					t.Errorf("%s: %v, want ErrGone", what, err)
				}
			}
			fine := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			fine(g.index.Cancel(ctx, ids[3]))
			gone("again", g.index.Cancel(ctx, ids[3]))
			to := after(30 * time.Minute)
			moved, err := g.index.Move(ctx, ids[4], to)
			fine(err)
			again, err := g.index.Move(ctx, ids[4], to)
			fine(err)
			if moved != again {
				t.Errorf("moved to %s, and when asked again to %s", moved, again)
			}
			gone("what was moved", g.index.Cancel(ctx, ids[4]))
			back, err := g.index.Move(ctx, moved, ids[4].Due)
			fine(err)
			sooner, err := g.index.Move(ctx, ids[19], after(0))
			fine(err)
			if got := g.pending(); got != 19 && got != 18 {
				t.Errorf("%d pending, want 19, or 18 if the one that is due is gone", got)
			}
			synctest.Wait()
			g.want("the one that was moved to now", 19)
			gone("what is due", g.index.Cancel(ctx, sooner))
			foreign := ids[5]
			foreign.Incarnation++
			gone("of another store", g.index.Cancel(ctx, foreign))
			later := ids[5]
			later.Seq += 1000
			gone("of nothing", g.index.Cancel(ctx, later))
			fine(g.index.Cancel(ctx, ids[18]))
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			g.want("in five minutes", 19, 0, 1, 2, 4)
			gone("moved there and back, and due", g.index.Cancel(ctx, back))
			time.Sleep(time.Hour)
			synctest.Wait()
			g.want("at the end", 19, 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)
			if got := g.pending(); got != 0 {
				t.Errorf("%d pending at the end", got)
			}
		})
	}
}

// TestMemoryIsBounded has many more messages than references.
func TestMemoryIsBounded(t *testing.T) {
	bubble(t, 64, func(g *rig) {
		const n = 20_000
		dice := rand.New(rand.NewPCG(1, 2))
		for i := uint64(0); i < n; i += 50 {
			var due []int64
			for range 50 {
				due = append(due, after(time.Hour+time.Duration(dice.Int64N(int64(time.Hour)))))
			}
			if _, err := g.publish(i, due...); err != nil {
				t.Fatal(err)
			}
			if i%1000 == 0 {
				synctest.Wait()
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := g.index.Stats(); got.References > 128 || got.Runs > 4*mergeFrom || got.Writing > 0 {
			t.Errorf("%+v, of %d messages", got, n)
		}
		if got := g.pending(); got != n {
			t.Errorf("%d pending, want %d", got, n)
		}
		left := g.store.count(g.index.inboxID)
		for slot := range maxRuns {
			left += g.store.count(g.index.runTopic.Partition(slot))
		}
		if left > n+1000 {
			t.Errorf("%d records are stored for %d messages: what was merged is not removed", left, n)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if got := len(g.delivered()); got != n {
			t.Errorf("%d delivered, want %d", got, n)
		}
		if got := g.pending(); got != 0 {
			t.Errorf("%d pending at the end", got)
		}
		if got := g.store.count(g.index.inboxID); got > 1000 {
			t.Errorf("%d records are left in the inbox", got)
		}
	})
}

// TestFull has two topics of which one is full for a while: the other goes on, and nothing is lost or repeated.
func TestFull(t *testing.T) {
	for _, refs := range []int{1 << 15, 16} {
		synctest.Test(t, func(t *testing.T) {
			s := newLogged(t)
			defer s.Close(ctx)
			g := newRig(t, s, refs)
			other, err := s.CreateTopic(ctx, storage.TopicSpec{Name: "other", Partitions: 1})
			if err != nil {
				t.Fatal(err)
			}
			g.open()
			g.index.o.Place = func(m *Message) storage.PartitionID { return m.First }
			full := true
			s.refuse = func(e *storage.Entry) error {
				for _, b := range e.Batches {
					if full && b.Partition == other.First {
						return storage.ErrFull
					}
				}
				return nil
			}
			for n := range uint64(200) {
				r := g.record(n, after(time.Duration(n)*time.Second))
				if n%2 == 1 {
					r.Headers = AppendHeaders(nil, &Envelope{Due: after(time.Duration(n) * time.Second), First: other.First, Pin: -1, Topic: "other"}, Key{})
				}
				e := storage.Entry{Batches: []storage.Batch{{Partition: g.index.Inbox(), Records: []storage.Record{r}}}}
				if _, err := s.Append(ctx, &e); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(201 * time.Second)
			synctest.Wait()
			if got := len(g.delivered()); got != 100 {
				t.Errorf("%d of 100 messages were delivered beside a topic that is full", got)
			}
			if got := g.index.Stats(); got.Pending[other.First] != 100 || got.Overdue {
				t.Errorf("%+v, want 100 pending and held", got)
			}
			s.mu.Lock()
			full = false
			s.mu.Unlock()
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if got := s.count(other.First); got != 100 {
				t.Errorf("%d of 100 messages came when there was room", got)
			}
			if got := g.pending(); got != 0 {
				t.Errorf("%d pending at the end", got)
			}
			g.close()
		})
	}
}

func TestIDText(t *testing.T) {
	k := Key{Due: 1764473000000000001, Seq: 77, Version: 3}
	chosen := k
	chosen.Nonce = 0xfedcba98
	for _, id := range []ID{{k, 0xdeadbeefcafe}, {Key: chosen}} {
		if got, ok := ParseID(id.String()); !ok || got != id {
			t.Errorf("%s reads back as %v, %v", id, got, ok)
		}
	}
	for _, s := range []string{"", "1-2-3", "1-2-3-g", "01-2-3-4", "1-2-3-4-5", "-1-2-3-4", "1-2-4294967296-1", "9223372036854775808-1-1-1", "1-2-3-4 ", "1-2-3-n", "1-2-3-n0", "1-2-3-n01", "1-2-3-n100000000", "1-2-3-nn"} {
		if id, ok := ParseID(s); ok {
			t.Errorf("%q is read as %v", s, id)
		}
	}
}
