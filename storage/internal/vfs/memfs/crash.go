package memfs

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
)

// crash decides what survives.
type crash struct {
	mode   Mode
	seed   uint64
	sector int64
	// Changes before whole survive in the prefix modes; of the one that is next, the fraction of a write.
	whole    int
	fraction float64
	known    map[*inode]*inode // survivors, as a file can have several names
}

func newCrash(mode Mode, seed uint64, root *inode) *crash {
	c := &crash{mode: mode, seed: seed, sector: 512, known: map[*inode]*inode{}}
	rng := c.random(0)
	if rng.IntN(2) == 1 {
		c.sector = 4096
	}
	if mode == Prefix || mode == CutAnyByte {
		seqs := root.changes(map[*inode]bool{}, nil)
		slices.Sort(seqs)
		if n := rng.IntN(len(seqs) + 1); n < len(seqs) {
			c.whole = seqs[n]
		} else if n > 0 {
			c.whole = seqs[n-1] + 1
		}
		c.fraction = rng.Float64()
	}
	return c
}

// random returns the source of the choices about one inode: they do not depend on the order in which the tree is walked.
func (c *crash) random(id uint64) *rand.Rand {
	return rand.New(rand.NewPCG(c.seed, id<<8|uint64(c.mode)))
}

// changes collects the places of all changes below d that no sync has covered.
func (d *inode) changes(seen map[*inode]bool, seqs []int) []int {
	if seen[d] {
		return seqs
	}
	seen[d] = true
	for _, c := range d.pending {
		seqs = append(seqs, c.seq)
	}
	for _, m := range d.moves {
		seqs = append(seqs, m.seq)
		if m.node != nil {
			seqs = m.node.changes(seen, seqs)
		}
	}
	for _, entries := range []map[string]*inode{d.entries, d.durableEntries} {
		for _, child := range entries {
			seqs = child.changes(seen, seqs)
		}
	}
	return seqs
}

// survivor returns what is left of d and what is below it, all of it durable.
func (c *crash) survivor(d *inode) *inode {
	if node := c.known[d]; node != nil {
		return node
	}
	node := &inode{id: d.id, dir: d.dir}
	c.known[d] = node
	if !d.dir {
		node.live = c.content(d)
		node.settle()
		return node
	}
	node.entries = c.entries(d)
	for name, child := range node.entries {
		node.entries[name] = c.survivor(child)
	}
	node.durableEntries = maps.Clone(node.entries)
	return node
}

// entries returns the surviving entries of a directory. A change survives only if no earlier change of the same name was lost: no file
// system writes a removal down and forgets the creation that it undid.
func (c *crash) entries(d *inode) map[string]*inode {
	entries := maps.Clone(d.durableEntries)
	if len(d.moves) == 0 {
		return entries
	}
	rng := c.random(d.id)
	odds := likelihood(rng)
	lost := map[string]bool{}
	for _, m := range d.moves {
		if keep := c.keepsMove(m, rng.Float64() < odds); keep && !lost[m.name] && (m.kind != moveRename || !lost[m.to]) {
			m.apply(entries)
			continue
		}
		lost[m.name] = true
		if m.kind == moveRename {
			lost[m.to] = true
		}
	}
	return entries
}

func (c *crash) keepsMove(m move, lucky bool) bool {
	switch c.mode {
	case RandomSectors, GarbageSectors, GarbageWholeSectors:
		return lucky
	case Prefix, CutAnyByte:
		return m.seq < c.whole
	case ZeroedSize, RenameWithoutData:
		return true
	case UnlinkWithoutRest:
		return m.kind == moveRemove
	default:
		return false
	}
}

// content returns the surviving content of a file.
func (c *crash) content(d *inode) content {
	left := d.durable.snapshot()
	if len(d.pending) == 0 {
		return left
	}
	switch c.mode {
	case RandomSectors, GarbageSectors, GarbageWholeSectors:
		c.scatter(d, &left)
	case Prefix, CutAnyByte:
		c.prefix(d, &left)
	case ZeroedSize:
		for _, change := range d.pending {
			left.resize(change.resize(left.size))
		}
	}
	return left
}

func (c *crash) prefix(d *inode, left *content) {
	for _, change := range d.pending {
		if change.seq < c.whole {
			change.apply(left)
			continue
		}
		if c.mode == CutAnyByte && change.seq == c.whole && !change.truncate {
			cut := change
			if cut.n = int64(c.fraction * float64(change.n+1)); cut.n > 0 {
				cut.apply(left)
			}
		}
		return
	}
}

// scatter keeps some sectors of the writes and the sizes up to some change.
func (c *crash) scatter(d *inode, left *content) {
	rng := c.random(d.id)
	odds := likelihood(rng)
	sized := len(d.pending) // changes whose size survives
	if rng.Float64() >= odds {
		sized = rng.IntN(len(d.pending) + 1)
	}
	size := left.size
	for i, change := range d.pending {
		if i < sized {
			size = change.resize(size)
		}
		if !change.truncate {
			c.scatterWrite(change, left, rng, odds)
		} else if i < sized {
			left.trim(change.off)
		}
	}
	left.trim(size)
	left.size = size
}

// scatterWrite keeps, loses or ruins each sector of one write.
func (c *crash) scatterWrite(w change, left *content, rng *rand.Rand, odds float64) {
	for from := int64(0); from < w.n; {
		start := w.off + from
		sector := start - start%c.sector
		until := min(w.n, sector+c.sector-w.off)
		switch {
		case rng.Float64() < odds:
			w.put(left, from, until)
		case c.mode == GarbageSectors && rng.IntN(2) == 0:
			left.put(garbage(rng, until-from), start)
		case c.mode == GarbageWholeSectors && rng.IntN(2) == 0:
			left.put(garbage(rng, c.sector), sector)
		}
		from = until
	}
}

// likelihood picks how likely each change to one inode is to survive. Half and half alone would almost never keep a long write whole but
// for one sector, or lose all of one file and nothing of another.
func likelihood(rng *rand.Rand) float64 {
	return [...]float64{0, 0.1, 0.5, 0.9, 1}[rng.IntN(5)]
}

func garbage(rng *rand.Rand, n int64) []byte {
	p := make([]byte, (n+7)&^7)
	for i := 0; i < len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], rng.Uint64())
	}
	return p[:n]
}
