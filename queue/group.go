package queue

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// Limits of groups, and the defaults of Group.
const (
	MaxConcurrency   = 1 << 16 // workers of one member
	MaxBatchMessages = 1 << 16 // messages of one batch

	defaultInFlightBytes = 64 << 20
	defaultBatchMessages = 100
	defaultBatchBytes    = 1 << 20
	defaultBatchWait     = 10 * time.Millisecond
)

// Group says who consumes what, and how. 'Shared' fields must match those of the group's live members; the others are
// this member's own. A group without members takes the newcomer's settings and keeps its cursors.
type Group struct {
	Name       string   // as a topic's: ASCII letters, digits, '.', '_', '-', at most MaxNameBytes
	Topics     []string // shared; at least one
	Order      Order    // shared
	StartIfNew Start    // where the group begins; looked at only when it is made

	// Resume makes a position kept outside the truth, for effects that are stored together with it. It is called for each
	// partition given to this member and returns the last position whose effect is stored: the group goes on behind it,
	// wherever its own cursor is. The zero Position means from StartIfNew. It runs while no handler of this member does, so
	// they may share state without a lock. An error or a panic ends the Consume with it. It needs ByPartition, since in the
	// other orders one position says nothing about those before it.
	Resume func(ctx context.Context, topic string, partition int) (Position, error)

	Concurrency   int   // workers of this member, and handlers at once; 0: GOMAXPROCS; at most MaxConcurrency
	InFlightBytes int   // of the messages that this member has in hand; one message always passes; 0: 64 MiB
	Batch         Batch // of ConsumeBatch only
}

// Batch bounds what one call of a BatchHandler gets.
type Batch struct {
	Messages int           // 0: 100; at most MaxBatchMessages
	Bytes    int           // of keys, values and headers; one message always passes; 0: 1 MiB
	Wait     time.Duration // how long a batch that is not full waits for more; 0: 10ms
}

// Order says what waits for what within a group.
type Order uint8

// The orders of a group.
const (
	ByKey       Order = iota // one of a key at a time, in order, keys in parallel; messages without a key wait for nothing
	ByPartition              // one of a partition at a time, in order
	Unordered                // nothing waits: members compete for every message
)

// String returns the name of the constant.
func (o Order) String() string {
	switch o {
	case ByKey:
		return "ByKey"
	case ByPartition:
		return "ByPartition"
	case Unordered:
		return "Unordered"
	}
	return fmt.Sprintf("Order(%d)", uint8(o))
}

// feature is what an engine must be able to for this order.
func (o Order) feature() Feature {
	switch o {
	case ByPartition:
		return CanOrderByPartition
	case Unordered:
		return CanShare
	}
	return CanOrderByKey
}

// withDefaults fills in what a member of either kind needs; batch says whether it takes batches. The result shares no
// memory with the caller's.
func (g Group) withDefaults(batch bool) Group {
	g.Topics = slices.Clone(g.Topics)
	if g.Concurrency == 0 {
		g.Concurrency = min(runtime.GOMAXPROCS(0), MaxConcurrency)
	}
	if g.InFlightBytes == 0 {
		g.InFlightBytes = defaultInFlightBytes
	}
	if !batch {
		return g
	}
	if g.Batch.Messages == 0 {
		g.Batch.Messages = defaultBatchMessages
	}
	if g.Batch.Bytes == 0 {
		g.Batch.Bytes = defaultBatchBytes
	}
	if g.Batch.Wait == 0 {
		g.Batch.Wait = defaultBatchWait
	}
	return g
}

// validate judges g as the caller wrote it. batch says whether it is for ConsumeBatch, handled whether there is a handler.
func (g Group) validate(batch, handled bool) error {
	f := faults{subject: "group " + strconv.Quote(g.Name)}
	f.check(handled, "handler", nil, "must not be nil")
	f.name("Name", g.Name)
	f.check(len(g.Topics) > 0, "Topics", nil, "at least one")
	seen := make(map[string]bool, len(g.Topics))
	for _, t := range g.Topics {
		f.name("Topics", t)
		f.check(!seen[t], "Topics", t, "named once")
		seen[t] = true
	}
	f.check(g.Order <= Unordered, "Order", g.Order, "one of ByKey, ByPartition, Unordered")
	g.StartIfNew.validate(&f, "StartIfNew", seen)
	f.check(g.Resume == nil || g.Order == ByPartition, "Resume", g.Order, "needs Order ByPartition")
	f.check(g.Concurrency >= 0, "Concurrency", g.Concurrency, "not negative")
	f.check(g.Concurrency <= MaxConcurrency, "Concurrency", g.Concurrency, fmt.Sprintf("at most %d", MaxConcurrency))
	f.check(g.InFlightBytes >= 0, "InFlightBytes", g.InFlightBytes, "not negative")
	if !batch {
		f.check(g.Batch == Batch{}, "Batch", g.Batch, "only with ConsumeBatch")
		return f.err()
	}
	f.check(g.Batch.Messages >= 0, "Batch.Messages", g.Batch.Messages, "not negative")
	f.check(g.Batch.Messages <= MaxBatchMessages, "Batch.Messages", g.Batch.Messages, fmt.Sprintf("at most %d", MaxBatchMessages))
	f.check(g.Batch.Bytes >= 0, "Batch.Bytes", g.Batch.Bytes, "not negative")
	f.check(g.Batch.Wait >= 0, "Batch.Wait", g.Batch.Wait, "not negative")
	return f.err()
}
