package embedded

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/internal/timers"
	"github.com/leatmq/leat/storage"
)

// What of a message is stored in headers of the engine's own. Applications neither set nor see them.
const (
	libraryHeaders = "leat-"         // begins the keys that are not an application's
	idHeader       = "leat-id"       // Message.ID
	sinceHeader    = "leat-id-since" // when it was published, of a message that was delayed and has an ID, in the same form as leat-expires
	expiresHeader  = "leat-expires"  // Message.Expires, as 8 bytes of nanoseconds of Unix time
	againHeader    = "leat-id-again" // Message.ID, of a message that was stored whoever has had the ID; see bypasses
)

// bypasses tells whether m is stored whoever has had its ID: it has library headers, so that it is a dead letter or one that comes back, which keeps its ID.
func bypasses(m *queue.Message) bool {
	for i := range m.Headers {
		if strings.HasPrefix(m.Headers[i].Key, libraryHeaders) {
			return true
		}
	}
	return false
}

// encode appends the headers of m, and what of it is stored in headers. w is nil if m is not delayed; now is when it is published, if it waits and has an ID.
func (p *publish) encode(m *queue.Message, w *wait, now time.Time) storage.Headers {
	if len(m.Headers) == 0 && m.ID == "" && m.Expires.IsZero() && w == nil {
		return nil
	}
	from := len(p.headers)
	if w != nil {
		p.headers = timers.AppendHeaders(p.headers, w.envelope(m), w.key.Key)
		if w.ids != nil {
			p.headers = appendTime(p.headers, sinceHeader, now)
		}
	}
	if !m.Expires.IsZero() {
		p.headers = appendTime(p.headers, expiresHeader, m.Expires)
	}
	if m.ID != "" {
		key := idHeader
		if bypasses(m) {
			key = againHeader
		}
		p.headers = storage.AppendHeader(p.headers, key, []byte(m.ID))
	}
	for i := range m.Headers {
		p.headers = storage.AppendHeader(p.headers, m.Headers[i].Key, m.Headers[i].Value)
	}
	return p.headers[from:len(p.headers):len(p.headers)]
}

// decode sets what of m is stored in headers.
func decode(m *queue.Message, encoded storage.Headers) {
	m.Headers, m.ID, m.Expires = nil, "", time.Time{}
	n := encoded.Len()
	if n == 0 {
		return
	}
	for key, value := range encoded.All() {
		switch key {
		case idHeader, againHeader:
			m.ID = string(value)
			n--
		case expiresHeader:
			m.Expires = decodeTime(value)
			n--
		case parkHeader, sinceHeader:
			n--
		default:
			if m.Headers == nil {
				m.Headers = make(queue.Headers, 0, n)
			}
			m.Headers = append(m.Headers, queue.Header{Key: key, Value: value})
		}
	}
}

// idOf returns the ID under which a record counts as the first of its kind.
func idOf(encoded storage.Headers) (id string, ok bool) {
	for key, value := range encoded.All() {
		if key == idHeader {
			return string(value), true
		}
	}
	return "", false
}

// bornOf returns when the message of a record was published, in nanoseconds of Unix time, and whether it waited since then.
func bornOf(r *storage.Record) (int64, origin) {
	for key, value := range r.Headers.All() {
		if key == sinceHeader {
			return nanos(decodeTime(value)), ofWaiting
		}
	}
	return r.Appended.UnixNano(), ofMessage
}

func appendTime(dst []byte, key string, t time.Time) []byte {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(nanos(t)))
	return storage.AppendHeader(dst, key, at[:])
}

// nanos returns t in nanoseconds of Unix time, and 0 for anything before.
func nanos(t time.Time) int64 {
	if t.Unix() < 0 {
		return 0
	}
	return t.UnixNano()
}

func decodeTime(b []byte) time.Time {
	if len(b) != 8 {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b)))
}

// expiryOf returns what Message.Expires was; zero: nothing.
func expiryOf(encoded storage.Headers) time.Time {
	for key, value := range encoded.All() {
		if key == expiresHeader {
			return decodeTime(value)
		}
	}
	return time.Time{}
}
