package queue

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The library's headers that package queue writes and reads. They are on stored messages, and applications do not see them.
const (
	headerOrigin   = "leat-dead-origin"   // of a dead letter: the position where the message failed
	headerGroup    = "leat-dead-group"    // who it failed
	headerAttempts = "leat-dead-attempts" // how often
	headerCrashes  = "leat-dead-crashes"  // how often the process died while it was worked on, if it did
	headerFirst    = "leat-dead-first"    // when first, RFC 3339
	headerLast     = "leat-dead-last"     // when last
	headerError    = "leat-dead-error"    // why, perhaps cut
	headerStack    = "leat-dead-stack"    // of a panic, perhaps cut
	headerRedriven = "leat-dead-redriven" // how often it was sent back; also of the message that was
	headerIdentity = "leat-dead-identity" // what Record.Identity is, where the position says something else; the same
	headerForGroup = "leat-for-group"     // of a message that was sent back: who alone gets it
)

// MaxLibraryHeaderBytes is what the library's own headers of one message may amount to. They do not count for TopicConfig.MaxBytes.
const MaxLibraryHeaderBytes = 16 << 10

// What of a failure is kept in a dead letter, in bytes.
const (
	maxLetterError = 1 << 10
	maxLetterStack = 8 << 10
)

// library tells whether a header is the library's.
func library(key string) bool { return strings.HasPrefix(key, reservedHeaders) }

// visible returns the headers that are the application's. It changes nothing of h.
func (h Headers) visible() Headers {
	n := 0
	for i := range h {
		if library(h[i].Key) {
			n++
		}
	}
	switch n {
	case 0:
		return h
	case len(h):
		return nil
	}
	seen := make(Headers, 0, len(h)-n)
	for i := range h {
		if !library(h[i].Key) {
			seen = append(seen, h[i])
		}
	}
	return seen
}

// LibraryBytes is what the library's own headers of m amount to. It is for engines, whose topics' MaxBytes does not count them.
func (m *Message) LibraryBytes() int {
	n := 0
	for i := range m.Headers {
		if library(m.Headers[i].Key) {
			n += len(m.Headers[i].Key) + len(m.Headers[i].Value)
		}
	}
	return n
}

// show makes r what applications see of a stored record.
func (r *Record) show() {
	if len(r.Headers) == 0 {
		return
	}
	r.identity = r.Headers.Get(headerIdentity)
	r.Headers = r.Headers.visible()
}

// letter is the dead letter of a message that failed for the last time.
func (c *consumer) letter(h *Handover, attempts int, err error) Message {
	m, now := c.original(h), time.Now()
	first := h.FirstFailed
	if first.IsZero() {
		first = now
	}
	record := Record{Message: m, Position: h.Position}
	record.show()
	hs := slices.Clone(record.Headers)
	add := func(key, value string) { hs = append(hs, Header{Key: key, Value: []byte(value)}) }
	add(headerOrigin, h.Position.String())
	add(headerGroup, c.group.Name)
	add(headerAttempts, strconv.Itoa(attempts))
	if h.Crashes > 0 {
		add(headerCrashes, strconv.Itoa(h.Crashes))
	}
	add(headerFirst, first.Format(time.RFC3339Nano))
	add(headerLast, now.Format(time.RFC3339Nano))
	add(headerError, cut(err.Error(), maxLetterError))
	add(headerIdentity, record.Identity())
	var panicked *PanicError
	if errors.As(err, &panicked) {
		add(headerStack, cut(string(panicked.Stack), maxLetterStack))
	}
	if n := m.Headers.Get(headerRedriven); n != "" {
		add(headerRedriven, n)
	}
	m.Headers = hs
	m.Expires = time.Time{} // it is kept until somebody deals with it
	m.Topic, m.Partition = c.group.Failure.letterTopic(h.Position.Topic()), Pin{}
	return m
}

// original returns the message as it is stored: the bytes in hand are the handler's, who may have changed them. If it cannot be read any more it is what
// is in hand.
func (c *consumer) original(h *Handover) Message {
	if m, ok := c.member.(MemberReader); ok {
		if stored, there := m.Stored(h); there {
			return stored
		}
		return h.Message
	}
	e, ok := c.b.engine.(EngineReader)
	if _, can := c.b.capabilities.Features[CanRead]; !ok || !can {
		return h.Message
	}
	at := Range{Topic: h.Position.Topic(), Partitions: []int{h.Position.Partition()}, From: From(h.Position)}
	for r, err := range e.Read(context.Background(), at) {
		if err == nil && r.Position == h.Position {
			return r.Message
		}
		break
	}
	return h.Message
}

// cut returns what of s fits in most bytes, whole characters of it.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
