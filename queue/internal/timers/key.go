package timers

import (
	"cmp"
	"strconv"
	"strings"
)

// Key is what timers are sorted by. No two of one index ever have the same.
type Key struct {
	Due     int64  // wall time, in nanoseconds of Unix time
	Seq     int64  // the offset in the inbox at which the message was published, or what was chosen before
	Version uint32 // how often it was moved
	Nonce   uint32 // of a chosen key, which is known before the message is stored: at random, not 0
}

// Compare orders by due time, and messages of one due time as they were published.
func (k Key) Compare(o Key) int {
	if c := cmp.Compare(k.Due, o.Due); c != 0 {
		return c
	}
	if c := cmp.Compare(k.Seq, o.Seq); c != 0 {
		return c
	}
	if c := cmp.Compare(k.Nonce, o.Nonce); c != 0 {
		return c
	}
	return cmp.Compare(k.Version, o.Version)
}

// ID names a timer for as long as its store lives.
type ID struct {
	Key
	Incarnation uint64 // of the inbox, when Seq was given; 0 with a Nonce, which no other message has
}

// Same tells whether both name one message, however often it was moved.
func (id ID) Same(o ID) bool {
	return id.Seq == o.Seq && id.Nonce == o.Nonce && id.Incarnation == o.Incarnation
}

// String is what ParseID reads.
func (id ID) String() string { return string(id.Append(make([]byte, 0, MaxID))) }

// MaxID bounds the length of an ID's text.
const MaxID = 19 + 1 + 19 + 1 + 10 + 1 + 16

// Append appends the text.
func (id ID) Append(dst []byte) []byte {
	dst = append(strconv.AppendInt(dst, id.Due, 10), '-')
	dst = append(strconv.AppendInt(dst, id.Seq, 10), '-')
	dst = append(strconv.AppendUint(dst, uint64(id.Version), 10), '-')
	if id.Nonce != 0 {
		return strconv.AppendUint(append(dst, 'n'), uint64(id.Nonce), 16)
	}
	return strconv.AppendUint(dst, id.Incarnation, 16)
}

// ParseID reads what ID.String wrote, and nothing else: every ID has one text.
func ParseID(s string) (ID, bool) {
	var id ID
	fields := strings.Split(s, "-")
	if len(fields) != 4 {
		return id, false
	}
	due, err1 := strconv.ParseUint(fields[0], 10, 63)
	seq, err2 := strconv.ParseUint(fields[1], 10, 63)
	version, err3 := strconv.ParseUint(fields[2], 10, 32)
	id.Key = Key{Due: int64(due), Seq: int64(seq), Version: uint32(version)}
	var err4 error
	if nonce, chosen := strings.CutPrefix(fields[3], "n"); chosen {
		var n uint64
		n, err4 = strconv.ParseUint(nonce, 16, 32)
		id.Nonce = uint32(n)
	} else {
		id.Incarnation, err4 = strconv.ParseUint(fields[3], 16, 64)
	}
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return ID{}, false
	}
	return id, id.String() == s
}
