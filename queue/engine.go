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
// An engine implements the optional interfaces [EngineReader], [EngineWaiter], [EngineStats], [EngineTopics], [EngineGrower], [EngineGroups],
// [EngineCommitter] and [EngineLetters] where it can.
type Engine interface {
	// Capabilities tells what the engine can do. It does not change while the engine is open.
	Capabilities() Capabilities
	// EnsureTopic creates the topic name, or returns nil if it exists with the same configuration, or a
	// *ConfigError that names each difference. c has its defaults filled in. The topic is durable on return.
	EnsureTopic(ctx context.Context, name string, c TopicConfig) error
	// Publish stores ms, all or none, fills rs (of the same length), and returns when the strictest topic's
	// durability is reached. Errors are those of Broker.Publish. An engine that cannot CanDedup returns ErrUnsupported for a message with an ID, unless its topic's
	// Dedup is Off.
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
	// Receive or Join, or where an operator gives up what is damaged.
	Missed  func(from, to Position, records int64)
	Damaged func(topic string, partition int, err error)
	// Expired, never nil if Group.Lease is set, is told that a hand-over was not settled before its Deadline: its handle is void, and the
	// message comes again. It runs in any goroutine.
	Expired func(handle any, p Position, attempt int)
	// Fenced, never nil if Group.Lease is set, is told that a hand-over was taken back, uncounted, since the group was moved: its handle is
	// void. It runs in any goroutine.
	Fenced func(handle any)
}

// Member is one running Consume of a group: it receives what may run now and settles it.
type Member interface {
	// Receive waits until at least one message may run now, and fills dst with up to len(dst) of them within
	// limits. Several of one lane may come in one call, in order; the lane gives out no more until all of them are
	// settled. It returns ctx's error when ctx ends, ErrClosed after Leave or Close, and the cause when the engine
	// or the group stopped. Several goroutines may wait in Receive at once.
	Receive(ctx context.Context, dst []Handover, limits ReceiveLimits) (int, error)
	// Settle takes the outcome of hand-overs and sets each Err: nil, or ErrLeaseLost where the handle is
	// not current any more, or ErrStopped or ErrClosed where nothing is taken any more: an attempt that failed is not counted then, and the message comes again after the next open. It never waits for the disk unless a settlement asks for it. Those of one call that publish are one
	// commit: if it cannot be stored, each of them has the error, Broker.Publish's, its handle stays current, and it is to be settled in another way. ctx bounds
	// the wait alone: if it ends first the error is ErrIndeterminate, and the outcome counts once it is stored.
	Settle(ctx context.Context, ss []Settlement)
	// Leave gives back what is in flight, uncounted, makes cursors durable, and hands the partitions to the other members.
	Leave(ctx context.Context) error
}

// ReceiveLimits bounds one Receive.
type ReceiveLimits struct {
	Bytes  int           // of keys, values and headers together; one message always passes; 0: no bound
	Linger time.Duration // how long to wait for more once there is one and dst is not full; 0: not at all
}

// Handover is a message given to a member to be worked on. Its bytes belong to the receiver; with Group.Borrowed they may be the engine's, are not to be changed, and stay as they are until a Settlement with Returned set
// has taken effect: for ever, if none does.
type Handover struct {
	Record
	Attempt     int       // 1 for the first
	FirstFailed time.Time // when the first attempt failed; zero at the first attempt, and where the engine does not keep it
	LastError   string    // the Settlement.Cause of the attempt before, perhaps cut; the same
	Crashes     int       // how often the process died while it was worked on, apart from Attempt
	Expired     bool      // it is past its Expires, and Group.Failure.BuryExpired is set: else it would be done already
	Deadline    time.Time // if Group.Lease is set: from then on the handle is void, and the attempt has failed
	Handle      any       // the engine's token, never the same for two hand-overs
}

// Outcome is what became of a hand-over.
type Outcome uint8

// The outcomes of a Settlement.
const (
	SettleDone    Outcome = iota + 1 // finished: never given to this group again
	SettleRetry                      // failed: again after Settlement.After, with the next attempt number, its lane waiting
	SettleRelease                    // given back, by our own stop or since it could not be settled: again after Settlement.After, the attempt not counted
	SettleClaim                      // finished before it is worked on, for AtMostOnce: durable when Settle returns; the handle stays current, and keeps its lane, until it is settled once more
	SettleExtend                     // not an outcome: the Deadline is Settlement.After from now, if there is one
)

// Settlement is the outcome of one hand-over.
type Settlement struct {
	Handle  any
	Outcome Outcome
	After   time.Duration // of SettleRetry, SettleRelease and SettleExtend
	Cause   string        // of SettleRetry: what Handover.LastError will be
	Publish []Message     // of SettleDone, CanCommit: stored together with the outcome, but for duplicates, or neither is; Settle returns when both are durable
	Marks   bool          // of SettleDone: what was marked by MemberMarker is stored with it too; else it is given up
	Wait    bool          // of SettleDone: Settle returns when it is durable
	// Returned, with Group.Borrowed, says that the bytes of the hand-over are used no more, once the outcome has taken effect and what is published with it is stored: the engine may use their memory again.
	Returned bool
	Err      error // set by Settle
}

// Capabilities is what an engine can do.
type Capabilities struct {
	Name string
	// MaxBytes is the largest message, of key, value and headers together, that any topic may allow. The library's own headers, whose keys begin with
	// "leat-", do not count, here and for TopicConfig.MaxBytes; they amount to MaxLibraryHeaderBytes at most.
	MaxBytes int
	Features map[Feature]Grade
}

// Feature is something that not every engine can do.
type Feature string

// The features that a Broker may ask for.
const (
	CanOrderByKey       Feature = "order by key"
	CanOrderByPartition Feature = "order by partition"
	CanShare            Feature = "share partitions"  // Unordered
	CanBatch            Feature = "atomic batch"      // PublishBatch over topics and partitions
	CanCommit           Feature = "atomic commit"     // Settlement.Publish: messages together with an outcome
	CanClaim            Feature = "claim before work" // SettleClaim
	CanRead             Feature = "read without a group"
	CanResume           Feature = "resume behind a position"
	CanPark             Feature = "park keys" // ParkKey
	CanCountAttempts    Feature = "count attempts across restarts"
	CanStoreInMemory    Feature = "topics in memory"       // Durability Memory
	CanRetain           Feature = "bounded retention"      // Retention.Age, Bytes and Records
	CanRemoveDone       Feature = "remove what is done"    // Retention.WhenDone
	CanKeepLatest       Feature = "keep the latest by key" // Retention.LatestByKey
	CanLease            Feature = "lease"                  // Deliveries
	CanPause            Feature = "pause a group"          // Admin.Pause
	CanSeek             Feature = "move a group"           // Admin.Seek
	CanExclude          Feature = "one active member"      // Group.Exclusive
	CanExpire           Feature = "expire groups"          // Group.ExpireAfter
	CanDelay            Feature = "delay messages"         // Message.NotBefore, Cancel, Reschedule
	CanExpireMessages   Feature = "expire messages"        // Message.Expires; with CanRetain what has expired is removed
	CanDedup            Feature = "dedup by message ID"    // TopicConfig.Dedup
	CanMark             Feature = "marks"                  // Tx.Mark, Delivery.Mark
	CanLimit            Feature = "bound a backlog"        // TopicConfig.Limit, Group.Uncounted
	CanAddPartitions    Feature = "add partitions"         // Admin.AddPartitions
)

// Grade says how well an engine does what a Feature names.
type Grade struct {
	Emulated bool   // done above the engine's own means, at a price that Limit names
	Limit    string // what it cannot do all the same; "" for nothing
}

// EngineCommitter is implemented by engines that list CanCommit.
type EngineCommitter interface {
	// Admit returns the error with which a Settlement that publishes ms could never be stored, whose hand-over came from the topic source:
	// ErrNotFound, ErrTooLarge, ErrMixedDurability, ErrConflict. It stores nothing.
	Admit(source string, ms []Message) error
}

// EngineMarker is implemented by engines that list CanMark.
type EngineMarker interface {
	// NewMarks begins a unit of work that may mark.
	NewMarks() Marks
}

// Marks is what one unit of work marks. Its methods are called by one goroutine at a time.
type Marks interface {
	// Mark is Tx.Mark's. Until Commit or Release nobody else can mark the key.
	Mark(ctx context.Context, scope, key string) (first bool, err error)
	// Commit stores ms, of which it fills rs, and the marks in one step. Errors are those of Engine.Publish.
	Commit(ctx context.Context, ms []Message, rs []Receipt) error
	// Release gives up what was marked and not committed. It is called last, always.
	Release()
}

// EngineLetters is implemented by engines that remember which dead letters were dealt with: each alone, in any order, durably.
type EngineLetters interface {
	// KeepLetters has the topic keep letters until they are settled, where its retention removes what is done.
	KeepLetters(ctx context.Context, topic string) error
	// Letters reads what of the topic is not settled, library headers included, in order within each partition, up to what is there now.
	Letters(ctx context.Context, topic string) iter.Seq2[*Record, error]
	// SettleLetters settles those of ls that are not yet, all of them and what they publish in one step, or none: then each of them has the
	// error, Broker.Publish's.
	SettleLetters(ctx context.Context, ls []LetterSettlement)
}

// LetterSettlement is what becomes of a dead letter.
type LetterSettlement struct {
	At      Position
	Publish []Message
	Before  bool  // set by SettleLetters: it was settled before, or is gone. Nothing was done
	Err     error // the same
}

// MemberMarker is implemented by the members of engines that list CanMark and CanCommit.
type MemberMarker interface {
	// Mark is Delivery.Mark's. The mark commits with the Settlement whose Marks is set, and is given up when the hand-over ends in another way, ErrLeaseLost
	// included.
	Mark(ctx context.Context, handle any, scope, key string) (first bool, err error)
}

// MemberReader is implemented by the members of engines that may keep what waits for its next attempt elsewhere than in its topic.
type MemberReader interface {
	// Stored returns the message of a hand-over whose handle is current, as it is stored; false if it cannot be read any more.
	Stored(h *Handover) (m Message, there bool)
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

// EngineScheduler is implemented by engines that list CanDelay.
type EngineScheduler interface {
	// Cancel is Broker.Cancel.
	Cancel(ctx context.Context, t TimerID) error
	// Reschedule is Broker.Reschedule.
	Reschedule(ctx context.Context, t TimerID, at time.Time) (TimerID, error)
}

// EngineStats is implemented by engines that count; the Broker adds what it counts itself.
type EngineStats interface {
	Stats() Stats
}

// EngineTopics is implemented by engines whose topics can be listed and removed.
type EngineTopics interface {
	// Topics lists the topics, sorted by name; the library's own are not among them.
	Topics(ctx context.Context) ([]TopicInfo, error)
	// Topic returns one topic, or ErrNotFound.
	Topic(ctx context.Context, name string) (TopicInfo, error)
	// TopicConfig returns the configuration of one topic, defaults filled in, or ErrNotFound. It reads no messages.
	TopicConfig(ctx context.Context, name string) (TopicConfig, error)
	// DeleteTopic is Admin.DeleteTopic.
	DeleteTopic(ctx context.Context, name string) error
	// Purge is Admin.Purge.
	Purge(ctx context.Context, topic string) (int64, error)
}

// EngineGrower is implemented by engines that list CanAddPartitions.
type EngineGrower interface {
	// AddPartitions is Admin.AddPartitions. total is from 1 to MaxPartitions.
	AddPartitions(ctx context.Context, topic string, total int) error
}

// EngineGroups is implemented by engines whose groups can be listed and removed.
type EngineGroups interface {
	// Groups lists the groups, sorted by name.
	Groups(ctx context.Context) ([]GroupInfo, error)
	// Group returns one group, or ErrNotFound.
	Group(ctx context.Context, name string) (GroupInfo, error)
	// CreateGroup is Admin.CreateGroup. g was judged, and has nothing set but what members share and where it begins.
	CreateGroup(ctx context.Context, g Group) error
	// PauseGroup is Admin.Pause, or Admin.Resume; it is called if the engine claims CanPause.
	PauseGroup(ctx context.Context, name string, paused bool) error
	// SeekGroup is Admin.Seek; it is called if the engine claims CanSeek.
	SeekGroup(ctx context.Context, name string, to Start) error
	// DeleteGroup is Admin.DeleteGroup.
	DeleteGroup(ctx context.Context, name string) error
}
