// Package claimcheck lets messages of the embedded engine have values of any size: what is larger than a threshold is stored beside the log, in a file that is named by the SHA-256 of
// its bytes, and the message has a claim in its place. Values are written from an io.Reader or piece by piece, and read as a stream, so that a value of gigabytes takes some
// kilobytes of memory; a message may also have several parts, each with a name and a content type. Equal values are stored once.
//
// It is for films, documents and dumps that go along with messages. It is no object store: a value lives as long as the last message that names it, in whatever topic that is, dead
// letters, delayed and parked messages included, and a [Store.Sweep] removes it afterwards.
//
// A value is durable, in its file, under its name, before the message that names it is published, so no message names a value that is not there; what a crash leaves without a message is found by
// a sweep. A sweep looks at every record of the store, once, and remembers which values they name. A value is removed when two sweeps, Options.Grace apart or more, found nobody who names it, and
// nobody who publishes had it in hand meanwhile.
//
// The directory belongs to one queue, and one [Store] at a time: that of another queue is refused, and so is a second one. Snapshots of the queue do not have it; copy it behind one, into the same
// place beside it. Over a broker in memory, [InMemory] keeps values in memory, within a bound.
package claimcheck
