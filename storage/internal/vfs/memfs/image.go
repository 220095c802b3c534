package memfs

import "slices"

// Crash ends this file system: every later call to it and its files fails with ErrCrashed. It returns a new one with what survives.
func (f *FS) Crash(mode Mode, seed uint64) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	image := f.image(mode, seed)
	f.crashed = true
	return image
}

// Clone returns what Crash would, and leaves this file system as it is. The image shares no state with it and nobody holds its lock; its
// operations are numbered from 1, and it has no hook. The same history, mode and seed give the same image.
func (f *FS) Clone(mode Mode, seed uint64) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.image(mode, seed)
}

func (f *FS) image(mode Mode, seed uint64) *FS {
	image := &FS{holders: map[string]string{}, readers: map[string]int{}, nextID: f.nextID, seq: f.seq, bounded: f.bounded, capacity: f.capacity}
	if mode == Everything {
		image.root = copier{}.copy(f.root)
		return image
	}
	image.root = newCrash(mode, seed, f.root).survivor(f.root)
	return image
}

// copier copies the tree with all that is not durable yet. It remembers what it copied, as a file can have a name that is not durable and
// another one that is.
type copier map[*inode]*inode

func (c copier) copy(old *inode) *inode {
	if known := c[old]; known != nil {
		return known
	}
	node := &inode{id: old.id, dir: old.dir, pending: slices.Clip(old.pending)}
	c[old] = node
	if !old.dir {
		node.live, node.durable = old.live.snapshot(), old.durable.snapshot()
		return node
	}
	node.entries, node.durableEntries = c.entries(old.entries), c.entries(old.durableEntries)
	for _, m := range old.moves {
		if m.node != nil {
			m.node = c.copy(m.node)
		}
		node.moves = append(node.moves, m)
	}
	return node
}

func (c copier) entries(old map[string]*inode) map[string]*inode {
	entries := make(map[string]*inode, len(old))
	for name, child := range old {
		entries[name] = c.copy(child)
	}
	return entries
}
