// Package backpressure says who may go on and who has to wait, when more comes than can be done.
//
// [Gate] bounds what is held at one time, in number and in bytes: who asks for room waits for it, first come, first served, or is refused. [Pool] is one bound
// that many share, of whom none can take everything. [Rate] bounds how much comes in a second, [Rates] the same for each of many keys. [Controller] is a gate and a rate
// as one decision, which counts what it refuses by its reason. [Watermark] tells when what is held became much, and when that is over.
//
// It is not a queue: it holds nothing but numbers, starts no goroutine, and knows nothing of messages. What has to be dropped to make room, its owner drops.
//
// Of the architecture document's names BackpressureController is [Controller], its queue size [Gate], and its rate limiter [Rate].
package backpressure
