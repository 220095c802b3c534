package queue

import (
	"fmt"
	"strconv"
	"time"
)

// What the headers of one message may amount to; more is ErrTooLarge.
const (
	MaxHeaders     = 64       // headers
	MaxHeaderBytes = 16 << 10 // bytes of their keys and values together
)

// MaxIDBytes bounds Message.ID; more is ErrTooLarge.
const MaxIDBytes = 255

// MaxAhead bounds Message.NotBefore and Message.Expires: how far in the future they may be. It is 100 years.
const MaxAhead = 100 * 365 * 24 * time.Hour

// reservedHeaders begins the header keys that belong to the library.
const reservedHeaders = "leat-"

// Message is what an application publishes. Publish copies what it needs: the caller may reuse the slices.
type Message struct {
	Topic   string
	Key     []byte // same key, same partition, in order; nil: unordered; empty: a key like any other
	Value   []byte
	Headers Headers
	// ID names the message; any bytes, at most MaxIDBytes; "": it has no name. Within TopicConfig.Dedup a message whose ID its topic has had is not stored
	// again: the receipt is the first one's, with Duplicate set. That is so of a message that is delayed from its publish on. So a publish that failed, or whose outcome is unknown, is repeated with the same ID. Messages
	// that are published on their way through an application keep it.
	ID        string
	Timestamp time.Time // the application's own time; zero: the time at which it is stored
	// NotBefore delays the message: until that time, by the wall clock, nobody gets it, and it is not in its topic; its place in the order of the topic begins then. Zero, or
	// not in the future: at once. At most [MaxAhead] from now. CanDelay. With an ID that its topic has had,
	// be it of a message that waits, it is a duplicate, and NotBefore says nothing.
	NotBefore time.Time
	// Expires is when the message is of no use any more: no group gets it from then on, nor does one that had it before get it again; see Failure.BuryExpired. It is removed when all before it in its partition is, some time
	// later, and may be read until then; see Retention. Zero: never. At most MaxAhead from now, and after NotBefore. CanExpireMessages.
	Expires   time.Time
	Partition Pin // zero: by key, or in turn without one
}

// Size is what limits count: the bytes of key, value and headers together.
func (m *Message) Size() int {
	return len(m.Key) + len(m.Value) + m.Headers.size()
}

// check refuses what no topic may hold. maxBytes is the engine's limit; 0 is none.
func (m *Message) check(maxBytes int) error {
	if n := m.Size(); maxBytes > 0 && n > maxBytes {
		return fmt.Errorf("%w: a message of %d bytes for topic %q, the engine's limit is %d", ErrTooLarge, n, m.Topic, maxBytes)
	}
	if err := m.Headers.checkSize(); err != nil {
		return err
	}
	if n := len(m.ID); n > MaxIDBytes {
		return fmt.Errorf("%w: an ID of %d bytes, the limit is %d", ErrTooLarge, n, MaxIDBytes)
	}
	f := faults{subject: "message"}
	m.Headers.checkKeys(&f)
	if n, ok := m.Partition.N(); ok && n < 0 {
		f.check(false, "Partition", n, "counted from 0")
	}
	m.checkTimes(&f)
	return f.err()
}

// checkTimes judges NotBefore and Expires.
func (m *Message) checkTimes(f *faults) {
	if m.NotBefore.IsZero() && m.Expires.IsZero() {
		return
	}
	latest := time.Now().Add(MaxAhead)
	if m.NotBefore.After(latest) { // looked at first, so that a time that is right is no value of an interface
		f.check(false, "NotBefore", m.NotBefore, "at most 100 years from now")
	}
	if m.Expires.After(latest) {
		f.check(false, "Expires", m.Expires, "at most 100 years from now")
	}
	if !m.Expires.IsZero() && !m.Expires.After(m.NotBefore) {
		f.check(false, "Expires", m.Expires, "after NotBefore: a message that expires before it is due is for nobody")
	}
}

// Pin names the partition of a message. The zero Pin names none; make others with [PinTo].
type Pin struct {
	n int // the partition plus one; negative for a partition that cannot be
}

// PinTo names partition n, counted from 0. A message pinned to a negative partition is refused by Publish.
func PinTo(n int) Pin {
	if n < 0 {
		return Pin{n}
	}
	return Pin{n + 1}
}

// N returns the partition, and whether there is one.
func (p Pin) N() (int, bool) {
	switch {
	case p.n == 0:
		return 0, false
	case p.n < 0:
		return p.n, true
	}
	return p.n - 1, true
}

// Header is a named value that travels with a message. Keys that begin with "leat-" are the library's, and empty
// keys are refused.
type Header struct {
	Key   string
	Value []byte
}

// Headers is an ordered list of headers, at most [MaxHeaders] with [MaxHeaderBytes]. A key may stand in it several times.
type Headers []Header

// Get returns the value of the first header with that key as a string, "" if there is none.
func (h Headers) Get(key string) string {
	for i := range h {
		if h[i].Key == key {
			return string(h[i].Value)
		}
	}
	return ""
}

// With returns a copy of h with one more header, so that it can be chained: Headers{}.With("a", x).With("b", y).
func (h Headers) With(key, value string) Headers {
	out := make(Headers, len(h), len(h)+1)
	copy(out, h)
	return append(out, Header{Key: key, Value: []byte(value)})
}

func (h Headers) size() int {
	n := 0
	for i := range h {
		n += len(h[i].Key) + len(h[i].Value)
	}
	return n
}

func (h Headers) checkSize() error {
	if len(h) > MaxHeaders {
		return fmt.Errorf("%w: %d headers, the limit is %d", ErrTooLarge, len(h), MaxHeaders)
	}
	if n := h.size(); n > MaxHeaderBytes {
		return fmt.Errorf("%w: %d bytes of headers, the limit is %d", ErrTooLarge, n, MaxHeaderBytes)
	}
	return nil
}

func (h Headers) checkKeys(f *faults) {
	for i := range h {
		switch {
		case h[i].Key == "":
			f.check(false, "Headers", nil, "a header has a key")
		case library(h[i].Key):
			f.check(false, "Headers", strconv.Quote(h[i].Key), `keys with "leat-" are the library's`)
		}
	}
}

// Record is a stored message. Its bytes belong to whoever received it and are never reused. Its Partition is zero, so that
// it can be published again with another Topic or Value; where it stands is in Position.
type Record struct {
	Message
	Position Position
	Appended time.Time // by the store's clock; never goes back within a partition

	identity string // what Identity is; "": the ID or the position
}

// Identity returns the message's ID, else its first position as text. It is never empty and the same at every attempt, also after the message was sent back from the
// dead letters: what a handler gives to another system that is to do something once.
func (r *Record) Identity() string {
	switch {
	case r.identity != "":
		return r.identity
	case r.ID != "":
		return r.ID
	}
	return r.Position.String()
}

// Receipt says where a published message stands: Position or Timer is set. Those of a duplicate are the first one's as they are now: the timer that it has while it waits, its position
// from when it is in its topic on.
type Receipt struct {
	Position   Position
	Timer      TimerID    // of a message that is delayed, see Message.NotBefore: it has no position yet
	Durability Durability // reached when Publish returned
	Duplicate  bool       // its topic had a message with the ID: nothing was stored, Position or Timer is the first one's
	Dropped    bool       // its topic was full, and its Limit.WhenFull is DropNew: nothing was stored
}

// Durability says what a stored message survives, in growing order. Zero means the default in a [TopicConfig] and
// 'nothing was stored' in a [Receipt].
type Durability uint8

// The durabilities.
const (
	Memory   Durability = iota + 1 // the process's life only
	OS                             // the end of the process; not that of the machine
	Interval                       // the same, and the end of the machine but for the last TopicConfig.SyncEvery
	Synced                         // the end of the machine
)

// String returns the name of the constant.
func (d Durability) String() string {
	switch d {
	case 0:
		return "none"
	case Memory:
		return "Memory"
	case OS:
		return "OS"
	case Interval:
		return "Interval"
	case Synced:
		return "Synced"
	}
	return fmt.Sprintf("Durability(%d)", uint8(d))
}
