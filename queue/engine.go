package queue

import (
	"context"
	"iter"
	"time"
)

// Engine stores messages and decides which of them may run now. It owns order, attempts, timers and cursors;
// the Broker above it owns workers, batches, contexts, panics, the failure policy and the validation of what
// applications pass in, and never asks for what Capabilities does not list.
//
// All calls may be concurrent. Slices belong to the caller, so that a publish can do without allocating.
// An engine implements the optional interfaces [EngineReader], [EngineWaiter] and [EngineStats] where it can.
type Engine interface {
	// Capabilities tells what the engine can do. It does not change while the engine is open.
	Capabilities() Capabilities
	// EnsureTopic creates the topic name, or returns nil if it exists with the same configuration, or a
	// *ConfigError that names each difference. c has its defaults filled in. The topic is durable on return.
	EnsureTopic(ctx context.Context, name string, c TopicConfig) error
	// Publish stores ms, all or none, fills rs (of the same length), and returns when the strictest topic's
	// durability is reached. Errors are those of Broker.Publish.
	Publish(ctx context.Context, ms []Message, rs []Receipt) error
	// Join makes a member of m.Group, and the group if there is none. A group whose live members have other
	// shared settings is a *ConfigError.
	Join(ctx context.Context, m Membership) (Member, error)
	// Done is closed when the engine stopped taking writes by itself, after a failed write for instance; Err is
	// then the cause. Neither has to do with Close.
	Done() <-chan struct{}
	Err() error
	// Close flushes cursors and gives up everything the engine holds, within ctx. It is called once, when no member is left
	// but those of handlers that never returned.
	Close(ctx context.Context) error
}

// Membership is what Join needs to know: the group, its defaults filled in, and who is told about partitions.
type Membership struct {
	Group Group
	// Assigned and Revoked, never nil, are told which partitions the member got and lost. Assigned runs inside
	// Receive, in the goroutine of its caller, while nothing of this member is in flight if Group.Resume is set;
	// the engine calls Group.Resume itself, then, for each partition, and moves the cursor behind the position it returned.
	Assigned, Revoked func(topic string, partition int)
	// Missed and Damaged, never nil, are told that messages are gone, and that a partition cannot be read on. They too run inside
	// Receive.
	Missed  func(from, to Position, records int64)
	Damaged func(topic string, partition int, err error)
}

// Member is one running Consume of a group: it receives what may run now and settles it.
type Member interface {
	// Receive waits until at least one message may run now, and fills dst with up to len(dst) of them within
	// limits. Several of one lane may come in one call, in order; the lane gives out no more until all of them are
	// settled. It returns ctx's error when ctx ends, ErrClosed after Leave or Close, and the cause when the engine
	// or the group stopped. Several goroutines may wait in Receive at once.
	Receive(ctx context.Context, dst []Handover, limits ReceiveLimits) (int, error)
	// Settle takes the outcome of hand-overs and sets each Err: nil, or ErrLeaseLost where the handle is
	// not current any more. It never waits for the disk unless a settlement asks for it.
	Settle(ctx context.Context, ss []Settlement)
	// Leave gives back what is in flight, uncounted, makes cursors durable, and hands the partitions to the other members.
	Leave(ctx context.Context) error
}

// ReceiveLimits bounds one Receive.
type ReceiveLimits struct {
	Bytes  int           // of keys, values and headers together; one message always passes; 0: no bound
	Linger time.Duration // how long to wait for more once there is one and dst is not full; 0: not at all
}

// Handover is a message given to a member to be worked on. Its bytes belong to the receiver.
type Handover struct {
	Record
	Attempt int // 1 for the first
	Handle  any // the engine's token, never the same for two hand-overs
}

// Outcome is what became of a hand-over.
type Outcome uint8

// The outcomes of a Settlement.
const (
	SettleDone    Outcome = iota + 1 // finished: never given to this group again
	SettleRetry                      // failed: again after Settlement.After, with the next attempt number, its lane waiting
	SettleRelease                    // given back by our own stop: again, without counting the attempt
)

// Settlement is the outcome of one hand-over.
type Settlement struct {
	Handle  any
	Outcome Outcome
	After   time.Duration // of SettleRetry
	Err     error         // set by Settle
}

// Capabilities is what an engine can do.
type Capabilities struct {
	Name     string
	MaxBytes int // the largest message, of key, value and headers together, that any topic may allow
	Features map[Feature]Grade
}

// Feature is something that not every engine can do.
type Feature string

// The features that a Broker may ask for.
const (
	CanOrderByKey       Feature = "order by key"
	CanOrderByPartition Feature = "order by partition"
	CanShare            Feature = "share partitions" // Unordered
	CanBatch            Feature = "atomic batch"     // PublishBatch over topics and partitions
	CanRead             Feature = "read without a group"
	CanResume           Feature = "resume behind a position"
	CanCountAttempts    Feature = "count attempts across restarts"
	CanStoreInMemory    Feature = "topics in memory"       // Durability Memory
	CanRetain           Feature = "bounded retention"      // Retention.Age, Bytes and Records
	CanRemoveDone       Feature = "remove what is done"    // Retention.WhenDone
	CanKeepLatest       Feature = "keep the latest by key" // Retention.LatestByKey
)

// Grade says how well an engine does what a Feature names.
type Grade struct {
	Emulated bool   // done above the engine's own means, at a price that Limit names
	Limit    string // what it cannot do all the same; "" for nothing
}

// EngineReader is implemented by engines that can be read without a group.
type EngineReader interface {
	Read(ctx context.Context, r Range) iter.Seq2[*Record, error]
}

// EngineWaiter is implemented by engines that know when a group has nothing left to do.
type EngineWaiter interface {
	// WaitIdle waits until at one moment none of groups has anything ready, running or waiting for a retry.
	// The error names the group that was not idle, and why.
	WaitIdle(ctx context.Context, groups ...string) error
}

// EngineStats is implemented by engines that count; the Broker adds what it counts itself.
type EngineStats interface {
	Stats() Stats
}
