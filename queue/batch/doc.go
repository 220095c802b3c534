// Package batch gathers items that come one by one into batches for a function that is cheaper with many: rows for a database, documents for an index, points for
// a meter. A [Processor] is what the architecture document calls BatchProcessor; its BatchConfig is [Config], its BatchExecutor is the [Func], and its BatchMonitor is
// [Stats].
//
// It is for work that does not come from a group. A group has Broker.ConsumeBatch, with the same rules for results and order, and durable attempts; messages that are to
// be published go through a queue.Publisher. Nothing here survives the process.
//
// Items of one key are worked on one after the other, also over batches, however many run at once, and also when one fails and waits for its next attempt: those behind it wait for it, and
// others go on. Each item has a result of its own: what succeeded is not run again for what failed, but for those of the same key behind it in its batch, which come
// again after it.
package batch
