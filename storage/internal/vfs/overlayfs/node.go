package overlayfs

import (
	"io"
	"sync"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// pageSize is the unit in which memory is taken for what is written.
const pageSize = 4096

// node is a file or a directory, whatever its name.
type node struct {
	lower   string // its name below, "" if it was made here
	dir     bool
	odd     bool             // neither a directory nor a regular file
	entries map[string]*node // of a directory; nil: not looked up yet

	mu      sync.RWMutex
	size    int64            // of the file; guarded by mu, as all below. Until it was changed: when it was looked up
	changed bool             // else limit and pages mean nothing
	limit   int64            // bytes of the file below that are still of the file
	pages   map[int64][]byte // that were written to, by their number
}

// info describes n, whose name is here.
func (n *node) info(name string) vfs.Info {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return vfs.Info{Name: name, Size: n.size, IsDir: n.dir, Regular: !n.dir && !n.odd}
}

// change begins the first change of a file. mu is held; below is nil for a file that was made here.
func (n *node) change(below vfs.File) error {
	if n.changed {
		return nil
	}
	if below != nil {
		size, err := below.Size()
		if err != nil {
			return err
		}
		n.size, n.limit = size, size
	}
	n.changed, n.pages = true, map[int64][]byte{}
	return nil
}

// truncate sets the size. mu is held.
func (n *node) truncate(size int64) {
	n.limit = min(n.limit, size)
	if size < n.size {
		for i, p := range n.pages {
			switch from := i * pageSize; {
			case from >= size:
				delete(n.pages, i)
			case from+pageSize > size:
				clear(p[size-from:])
			}
		}
	}
	n.size = size
}

// write writes p at off, into pages that are read from below first unless p covers them. mu is held.
func (n *node) write(below vfs.File, p []byte, off int64) (done int, err error) {
	for done < len(p) {
		i, at := (off+int64(done))/pageSize, int((off+int64(done))%pageSize)
		page := n.pages[i]
		if page == nil {
			page = make([]byte, pageSize)
			if at > 0 || len(p)-done < pageSize {
				if err := n.fill(below, page, i*pageSize); err != nil {
					return done, err
				}
			}
			n.pages[i] = page
		}
		done += copy(page[at:], p[done:])
		n.size = max(n.size, off+int64(done))
	}
	return done, nil
}

// read reads into p, all of which is within the file. mu is held for reading.
func (n *node) read(below vfs.File, p []byte, off int64) error {
	for len(p) > 0 {
		at := off % pageSize
		page := n.pages[off/pageSize]
		if page != nil {
			k := copy(p, page[at:])
			p, off = p[k:], off+int64(k)
			continue
		}
		k := pageSize - at // up to the next page that is here
		for k < int64(len(p)) && n.pages[(off+k)/pageSize] == nil {
			k += pageSize
		}
		k = min(k, int64(len(p)))
		if err := n.fill(below, p[:k], off); err != nil {
			return err
		}
		p, off = p[k:], off+k
	}
	return nil
}

// fill reads into p what is below, and zeros behind it.
func (n *node) fill(below vfs.File, p []byte, off int64) error {
	have := max(0, min(n.limit-off, int64(len(p))))
	clear(p[have:])
	if have == 0 {
		return nil
	}
	got, err := below.ReadAt(p[:have], off)
	if int64(got) < have && err == nil {
		err = io.ErrUnexpectedEOF
	}
	if err == io.EOF { // it was cut meanwhile
		clear(p[got:])
		err = nil
	}
	return err
}
