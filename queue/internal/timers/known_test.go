package timers

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
)

// What the index may do before it knows everything: each of these tests was written for a defect that no other one noticed.

// bulk appends to the inbox more than the index reads at once, from message n on, due in a day. It returns how many.
func (g *rig) bulk(n uint64) int {
	g.Helper()
	const size = 8 << 10
	b := storage.Batch{Partition: g.index.Inbox()}
	for i := range uint64(2 * readBytes / size) {
		r := g.record(n+i, after(24*time.Hour))
		r.Value = append(r.Value, make([]byte, size)...)
		b.Records = append(b.Records, r)
	}
	if _, err := g.store.Store.Append(ctx, &storage.Entry{Batches: []storage.Batch{b}}); err != nil {
		g.Error(err)
	}
	return len(b.Records)
}

// TestNothingIsMovedBeforeTheInboxWasRead opens an index when a message is due whose tombstone is further behind in the inbox than one read goes.
func TestNothingIsMovedBeforeTheInboxWasRead(t *testing.T) {
	bubble(t, 0, func(g *rig) {
		ids, err := g.publish(0, after(time.Minute), after(2*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		waiting := g.bulk(2)
		synctest.Wait()
		if err := g.index.Cancel(ctx, ids[0]); err != nil {
			t.Fatal(err)
		}
		g.index.Close()
		time.Sleep(time.Hour)
		g.open()
		synctest.Wait()
		g.want("what was cancelled before the index was closed is due when it is opened", 1)
		if got := g.pending(); got != int64(waiting) {
			t.Errorf("%d pending, want %d", got, waiting)
		}
	})
}

// TestNothingIsMovedBeforeStoredTombstonesAreKnown has a message become due when its tombstone is stored, and much else came to the inbox in between.
func TestNothingIsMovedBeforeStoredTombstonesAreKnown(t *testing.T) {
	bubble(t, 0, func(g *rig) {
		ids, err := g.publish(0, after(time.Hour), after(time.Hour+time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		waiting := 0
		g.store.mu.Lock()
		g.store.refuse = func(e *storage.Entry) error {
			if waiting == 0 && e.Batches[0].Partition == g.index.Inbox() { // the tombstone
				waiting = g.bulk(2)
				g.turn(2 * time.Hour)
			}
			return nil
		}
		g.store.mu.Unlock()
		if err := g.index.Cancel(ctx, ids[0]); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		g.want("what was cancelled when it became due", 1)
		if got := g.pending(); got != int64(waiting) || waiting == 0 {
			t.Errorf("%d pending, want %d", got, waiting)
		}
	})
}

// TestInboxIsKeptUpToTheStoredFloor cancels a message, which raises the floor in memory alone, when the inbox is about to be trimmed, and crashes: the tombstone is not to
// be found without what it is for, which would have counts be wrong until that was due.
func TestInboxIsKeptUpToTheStoredFloor(t *testing.T) {
	bubble(t, 0, func(g *rig) {
		keep := func(yes bool) {
			g.store.mu.Lock()
			defer g.store.mu.Unlock()
			g.store.keep = yes
		}
		keep(true)
		for n := range uint64(4) { // as many ledgers as have the inbox trimmed
			if _, err := g.publish(n, after(0)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		ids, err := g.publish(4, after(time.Hour), after(2*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if err := g.index.Cancel(ctx, ids[0]); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		keep(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if b, err := g.store.Bounds(g.index.inboxID); err != nil || b.First == 0 {
			t.Fatalf("the inbox begins at %d (%v): it was not trimmed", b.First, err)
		}
		g.index.Close()
		g.store = g.store.rebuilt(t, g.store.length())
		g.open()
		if got := g.pending(); got != 1 {
			t.Errorf("%d pending after the crash, want 1", got)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		g.want("at the end", 0, 1, 2, 3, 5)
	})
}
