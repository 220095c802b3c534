package memfs

import "syscall"

// SyncFailure says what becomes of the data when SyncData fails.
type SyncFailure uint8

// The ways in which a sync fails, each with EIO.
const (
	noFailure SyncFailure = iota
	// PagesDropped forgets that the data must still be written: reads show it, the next SyncData succeeds without it, and a crash takes it
	// away. So does ext4.
	PagesDropped
	// CacheReverts takes the data away at once: reads show what was synced before. So does btrfs.
	CacheReverts
	// StaysDirty fails once and forgets nothing: a second call would do what the first did not.
	StaysDirty
)

// FailSync makes the next SyncData, of whatever file, fail. Called from the hook of OnOp for a SyncData it is that one.
func (f *FS) FailSync(how SyncFailure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing = how
}

// failSync carries out what FailSync ordered.
func (f *FS) failSync(node *inode) error {
	how := f.failing
	f.failing = noFailure
	switch how {
	case noFailure:
		return nil
	case PagesDropped:
		node.pending = nil
	case CacheReverts:
		node.live = node.durable.snapshot()
		node.pending = nil
	case StaysDirty:
	}
	return syscall.EIO
}

// SetCapacity bounds the file system to so many bytes, in whole pages of 4 KiB. A write beyond them is cut short where they end and returns
// ENOSPC. Writing where space was taken before, be it with zeros, needs no more; a file gives its space back when it has no name.
// A negative number takes the bound away.
func (f *FS) SetCapacity(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bounded, f.capacity = bytes >= 0, bytes
}

// FillUp bounds the file system to what is taken of it now: see SetCapacity.
func (f *FS) FillUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bounded, f.capacity = true, int64(f.root.usedPages(map[*inode]bool{}))*pageSize
}

// fits returns how much of a write of n bytes finds space.
func (f *FS) fits(node *inode, off int64, n int) int {
	if !f.bounded {
		return n
	}
	free := max(0, int(f.capacity/pageSize)-f.root.usedPages(map[*inode]bool{}))
	holes, full := node.live.missing(off, int64(n), free)
	if holes <= free {
		return n
	}
	return int(full - off)
}

// usedPages counts the pages of everything that has a name, once if it has several.
func (d *inode) usedPages(seen map[*inode]bool) int {
	if seen[d] {
		return 0
	}
	seen[d] = true
	used := d.live.used
	for _, child := range d.entries {
		used += child.usedPages(seen)
	}
	return used
}
