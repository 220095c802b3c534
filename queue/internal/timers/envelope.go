package timers

import (
	"encoding/binary"
	"errors"

	"github.com/leatmq/leat/storage"
)

// HeaderKey is the key of the header that stands first in each record of inbox and runs, and says what it is.
const HeaderKey = "leat-timer"

// Envelope is what is kept of a message beside itself.
type Envelope struct {
	Due   int64               // wall time, in nanoseconds of Unix time
	First storage.PartitionID // the first partition of its topic, which tells topics of one name apart
	Pin   int                 // the partition that was asked for, from 0; -1: none
	Topic string              // of the message
}

// envelope is Envelope as it is stored.
type envelope struct {
	Envelope
	grave   bool  // a tombstone: the timer of this key was cancelled or moved
	keyed   bool  // the key is seq, version and nonce, not the record's own offset and 0
	seq     int64 // if keyed
	version uint32
	nonce   uint32
}

func (e *envelope) key(offset int64) Key {
	if e.keyed {
		return Key{Due: e.Due, Seq: e.seq, Version: e.version, Nonce: e.nonce}
	}
	return Key{Due: e.Due, Seq: offset}
}

// The flags of an envelope, whose layout is: flags, a byte; due; if keyed, seq and version, and nonce if that is chosen; first; pin + 1, all unsigned varints; the topic's name.
const (
	flagGrave = 1 << iota
	flagKeyed
	flagChosen
	knownFlags = flagGrave | flagKeyed | flagChosen
)

// maxEnvelope is how long an envelope may be.
const maxEnvelope = 1 + 6*binary.MaxVarintLen64 + storage.MaxName

// AppendHeaders appends the headers of a record that has m delayed: to be followed by those of the message. k is a key that Index.Choose chose; zero: the one that comes of the
// record's offset.
func AppendHeaders(dst storage.Headers, e *Envelope, k Key) storage.Headers {
	return appendEnvelope(dst, &envelope{Envelope: *e, keyed: k.Nonce != 0, seq: k.Seq, nonce: k.Nonce})
}

// keyedAs makes e say that its key is k.
func (e *envelope) keyedAs(k Key) {
	e.keyed, e.seq, e.version, e.nonce = true, k.Seq, k.Version, k.Nonce
}

func appendEnvelope(dst storage.Headers, e *envelope) storage.Headers {
	var room [maxEnvelope]byte
	b := append(room[:0], 0)
	if e.grave {
		b[0] |= flagGrave
	}
	b = binary.AppendUvarint(b, uint64(e.Due))
	if e.keyed {
		b[0] |= flagKeyed
		b = binary.AppendUvarint(b, uint64(e.seq))
		b = binary.AppendUvarint(b, uint64(e.version))
		if e.nonce != 0 {
			b[0] |= flagChosen
			b = binary.AppendUvarint(b, uint64(e.nonce))
		}
	}
	b = binary.AppendUvarint(b, uint64(e.First))
	b = binary.AppendUvarint(b, uint64(e.Pin+1))
	return storage.AppendHeader(dst, HeaderKey, append(b, e.Topic...))
}

var errEnvelope = errors.New("timers: a record without an envelope, or of a newer version")

// open returns the envelope of a record, and the headers of the message behind it.
func open(h storage.Headers) (e envelope, rest storage.Headers, err error) {
	for key, value := range h.All() {
		if key != HeaderKey || !e.decode(value) {
			break
		}
		return e, h[lengthOf(len(key))+len(key)+lengthOf(len(value))+len(value):], nil
	}
	return e, nil, errEnvelope
}

// lengthOf is how many bytes a varint of n has.
func lengthOf(n int) int {
	var room [binary.MaxVarintLen64]byte
	return binary.PutUvarint(room[:], uint64(n))
}

func (e *envelope) decode(b []byte) bool {
	if len(b) == 0 || len(b) > maxEnvelope || b[0]&^knownFlags != 0 {
		return false
	}
	d := decoder{b: b[1:]}
	e.grave, e.keyed = b[0]&flagGrave != 0, b[0]&flagKeyed != 0
	e.Due = d.int63()
	if e.keyed {
		e.seq = d.int63()
		e.version = uint32(d.atMost(1<<32 - 1))
		if b[0]&flagChosen != 0 {
			e.nonce = uint32(d.atMost(1<<32 - 1))
		}
	}
	e.First = storage.PartitionID(d.atMost(1<<32 - 1))
	e.Pin = int(d.atMost(storage.MaxPartitions)) - 1
	e.Topic = string(d.b)
	return !d.bad
}

// decoder reads unsigned varints. After the first that is none, or too large, it is bad and reads zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) atMost(most uint64) uint64 {
	n, w := binary.Uvarint(d.b)
	if w <= 0 || n > most {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[w:]
	return n
}

func (d *decoder) int63() int64 { return int64(d.atMost(1<<63 - 1)) }
