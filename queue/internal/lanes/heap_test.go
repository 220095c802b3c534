package lanes

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// counted counts how often it is compared, with all others.
type counted struct {
	rank  int
	at    int
	steps *int
}

func (c *counted) before(other *counted) bool {
	*c.steps++
	return c.rank < other.rank
}

func (c *counted) moved(to int) { c.at = to }

// orders returns the numbers below n as things come back: in order, the other way, and in any.
func orders(t *testing.T, n int) map[string][]int {
	up := make([]int, n)
	for i := range up {
		up[i] = i
	}
	down := slices.Clone(up)
	slices.Reverse(down)
	seed := rand.Uint64()
	t.Log("seed", seed)
	mixed := slices.Clone(up)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(n, func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	return map[string][]int{"ascending": up, "descending": down, "mixed": mixed}
}

// TestHeapTakesLogarithmicSteps: counted, not timed.
func TestHeapTakesLogarithmicSteps(t *testing.T) {
	const n = 1 << 13
	for name, order := range orders(t, n) {
		steps, h := 0, heap[*counted]{}
		for _, rank := range order {
			h.push(&counted{rank: rank, steps: &steps})
		}
		for i, c := range h {
			if c.at != i {
				t.Fatalf("%s: the one at %d was told %d", name, i, c.at)
			}
		}
		for want := range n {
			if got := h.remove(0); got.rank != want {
				t.Fatalf("%s: %d came where %d should", name, got.rank, want)
			}
		}
		if most := 4 * n * bits.Len(n); steps > most {
			t.Errorf("%s: %d steps for %d, want at most %d", name, steps, n, most)
		}
	}
}

// TestThousandsStandAside: of one lane, and come back to it in any order. What comes to neither end of the queue goes where no place for it has to be looked for.
func TestThousandsStandAside(t *testing.T) {
	const n = 5000
	for name, order := range orders(t, n) {
		set, turns := NewSet(func(*int) {}), &Turns[int]{}
		p := set.Partition()
		p.Give(turns)
		due := make([]time.Duration, n)
		for i, seq := range order {
			due[seq] = time.Duration(i + 1)
		}
		for i := range n + 1 { // the last never was out
			it := set.Item()
			it.Value, it.Seq = i, int64(i)
			p.Add(nil, it)
		}
		for _, it := range turns.Take(nil, n, 0) {
			it.Aside(due[it.Seq])
		}
		if set.Waiting() != n || turns.Lanes() != 1 {
			t.Fatalf("%s: %d wait, %d lanes are ready", name, set.Waiting(), turns.Lanes())
		}
		first, fronts := n, 0
		for i, seq := range order {
			set.Wake(time.Duration(i + 1))
			if seq < first {
				first = seq
				fronts++
			}
			if l := p.lanes[set.Key(nil)]; l.first.Seq != int64(first) || len(l.between.heap) != i+1-fronts {
				t.Fatalf("%s: when %d are back the first is %d, and %d are between; want %d and %d", name, i+1, l.first.Seq, len(l.between.heap), first, i+1-fronts)
			}
		}
		for i := range n + 1 {
			it := turns.Take(nil, 1, 0)[0]
			if it.Value != i {
				t.Fatalf("%s: %d came where %d should", name, it.Value, i)
			}
			it.Done()
		}
	}
}
