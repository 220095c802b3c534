// Package compress turns blocks of bytes into smaller ones and back: gzip, snappy, s2 and zstd, named by numbers that may be written to disk.
//
// A [Codec] compresses whatever it is given. A [Packer] compresses what a [Selector] finds worthwhile, leaves alone what does not shrink, marks what it did, and counts. Whatever expands is bounded, by
// what the data declares and by what the caller allows.
//
// It knows nothing of messages and queues. What it does not do: streams without an end, archives of files, dictionaries.
//
// There is no cache of compressed blocks for one payload that goes to several places, since it would be no gain: a hit costs a hash of the payload, as trusting less than that would hand out
// another payload's bytes, and the snappy family compresses as fast as one hashes (BenchmarkFanOut). Whoever has the payload in hand packs it once and sends the result as often as need be, which costs neither.
package compress

import "strconv"

// ID names a codec in stored data. The numbers never change and are never used for another codec.
type ID uint8

// The codecs. The zero ID is none of them.
const (
	IDGzip   ID = 1
	IDSnappy ID = 2
	IDS2     ID = 3
	IDZstd   ID = 4
)

var names = [...]string{IDGzip: "gzip", IDSnappy: "snappy", IDS2: "s2", IDZstd: "zstd"}

// String returns the codec's name, as the header "compression" has it.
func (id ID) String() string {
	if int(id) < len(names) && names[id] != "" {
		return names[id]
	}
	return "codec " + strconv.Itoa(int(id))
}

// ByName returns the ID with the name that String returns. ok is false for a name that is not of this package.
func ByName(name string) (id ID, ok bool) {
	for id := IDGzip; id.Known(); id++ {
		if names[id] == name {
			return id, true
		}
	}
	return 0, false
}

// Known tells whether this package has the codec.
func (id ID) Known() bool { return id >= IDGzip && id <= IDZstd }

// Level trades time for size. The zero Level is Default.
type Level uint8

// The levels, growing slower and denser.
const (
	Default Level = iota // what the codec's authors think right
	Fast
	Better
	Best
)
