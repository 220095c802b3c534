package osfs

import "os"

// file is an open regular file. It is an os.File with the calls of vfs.File and no others, so that nobody finds a file pointer.
type file struct {
	h *os.File

	behind writeBehind
}

func (f *file) ReadAt(p []byte, off int64) (int, error)  { return f.h.ReadAt(p, off) }
func (f *file) WriteAt(p []byte, off int64) (int, error) { return f.h.WriteAt(p, off) }
func (f *file) Truncate(size int64) error                { return f.h.Truncate(size) }
func (f *file) Allocate(size int64) error                { return allocate(f.h, size) }
func (f *file) WriteBehind(end int64)                    { f.behind.reached(f.h, end) }
func (f *file) SyncData() error                          { return syncData(f.h) }
func (f *file) Close() error                             { return f.h.Close() }

func (f *file) Size() (int64, error) { return sizeOf(f.h) }
