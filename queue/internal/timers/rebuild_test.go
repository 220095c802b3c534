package timers

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
)

// TestLostLedgers ends the process behind every change of a life in which runs are written and merged, and has the newest ledger lost, or all: what had not been delivered is, once, and what had been
// at most once more. So it fails if runs that no ledger names are not looked at, and if what is in two of them, since it was being written anew, is delivered for each.
func TestLostLedgers(t *testing.T) {
	const messages = 60
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var life *logged
	var dues []int64
	synctest.Test(t, func(t *testing.T) {
		life = newLogged(t)
		defer life.Close(ctx)
		life.slow(30 * time.Millisecond)
		g := newRig(t, life, 4)
		g.open()
		for n := range uint64(messages) {
			dues = append(dues, after(time.Duration(rng.IntN(4000))*time.Millisecond))
			if _, err := g.publish(n, dues[n]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rng.IntN(30)) * time.Millisecond)
		}
		g.close()
	})
	points, again := 0, 0
	for k := range life.length() + 1 {
		for _, all := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) { again += lostLedgers(t, life, k, all) })
			points++
		}
		if t.Failed() {
			t.Fatalf("seed %d, behind change %d", seed, k)
		}
	}
	t.Logf("%d crash points of %d messages, %d of which came again", points, messages, again)
}

// lostLedgers judges what comes after k changes. It returns how many came again.
func lostLedgers(t *testing.T, life *logged, k int, all bool) (again int) {
	s := life.rebuilt(t, k)
	defer s.Close(ctx)
	published := map[uint64]bool{}
	topic, ok := s.Topic("leat.delayed.test")
	if ok {
		ledgers := topic.Partition(LedgerPartition)
		b, err := s.Bounds(ledgers)
		if err != nil {
			t.Fatal(err)
		}
		s.hidden = func(p storage.PartitionID, offset int64) bool {
			return p == ledgers && offset < b.Next && (all || offset == b.Next-1)
		}
	}
	for _, c := range life.changes[:k] {
		for i := range entryOf(c).Batches {
			if b := &c.entry.Batches[i]; ok && b.Partition == topic.Partition(inboxNumber) {
				for _, r := range b.Records {
					if len(r.Value) > 0 {
						published[number(r.Value)] = true
					}
				}
			}
		}
	}
	g := newRig(t, s, 4)
	before := g.delivered()
	g.open()
	defer g.close()
	for i := 0; i < 100; i++ {
		time.Sleep(time.Second)
		synctest.Wait()
	}
	times := map[uint64]int{}
	for _, n := range g.delivered() {
		times[n]++
	}
	for n := range published {
		most := 1
		if slices.Contains(before, n) {
			most = 2
		}
		if times[n] < 1 || times[n] > most {
			t.Errorf("behind change %d, all lost: %v: message %d came %d times, at most %d are right", k, all, n, times[n], most)
		}
		again += times[n] - 1
	}
	if got := g.index.Stats(); g.pending() != 0 || got.Err != nil {
		t.Errorf("behind change %d, all lost: %v: at the end %+v", k, all, got)
	}
	return again
}

func entryOf(c change) *storage.Entry {
	if c.entry == nil {
		return &storage.Entry{}
	}
	return c.entry
}
