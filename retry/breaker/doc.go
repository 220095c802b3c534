// Package breaker stops calling what does not answer: a circuit breaker, as Michael Nygard describes it in "Release It!" (Pragmatic Bookshelf, 2nd
// edition 2018).
//
// A [Breaker] is closed and lets calls through while they succeed. When too many fail in a row, or too large a part of those in a rolling window, it opens, and
// calls are refused at once with an [*OpenError]. After a while it is half-open: a few calls at a time go through as probes. If they
// succeed it closes; if one fails it opens again, for longer.
//
// [Breaker.Do] runs a function. Where a call does not end in the function that began it, [Breaker.Allow] asks, and [Call.Done] tells how it ended.
//
// It is for calls to another process or device that may hang or refuse for a while, one Breaker for each of them. It is not a limit of rate or of
// concurrency, and says nothing about whether a call may be repeated: that is package retry, whose policies wait as long as the
// breaker is open when they get its OpenError.
package breaker
