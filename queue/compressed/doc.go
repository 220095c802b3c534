// Package compressed compresses the values of single messages, for those who ask for it: a publisher packs a message before it publishes it, and a handler that is wrapped gets it as it was.
// It is what the architecture document calls MessageCompressor: its Algorithms are a compress.Set, its Strategy a compress.Selector, its Monitor [Compressor.Stats], and the header
// "compression" names the algorithm.
//
// It is for large values, and for topics of engines that do not compress. Small messages of a topic on disk are better left as they are: level Compressed of the embedded engine
// compresses whole blocks of them in the background, which is denser by far and costs a publish nothing. Values that are larger than a message may be belong in a claim check.
//
// A value that does not shrink is left, without a header. What is expanded is bounded, by the size that its publisher declared and by Options.MaxBytes. There is no cache for a value that goes
// to several topics: pack the message once, and publish it with one topic after the other.
package compressed
