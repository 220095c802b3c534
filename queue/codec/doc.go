// Package codec has codecs for the values of typed topics, which package queue calls queue.Codec: [JSON], [Bytes], [String], and [Func] for whatever a pair of functions does.
// [Compressed] compresses what another codec makes. It serves what the architecture document calls the MessageSerializer; protobuf and avro are
// modules of their own below it.
//
// The zero values are ready, and all are safe for concurrent use. It knows nothing of messages and queues; package codectest is the conformance suite
// for codecs of one's own. There is no registry: a topic names its codec.
package codec

import "strings"

// sameType tells whether two content types have the same media type, whatever their parameters are.
func sameType(a, b string) bool { return strings.EqualFold(mediaType(a), mediaType(b)) }

// mediaType returns a content type without its parameters.
func mediaType(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(t)
}
