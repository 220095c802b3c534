package memfs

import (
	"io/fs"
	"path"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// The calls of this file damage a file at rest, behind the back of whoever has it open. They are not operations: they are not counted and
// not seen by the hook. Whatever was not synced in the file becomes durable with them, and in SetContents and Delete the entries of its
// directory.

// Files returns the names of all files, sorted within each directory.
func (f *FS) Files() []string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.root.files("", nil)
}

func (d *inode) files(prefix string, all []string) []string {
	for _, name := range d.names() {
		child := d.entries[name]
		if child.dir {
			all = child.files(prefix+name+"/", all)
			continue
		}
		all = append(all, prefix+name)
	}
	return all
}

// Contents returns a copy of what is in a file.
func (f *FS) Contents(name string) ([]byte, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	node, err := f.findFile(name)
	if err != nil {
		return nil, pathError(vfs.OpRead, name, err)
	}
	p := make([]byte, node.live.size)
	node.live.read(p, 0)
	return p, nil
}

// SetContents replaces what is in a file, which it makes if need be, in a directory that exists.
func (f *FS) SetContents(name string, p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	parent, err := f.parent(name)
	if err != nil {
		return pathError(vfs.OpWrite, name, err)
	}
	parent.syncEntries()
	f.plant(parent, path.Base(name), p)
	return nil
}

// plant puts a file there with its name, both durable.
func (f *FS) plant(parent *inode, name string, p []byte) {
	node := parent.entries[name]
	if node == nil || node.dir {
		node = &inode{id: f.newID()}
		parent.entries[name] = node
	}
	parent.durableEntries[name] = node
	node.live = content{}
	node.live.write(p, 0)
	node.settle()
}

// Delete takes the file away for good.
func (f *FS) Delete(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.findFile(name); err != nil {
		return pathError(vfs.OpRemove, name, err)
	}
	parent, err := f.parent(name)
	if err != nil {
		return pathError(vfs.OpRemove, name, err)
	}
	parent.syncEntries()
	delete(parent.entries, path.Base(name))
	delete(parent.durableEntries, path.Base(name))
	return nil
}

// FlipBit turns over bit 0 to 7 of the byte at off, which must be in the file.
func (f *FS) FlipBit(name string, off int64, bit uint) error {
	return f.damage(name, off, 1, func(c *content) {
		i, at := split(off)
		c.writable(i)[at] ^= 1 << (bit & 7)
	})
}

// ZeroRange overwrites n bytes from off, which must be in the file, with zeros.
func (f *FS) ZeroRange(name string, off, n int64) error {
	return f.damage(name, off, n, func(c *content) {
		change{off: off, n: n}.put(c, 0, n)
	})
}

// Resize cuts the file to size, or extends it with zeros.
func (f *FS) Resize(name string, size int64) error {
	return f.damage(name, 0, 0, func(c *content) { c.resize(max(0, size)) })
}

// damage changes a file that has the bytes [off, off+n).
func (f *FS) damage(name string, off, n int64, edit func(*content)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	node, err := f.findFile(name)
	if err == nil && (off < 0 || n < 0 || n > node.live.size-off) {
		err = fs.ErrInvalid
	}
	if err != nil {
		return pathError(vfs.OpWrite, name, err)
	}
	edit(&node.live)
	node.settle()
	return nil
}

func (f *FS) findFile(name string) (*inode, error) {
	node, err := f.find(name)
	if err == nil && node.dir {
		return nil, vfs.ErrNotRegular
	}
	return node, err
}
