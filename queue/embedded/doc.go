// Package embedded is the queue engine that lives inside the process, over a directory ([Open]) or over memory ([InMemory]): topics, partitions,
// groups, order, retries and cursors, in one store, without anything else to install.
//
// It is for one process: a second one that opens the directory is refused. What every engine can do is in package queue, on the
// *queue.Broker that Open returns; what only this one can is reached through [From].
//
// # How messages come to members
//
// Each group has a dispatcher behind one lock. Members fetch for themselves: a Receive that finds nothing to hand out reads the next partition
// that has news, sorts its records into lanes, one for each key, takes one, and wakes as many others as there are lanes left. No
// goroutine stands in between, and an idle group has none. What is finished is noted in memory at once and written to the store
// some milliseconds later, for all groups in one entry; an ack never waits for it.
package embedded
