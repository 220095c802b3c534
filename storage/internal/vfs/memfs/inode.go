package memfs

import (
	"maps"
	"slices"
)

// inode is a file or a directory, whatever its names. What was done to it is kept twice, as everybody sees it and as it is surely on the
// disk, with the changes in between in their order: from those a crash picks.
type inode struct {
	id  uint64 // in the order of making, so that a seed means the same in every run
	dir bool

	// Of a file.
	live    content
	durable content
	pending []change

	// Of a directory.
	entries        map[string]*inode
	durableEntries map[string]*inode
	moves          []move
}

// change is a write or a truncation that no sync has covered.
type change struct {
	seq      int // place in the order of all changes of the file system
	off      int64
	n        int64
	data     []byte // nil: n zeros
	truncate bool   // to off
	space    bool   // it only took space at the end
}

// end is the size that a file has at least after the write.
func (c change) end() int64 { return c.off + c.n }

func (c change) apply(to *content) {
	if c.truncate {
		to.resize(c.off)
		return
	}
	c.put(to, 0, c.n)
	to.size = max(to.size, c.end())
}

// put writes the part [from, until) of the change, leaving the size.
func (c change) put(to *content, from, until int64) {
	if c.data != nil {
		to.put(c.data[from:until], c.off+from)
		return
	}
	for from < until {
		n := min(until-from, pageSize)
		to.put(zeroPage[:n], c.off+from)
		from += n
	}
}

// resize returns the size that the change leaves behind a file of the given size.
func (c change) resize(size int64) int64 {
	if c.truncate {
		return c.off
	}
	return max(size, c.end())
}

func (d *inode) write(seq int, p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	d.live.write(p, off)
	c := change{seq: seq, off: off, n: int64(len(p))}
	if !isZero(p) {
		c.data = slices.Clone(p)
	}
	d.pending = append(d.pending, c)
}

// allocate writes n zeros at the end, off.
func (d *inode) allocate(seq int, off, n int64) {
	if n == 0 {
		return
	}
	c := change{seq: seq, off: off, n: n, space: true}
	c.apply(&d.live)
	d.pending = append(d.pending, c)
}

// truncate sets the size. Space that was taken last and is given back with it never was there: else the images of a file that is made longer and cut over
// and over, and never synced, would cost more and more.
func (d *inode) truncate(seq int, size int64) {
	d.live.resize(size)
	if n := len(d.pending); n > 0 && d.pending[n-1].space && d.pending[n-1].off == size {
		d.pending = d.pending[: n-1 : n-1]
		return
	}
	d.pending = append(d.pending, change{seq: seq, off: size, truncate: true})
}

// sync makes durable what no sync has covered. That is not the same as the live content: a sync that failed may have forgotten some.
func (d *inode) sync() {
	for _, c := range d.pending {
		c.apply(&d.durable)
	}
	d.pending = nil
}

// settle makes the live content the durable one.
func (d *inode) settle() {
	d.durable = d.live.snapshot()
	d.pending = nil
}

// move is a change to the entries of a directory that no sync has covered.
type move struct {
	seq      int
	kind     moveKind
	name, to string // to of a rename only
	node     *inode // what is created, linked or renamed
}

type moveKind uint8

const (
	moveCreate moveKind = iota
	moveRename
	moveRemove
)

func (m move) apply(entries map[string]*inode) {
	switch m.kind {
	case moveCreate:
		entries[m.name] = m.node
	case moveRename:
		delete(entries, m.name)
		entries[m.to] = m.node
	case moveRemove:
		delete(entries, m.name)
	}
}

func (d *inode) move(m move) {
	m.apply(d.entries)
	d.moves = append(d.moves, m)
}

func (d *inode) syncEntries() {
	for _, m := range d.moves {
		m.apply(d.durableEntries)
	}
	d.moves = nil
}

func (d *inode) names() []string {
	return slices.Sorted(maps.Keys(d.entries))
}
