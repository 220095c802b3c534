// Package dedup finds out what was done before, so that it is not done again.
//
// It has three parts, each useful without the others, and in programs that have no queue:
//
//   - [KeyOf] makes a [Key] from content: fields in, 32 bytes out, and never the same bytes to hash for two different lists of fields.
//   - [Filter] remembers keys in memory, within a bound and for a time. [Filter.Reserve] checks and takes a key in one step, [Reservation.Commit]
//     says that it is done, [Reservation.Abort] that it is not. It starts empty after a restart.
//   - [Idempotent] runs a function once per key over a [Store], which keeps the mark together with what the function did, in one transaction.
//     [Memory] is a store for what need not outlive the process; package dedup/sqlstore, a module of its own, is one in the application's database.
//
// It does not make effects outside a store's transaction happen once: a call to another service may have happened before the process died, and happens
// again. Give such a service the key, so that it can tell.
//
// # Three states
//
// A key is new, in flight, or done. A key in flight is taken by somebody who has not finished: it is neither skipped, since the work may yet fail, nor done a
// second time beside the first. Nothing is marked before the work has succeeded, and work that failed, panicked or ended its goroutine leaves its key new.
//
// # Bloom filters never judge
//
// A Bloom filter may say that a key is there which is not. So here it only ever says 'certainly new', which spares the exact look-up; whatever it does not
// know to be new is looked up, and a message is [Seen] only if its very key was committed. What is no longer kept exactly is [New], or [Perhaps] if
// [FilterOptions.History] asks for that; the limits say from when on.
package dedup
