// Package retry says whether something that failed is tried again, and when.
//
// A [Policy] is a value without state: from the number of the attempt, its error and a seed, [Policy.Decide] makes a [Decision], the same
// one however often it is asked. Who waits, and how, is the caller's business; [Do] waits in the goroutine that called it, a queue
// sets a timer. Delays grow (RetryConfig's InitialBackoff, BackoffMultiplier and MaxBackoff are First, Factor and Max), are listed, or
// stay as they are; they are spread at random, so that what failed together does not come back together, and never pass the bound.
//
// Errors say of themselves whether another attempt makes sense: those made by [Permanent], those made by [After], and any error with a method
// Permanent() bool or RetryAfter() time.Duration, wherever they are wrapped or joined. Whatever says nothing is tried again.
//
// A [Budget] bounds the retries of many calls together, so that they do not become the load that keeps the other side down. Package
// retry/breaker stops calling a side that does not answer.
//
// It is for calls that may be repeated: idempotent ones, or those whose failure is known to have had no effect. It is not for messages of a
// queue, whose handlers should return the error instead of holding a worker while they wait; not for polling; and no scheduler. It
// uses nothing else of this module.
package retry
