// Package frontier remembers which records of a partition a group is done with, when they are finished in any order. It is for engines
// whose cursor is a floor and what is done above it; it reads and writes nothing.
//
// [Window] is the records from the floor (every record below is done) up to where reading has come, each a slot in a ring, so that its
// size does not depend on how far apart their offsets are. Offsets may have gaps: counts are made of records, never by subtracting
// offsets. Nothing here is for concurrent use.
package frontier
