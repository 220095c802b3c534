// Package compress turns blocks of bytes into smaller ones and back: gzip, snappy, s2 and zstd, named by numbers that may be written to disk.
//
// It knows nothing of messages and queues. What it does not do: streams without an end, archives of files, dictionaries.
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
