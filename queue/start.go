package queue

import (
	"fmt"
	"slices"
	"time"
)

// Start says where reading begins. Its zero value is Earliest.
type Start struct {
	kind      StartKind
	time      time.Time
	positions []Position
}

// StartKind says which of the starts a Start is. It is for engines.
type StartKind uint8

// The kinds of a Start, each made by the function of the same name.
const (
	StartEarliest StartKind = iota
	StartLatest
	StartSince
	StartFrom
	StartAfter
)

// Earliest begins with the first message that is still there.
func Earliest() Start { return Start{} }

// Latest begins with what is stored from now on.
func Latest() Start { return Start{kind: StartLatest} }

// Since begins, in each partition, with the first message that was stored at t or later, by the store's clock.
func Since(t time.Time) Start { return Start{kind: StartSince, time: t} }

// From begins at each of ps, at most one a partition; partitions that are not named begin with the earliest.
func From(ps ...Position) Start { return Start{kind: StartFrom, positions: slices.Clone(ps)} }

// After begins behind each of ps, at most one a partition; partitions that are not named begin with the earliest.
func After(ps ...Position) Start { return Start{kind: StartAfter, positions: slices.Clone(ps)} }

// Resolve returns what s was made of: the time of a StartSince, the positions of a StartFrom or StartAfter, which must
// not be changed. It is for engines.
func (s Start) Resolve() (kind StartKind, t time.Time, ps []Position) {
	return s.kind, s.time, s.positions
}

// validate judges the positions of s against the topics that are to be read; nil: any.
func (s Start) validate(f *faults, field string, topics map[string]bool) {
	type place struct {
		topic     string
		partition int
	}
	seen := make(map[place]bool, len(s.positions))
	for _, p := range s.positions {
		at := place{p.Topic(), p.Partition()}
		offset, ok := p.Offset()
		f.check(ok && at.partition >= 0 && offset >= 0, field, fmt.Sprintf("%q", p), "a position that can be")
		f.check(!ok || topics == nil || topics[at.topic], field, p, "of a topic that is read")
		f.check(!seen[at], field, p, "one position a partition")
		seen[at] = true
	}
}
