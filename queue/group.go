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
	defaultLease         = 30 * time.Second
)

// Group says who consumes what, and how. 'Shared' fields must match those of the group's live members; the others are
// this member's own. A group without members takes the newcomer's settings and keeps its cursors.
type Group struct {
	Name       string    // as a topic's: ASCII letters, digits, '.', '_', '-', at most MaxNameBytes
	Topics     []string  // shared; at least one
	Order      Order     // shared
	StartIfNew Start     // where the group begins; looked at only when it is made
	Guarantee  Guarantee // shared; AtMostOnce is not for Resume
	Failure    Failure   // what becomes of messages whose attempts fail

	// Resume makes a position kept outside the truth, for effects that are stored together with it. It is called for each
	// partition given to this member and returns the last position whose effect is stored: the group goes on behind it,
	// wherever its own cursor is. The zero Position means from StartIfNew. It runs while no handler of this member does, so
	// they may share state without a lock. An error or a panic ends the Consume with it. It needs ByPartition, since in the
	// other orders one position says nothing about those before it.
	Resume func(ctx context.Context, topic string, partition int) (Position, error)

	Concurrency   int   // workers of this member, and handlers at once; 0: GOMAXPROCS; at most MaxConcurrency
	InFlightBytes int   // of the messages that this member has in hand; one message always passes; 0: 64 MiB
	Batch         Batch // of ConsumeBatch only

	// HandlerTimeout is how long a call of the handler may take, not with Deliveries; 0: as long as it likes. Then its context ends, with
	// the cause ErrHandlerTimeout, and what it returns within a second more is its outcome. From then on it is given up: the attempt
	// has failed, the message goes to another worker, which is at work on it, or its key, while the handler may still be, and
	// Events.Slow tells with its stack. What it returns at last changes nothing. Another worker takes its place, for at most
	// MaxStuckHandlers at a time.
	HandlerTimeout time.Duration

	// Borrowed is for handlers that keep nothing: the key, the value and the headers of a message are good until the handler returns, or the BatchHandler that it was given to, and must not be changed. In memory they are
	// what the topic holds, and what is read from disk is in memory that is used over and over; without Borrowed they are the handler's own, which costs as much as all else that a message of 1 KiB needs. What is published
	// is copied; an error must keep nothing of them. Not with Deliveries. Engines may do without it, as the embedded one does where topics are compressed.
	Borrowed bool

	Lease time.Duration // of Deliveries only: how long a delivery may be held without extending it; 0: 30s

	// Exclusive gives everything to one member. The others stand by, and the one that has waited longest takes over when it leaves. Shared.
	Exclusive bool
	// ExpireAfter has the group deleted when it was without members for so long, counted while the broker was open; 0: never. Shared.
	ExpireAfter time.Duration
	// Uncounted has the group's backlog not count for TopicConfig.Limit: however slow it is, it holds up no publisher, and nothing is dropped for it. Shared.
	Uncounted bool
}

// shape is a way to consume.
type shape uint8

const (
	byMessage shape = iota // Consume
	byBatch                // ConsumeBatch
	byLease                // Deliveries
)

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

// withDefaults fills in what a member of that shape needs. The result shares no memory with the caller's.
func (g Group) withDefaults(s shape) Group {
	g.Topics = slices.Clone(g.Topics)
	if g.Concurrency == 0 {
		g.Concurrency = min(runtime.GOMAXPROCS(0), MaxConcurrency)
	}
	if g.InFlightBytes == 0 {
		g.InFlightBytes = defaultInFlightBytes
	}
	if s == byLease && g.Lease == 0 {
		g.Lease = defaultLease
	}
	if s != byBatch {
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

// validate judges g as the caller wrote it. handled says whether there is a handler, where that shape has one.
func (g Group) validate(s shape, handled bool) error {
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
	f.check(g.ExpireAfter >= 0, "ExpireAfter", g.ExpireAfter, "not negative")
	f.check(g.Resume == nil || g.Order == ByPartition, "Resume", g.Order, "needs Order ByPartition")
	f.check(g.Resume == nil || s != byLease, "Resume", nil, "not with Deliveries, where who lost a lease may still work")
	f.check(g.Guarantee <= ExactlyOnce, "Guarantee", g.Guarantee, "one of AtLeastOnce, AtMostOnce, ExactlyOnce")
	f.check(g.Resume == nil || g.Guarantee != AtMostOnce, "Resume", g.Guarantee, "not with AtMostOnce, which would repeat nothing")
	g.Failure.check(&f, &g)
	f.check(g.Concurrency >= 0, "Concurrency", g.Concurrency, "not negative")
	f.check(g.Concurrency <= MaxConcurrency, "Concurrency", g.Concurrency, fmt.Sprintf("at most %d", MaxConcurrency))
	f.check(g.InFlightBytes >= 0, "InFlightBytes", g.InFlightBytes, "not negative")
	f.check(g.HandlerTimeout >= 0, "HandlerTimeout", g.HandlerTimeout, "not negative")
	f.check(g.HandlerTimeout == 0 || s != byLease, "HandlerTimeout", g.HandlerTimeout, "not with Deliveries, which have a Lease")
	f.check(g.HandlerTimeout == 0 || g.Resume == nil, "HandlerTimeout", g.HandlerTimeout, "not with Resume, where no two handlers may be at work")
	f.check(!g.Borrowed || s != byLease, "Borrowed", g.Borrowed, "not with Deliveries, which may be held by any goroutine")
	f.check(g.Lease >= 0, "Lease", g.Lease, "not negative")
	f.check(g.Lease == 0 || s == byLease, "Lease", g.Lease, "only with Deliveries")
	if s != byBatch {
		f.check(g.Batch == Batch{}, "Batch", g.Batch, "only with ConsumeBatch")
		return f.err()
	}
	f.check(g.Batch.Messages >= 0, "Batch.Messages", g.Batch.Messages, "not negative")
	f.check(g.Batch.Messages <= MaxBatchMessages, "Batch.Messages", g.Batch.Messages, fmt.Sprintf("at most %d", MaxBatchMessages))
	f.check(g.Batch.Bytes >= 0, "Batch.Bytes", g.Batch.Bytes, "not negative")
	f.check(g.Batch.Wait >= 0, "Batch.Wait", g.Batch.Wait, "not negative")
	return f.err()
}
