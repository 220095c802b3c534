// Package queue is a message queue that lives inside a Go process: partitioned topics, durable consumer groups,
// acknowledgement of every message, and order per key with as many workers as one likes.
//
// It is for the work inside one application, or one machine, that must not get lost: jobs, events between modules,
// collected logs, effects on other systems. It is not a network server, not a database to query, and not a
// replacement for a channel where nothing needs to survive. Package queue/embedded opens a [Broker] over a directory
// or over memory; a broker over any other [Engine] has the same methods.
//
// # Words
//
//   - Topic: a named sequence of messages, split into partitions numbered from 0.
//   - Offset: the place of a message in its partition. Offsets grow; they have gaps, which mean nothing, so counts
//     are never computed by subtracting them. A [Position] is topic, partition and offset.
//   - Group: a durable named reader of topics. It exists, and its backlog grows, also while it has no members.
//   - Member: one running Consume of a group. Members share the group's partitions.
//   - Delivery: a message given to a handler. Attempt: the number of this delivery among those that were not given
//     back by our own stop, from 1.
//   - Lane: what keeps an order: the messages of one key of a partition (ByKey), or of one partition (ByPartition).
//     One hand-over of a lane is in work at a time, and a message that waits for its next attempt holds its lane alone.
//   - Failure: what becomes of a message whose attempt failed: when it comes again, what is behind it meanwhile, and what when it does not come again.
//   - Dead letter: a message that is not tried again, in a topic for such, with where, whom and why it failed.
//   - Cursor: how far a group came in a partition: the floor, below which every message is done, and the set of those
//     done above it. Messages may be finished in any order.
//   - Lag: how many messages of a group are not done, counted one by one.
//   - Backlog: what the slowest group of a topic has before it, of those that count. [Limit] bounds it.
//   - Receipt: what Publish returns: where the message stands, and how durable it is.
//
// # Guarantee
//
// A group gets every message at least once: its cursor passes a message only after the handler returned nil for it. A
// message is repeated after a failed attempt, after a crash, or when the outcome came too late. Effects outside the
// store, such as HTTP calls, other databases and files, are therefore at least once: make them idempotent, or store the
// position together with the effect and go on behind it with [Group.Resume].
package queue
