package core

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestTail: whatever is pushed and popped, the tail has what a slice would have, and gives back what it had.
func TestTail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var got tail
		var want []int64
		next := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 3*chunkFrames).Draw(t, "frames") {
					got.push(tailFrame{base: next, span: 1})
					want = append(want, next)
					next++
				}
			},
			"push a few": func(t *rapid.T) {
				for range rapid.IntRange(1, fewFrames).Draw(t, "frames") {
					got.push(tailFrame{base: next, span: 1})
					want = append(want, next)
					next++
				}
			},
			"pop a few": func(t *rapid.T) {
				n := rapid.IntRange(0, min(fewFrames, len(want))).Draw(t, "frames")
				got.pop(n)
				want = want[n:]
			},
			"pop": func(t *rapid.T) {
				n := rapid.IntRange(0, len(want)).Draw(t, "frames")
				got.pop(n)
				want = want[n:]
			},
			"": func(t *rapid.T) {
				if got.len() != len(want) {
					t.Fatalf("%d frames, want %d", got.len(), len(want))
				}
				for i, base := range want {
					if f := got.at(i); f.base != base || got.find(base) != i {
						t.Fatalf("frame %d begins at %d and is found at %d, want %d", i, f.base, got.find(base), base)
					}
				}
				for i, f := range got.copied(len(want)/3, len(want)) {
					if f.base != want[len(want)/3+i] {
						t.Fatalf("copied frame %d begins at %d", i, f.base)
					}
				}
				if most := len(want)/chunkFrames + 2; len(got.chunks) > most {
					t.Fatalf("%d chunks for %d frames", len(got.chunks), len(want))
				}
			},
		})
	})
}

// TestTailStays: a frame stays where it is, however many come behind it and whatever goes in front of it.
func TestTailStays(t *testing.T) {
	var q tail
	for i := range 2*chunkFrames + 1 {
		q.push(tailFrame{base: int64(i)})
	}
	f := q.at(chunkFrames + 7)
	for i := range 100 * chunkFrames {
		q.push(tailFrame{base: int64(2*chunkFrames + 1 + i)})
	}
	q.pop(chunkFrames + 7)
	if q.at(0) != f {
		t.Errorf("the frame moved")
	}
}

// TestTailStaysSmall: a tail that never has more than a few frames takes little memory, however many pass through it.
func TestTailStaysSmall(t *testing.T) {
	var q tail
	q.push(tailFrame{})
	for range 10 * chunkFrames {
		q.push(tailFrame{})
		q.pop(1)
	}
	if room := cap(q.chunks[0]); len(q.chunks) > 1 || room > fewFrames {
		t.Errorf("%d chunks, the first with room for %d, for one frame", len(q.chunks), room)
	}
}

// TestTailForgets: what was popped keeps no block from the collector, in a chunk that stays neither.
func TestTailForgets(t *testing.T) {
	for _, frames := range []int{1, keptFrames, chunkFrames - 1, 2*chunkFrames + 7} {
		var q tail
		for range frames {
			q.push(tailFrame{block: &Block{}})
		}
		chunks := slices.Clone(q.chunks)
		q.pop(frames - 1)
		q.pop(1)
		for _, c := range chunks {
			for i := range c {
				if c[i].block != nil {
					t.Fatalf("of %d frames %d still has its block", frames, i)
				}
			}
		}
	}
}
