package embedded

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// TestDealtFollowsTheModel settles letters of a partition in any order, with others removed meanwhile, and holds what is remembered against a set.
func TestDealtFollowsTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b, err := InMemory(Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer b.Close()
		if err := b.EnsureTopic(t.Context(), "t", queue.TopicConfig{}); err != nil {
			rt.Fatal(err)
		}
		e := b.Engine().(*engine)
		n := int64(rapid.IntRange(1, 40).Draw(rt, "letters"))
		for range n {
			if _, err := b.Publish(t.Context(), queue.Message{Topic: "t"}); err != nil {
				rt.Fatal(err)
			}
		}
		top, err := e.topic("t")
		if err != nil {
			rt.Fatal(err)
		}
		id, first, settled := top.First, int64(0), map[int64]bool{}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			if rapid.IntRange(0, 9).Draw(rt, "trim") == 0 {
				first = max(first, int64(rapid.IntRange(0, int(n)).Draw(rt, "first")))
				if err := e.store.Trim(t.Context(), id, first); err != nil {
					rt.Fatal(err)
				}
			}
			var ls []queue.LetterSettlement
			var offsets []int64
			for range rapid.IntRange(1, 4).Draw(rt, "together") {
				offsets = append(offsets, int64(rapid.IntRange(0, int(n)-1).Draw(rt, "offset")))
				ls = append(ls, queue.LetterSettlement{At: top.position(0, offsets[len(offsets)-1])})
			}
			e.SettleLetters(t.Context(), ls)
			for i, l := range ls {
				if want := settled[offsets[i]] || offsets[i] < first; l.Before != want || l.Err != nil {
					rt.Fatalf("letter %d: settled before %v, %v; want %v", offsets[i], l.Before, l.Err, want)
				}
				settled[offsets[i]] = true
			}
			checkDealt(rt, e, id, n, first, settled)
		}
	})
}

// checkDealt holds what is known, and what is stored, against the model.
func checkDealt(t *rapid.T, e *engine, id storage.PartitionID, n, first int64, settled map[int64]bool) {
	known, err := e.dealtWith(id)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := e.store.Cursor(storage.GroupID(e.letters.id.Load()-1), id)
	passed := int64(0)
	for o := range n {
		want := settled[o] || o < first
		if want {
			passed++
		}
		stored := dealt{c.Floor, c.Passed, c.Done}
		if known.has(o) != want || o >= first && stored.has(o) != want {
			t.Fatalf("letter %d: known %v, stored %v, want %v: %+v", o, known.has(o), stored.has(o), want, known)
		}
	}
	if known.passed != passed {
		t.Fatalf("%d are passed, want %d", known.passed, passed)
	}
	for i, r := range known.done {
		if r.From >= r.To || r.From <= known.floor || i > 0 && r.From <= known.done[i-1].To {
			t.Fatalf("ranges %+v above %d do not stand apart", known.done, known.floor)
		}
	}
}
