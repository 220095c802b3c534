package memfs

import (
	"bytes"
	"slices"
)

const pageSize = 4096

type page [pageSize]byte

// zeroPage stands for every page that holds space but only zeros: preallocated files cost nothing. It is never written.
var zeroPage = new(page)

// content is the bytes of a file in pages. Copies made by snapshot share pages and table until one of them is written, so that an image of
// a whole file system costs a few words per file.
//
// Invariant: bytes of a page at or beyond size are zero, and no page lies wholly beyond it.
type content struct {
	size   int64
	pages  []*page  // nil is a hole
	own    []uint64 // bit i: pages[i] is in no other content and may be written in place
	shared bool     // another content has the same table
	used   int      // pages that are not holes
}

// snapshot returns a copy that costs no bytes; both may be changed afterwards.
func (c *content) snapshot() content {
	c.shared, c.own = true, nil
	return content{size: c.size, pages: c.pages, shared: true, used: c.used}
}

// read copies what is there at off and returns how much; less than len(p) means the end.
func (c *content) read(p []byte, off int64) int {
	if off >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-off)]
	for n := 0; n < len(p); {
		i, at := split(off + int64(n))
		chunk := p[n:min(len(p), n+pageSize-at)]
		if i < len(c.pages) && c.pages[i] != nil {
			copy(chunk, c.pages[i][at:])
		} else {
			clear(chunk)
		}
		n += len(chunk)
	}
	return len(p)
}

// write puts p at off, growing the size to its end.
func (c *content) write(p []byte, off int64) {
	c.put(p, off)
	c.size = max(c.size, off+int64(len(p)))
}

// put is write without the size: the caller sets that before anyone reads.
func (c *content) put(p []byte, off int64) {
	for len(p) > 0 {
		i, at := split(off)
		n := min(len(p), pageSize-at)
		if c.blank(i) && isZero(p[:n]) {
			c.allocate(i)
		} else {
			copy(c.writable(i)[at:], p[:n])
		}
		p, off = p[n:], off+int64(n)
	}
}

// resize cuts, or extends with a hole.
func (c *content) resize(size int64) {
	if size < c.size {
		c.trim(size)
	}
	c.size = size
}

// trim makes everything at or beyond size a hole.
func (c *content) trim(size int64) {
	last, at := split(size)
	if last >= len(c.pages) {
		return
	}
	if at > 0 {
		if !c.blank(last) {
			clear(c.writable(last)[at:])
		}
		last++
	}
	for _, p := range c.pages[last:] {
		if p != nil {
			c.used--
		}
	}
	c.pages = c.pages[:last]
	for i := last; i < len(c.own)*64; i++ {
		c.own[i/64] &^= 1 << (i % 64)
	}
}

// missing returns how many of the pages under [off, off+n) are holes, and where the hole after the first free of them begins.
func (c *content) missing(off, n int64, free int) (holes int, full int64) {
	full = -1
	for at := off; at < off+n; {
		i, in := split(at)
		if i >= len(c.pages) || c.pages[i] == nil {
			if holes == free {
				full = at
			}
			holes++
		}
		at += int64(pageSize - in)
	}
	return holes, full
}

// blank reports whether page i holds nothing but zeros, without looking inside pages that were written.
func (c *content) blank(i int) bool {
	return i >= len(c.pages) || c.pages[i] == nil || c.pages[i] == zeroPage
}

// allocate gives the blank page i its space.
func (c *content) allocate(i int) {
	if i < len(c.pages) && c.pages[i] == zeroPage {
		return
	}
	c.unshare(i)
	c.pages[i] = zeroPage
	c.used++
}

// writable returns page i for writing into.
func (c *content) writable(i int) *page {
	c.unshare(i)
	if c.own[i/64]&(1<<(i%64)) != 0 {
		return c.pages[i]
	}
	fresh := new(page)
	switch old := c.pages[i]; old {
	case nil:
		c.used++
	case zeroPage:
	default:
		*fresh = *old
	}
	c.pages[i] = fresh
	c.own[i/64] |= 1 << (i % 64)
	return fresh
}

// unshare makes the table this content's own and long enough for page i.
func (c *content) unshare(i int) {
	if c.shared {
		c.pages = slices.Clone(c.pages)
		c.shared = false
	}
	if i >= len(c.pages) {
		c.pages = append(c.pages, make([]*page, i+1-len(c.pages))...)
	}
	if need := (len(c.pages) + 63) / 64; need > len(c.own) {
		c.own = append(c.own, make([]uint64, need-len(c.own))...)
	}
}

// split returns the page that off is in, and where.
func split(off int64) (index, at int) {
	return int(off / pageSize), int(off % pageSize)
}

func isZero(p []byte) bool {
	for len(p) > pageSize {
		if !bytes.Equal(p[:pageSize], zeroPage[:]) {
			return false
		}
		p = p[pageSize:]
	}
	return bytes.Equal(p, zeroPage[:len(p)])
}
