package embedded

import (
	"encoding/binary"
	"math"
	"time"
	"unicode/utf8"
)

// note is what is kept of a message that failed, beside its attempts and when it is due, in storage.Failure.Note:
//
//	form      1 byte: 1
//	flags     1 byte: 1: it is in flight
//	crashes   uvarint: how often the process died while it was in flight
//	first     varint: when it failed first, in nanoseconds of Unix time; 0: it did not
//	cause     the rest: why it failed last
type note struct {
	started bool
	crashes uint32
	first   int64
	cause   string
}

const (
	noteForm    = 1
	noteStarted = 1
	maxCause    = 256     // bytes of a cause; what is longer is cut
	maxNotes    = 1 << 20 // bytes of all notes of one cursor; beyond that, causes are left out
)

func (n note) encode() string {
	b := make([]byte, 0, 2+2*binary.MaxVarintLen64+maxCause)
	b = append(b, noteForm, 0)
	if n.started {
		b[1] = noteStarted
	}
	b = binary.AppendUvarint(b, uint64(n.crashes))
	b = binary.AppendVarint(b, n.first)
	return string(append(b, cut(n.cause, maxCause)...))
}

// decodeNote returns what is known: nothing of a form that a newer version made, since no promise hangs on it.
func decodeNote(s string) note {
	if len(s) < 2 || s[0] != noteForm {
		return note{}
	}
	numbers := []byte(s[2:min(len(s), 2+2*binary.MaxVarintLen64)])
	crashes, n := binary.Uvarint(numbers)
	if n <= 0 || crashes > math.MaxUint32 {
		return note{}
	}
	first, k := binary.Varint(numbers[n:])
	if k <= 0 {
		return note{}
	}
	return note{started: s[1]&noteStarted != 0, crashes: uint32(crashes), first: first, cause: s[2+n+k:]}
}

// firstFailed is zero if that is not known.
func (n note) firstFailed() time.Time {
	if n.first == 0 {
		return time.Time{}
	}
	return time.Unix(0, n.first)
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
