package timers

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
)

// TestStatsKnowWhatTheirCallerKnows asks at once after a publish and after a Cancel, when the index's goroutine may not have run yet.
func TestStatsKnowWhatTheirCallerKnows(t *testing.T) {
	bubble(t, 0, func(g *rig) {
		for n := range int64(100) {
			due := after(time.Hour)
			ids, err := g.publish(uint64(n), due, after(2*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if got := g.index.Stats(); got.Pending[g.target.First] != n+2 || n == 0 && got.Next != due {
				t.Fatalf("after publish %d: %+v, want %d pending, the next in an hour", n, got, n+2)
			}
			if err := g.index.Cancel(ctx, ids[1]); err != nil {
				t.Fatal(err)
			}
			if got := g.pending(); got != n+1 {
				t.Fatalf("after Cancel %d: %d pending, want %d", n, got, n+1)
			}
		}
	})
}

// TestOverdueBeforeItIsLookedAt has a message be due by a clock that is set after the publish, before the index can know of it.
func TestOverdueBeforeItIsLookedAt(t *testing.T) {
	for range 100 {
		bubble(t, 0, func(g *rig) {
			synctest.Wait()
			if _, err := g.publish(0, after(time.Minute)); err != nil {
				t.Fatal(err)
			}
			g.turn(time.Hour)
			if !g.index.Overdue() && len(g.delivered()) == 0 {
				t.Fatal("nothing is overdue, and the message is not delivered")
			}
		})
	}
}

// TestStatsCountWhatReadersFind asks for figures when a message is in its target and the append that moved it there has not returned.
func TestStatsCountWhatReadersFind(t *testing.T) {
	bubble(t, 0, func(g *rig) {
		var counted, asked atomic.Bool
		g.index.o.Count = func([]Message) { counted.Store(true) } // nothing is due yet
		g.store.mu.Lock()
		g.store.stored = func(e *storage.Entry) {
			if e.Batches[0].Partition != g.target.Partition(0) {
				return
			}
			go func() {
				if got := g.index.Stats(); len(got.Pending) != 0 || got.Next != 0 || !counted.Load() {
					t.Errorf("%+v, counted: %v; want the message counted as moved", got, counted.Load())
				}
				asked.Store(true)
			}()
			time.Sleep(patience / 2) // the append returns late, and the question comes before that
		}
		g.store.mu.Unlock()
		if _, err := g.publish(0, after(time.Second)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if g.want("at the end", 0); !asked.Load() {
			t.Error("Stats did not return")
		}
	})
}

// TestStatsCountWhatIsMovedBack asks for figures when messages of a run have come back to the inbox, since their target is full, and have not been read there.
func TestStatsCountWhatIsMovedBack(t *testing.T) {
	bubble(t, 4, func(g *rig) {
		const n = 40
		var asked atomic.Int64
		var due []int64
		for i := range n {
			due = append(due, after(time.Second+time.Duration(i)))
		}
		if _, err := g.publish(0, due...); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		g.store.fill(g.target.First, 0)
		g.store.read(func(p storage.PartitionID) {
			if p != g.index.Inbox() {
				return
			}
			asked.Add(1)
			if got := g.index.snapshot(); got.Pending[g.target.First] != n {
				t.Errorf("%+v, want %d pending", got, n)
			}
		})
		time.Sleep(time.Minute)
		if back := g.store.count(g.index.Inbox()); back == 0 || asked.Load() == 0 {
			t.Errorf("%d in the inbox, %d reads of it", back, asked.Load())
		}
		g.store.read(nil)
		g.store.fill(0, 2)
		time.Sleep(time.Minute)
		if got, left := len(g.delivered()), g.pending(); got != n || left != 0 {
			t.Errorf("%d delivered, %d pending, want %d and none", got, left, n)
		}
	})
}

// TestStatsDoNotWaitForRoom has an append of the index take longer than whoever asks has patience.
func TestStatsDoNotWaitForRoom(t *testing.T) {
	bubble(t, 0, func(g *rig) {
		g.store.mu.Lock()
		g.store.stored = func(e *storage.Entry) {
			if e.Batches[0].Partition == g.target.Partition(0) {
				time.Sleep(time.Hour)
			}
		}
		g.store.mu.Unlock()
		if _, err := g.publish(0, after(time.Second)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		start := time.Now()
		if got := g.index.Stats(); got.Pending[g.target.First] != 1 || !got.Overdue {
			t.Errorf("%+v, want one pending and overdue", got)
		}
		if d := time.Since(start); d != patience {
			t.Errorf("Stats took %v, want %v", d, patience)
		}
	})
}

// TestOverdueWhenNothingIsLookedAt has the index be busy while a message is published: nobody knows whether it is due.
func TestOverdueWhenNothingIsLookedAt(t *testing.T) {
	bubble(t, 0, func(g *rig) {
		g.index.o.Told = func([]Message) { time.Sleep(time.Hour) } // nothing is due yet
		if _, err := g.publish(0, after(time.Second)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if g.index.Overdue() {
			t.Error("overdue when all was moved")
		}
		if _, err := g.publish(1, after(time.Second)); err != nil {
			t.Fatal(err)
		}
		if !g.index.Overdue() {
			t.Error("not overdue when a message was not looked at")
		}
		time.Sleep(2 * time.Hour)
		if g.index.Overdue() {
			t.Error("overdue at the end")
		}
	})
}
