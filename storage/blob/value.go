package blob

import (
	"fmt"
	"io"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// Value is a value that is read, from its beginning to its end. It must be closed, and is not for concurrent use. What it reads is not compared with its name.
type Value struct {
	io.Reader
	f vfs.File
}

// Open begins to read a value. fs.ErrNotExist if it is not there.
func (d *Dir) Open(n Name) (*Value, error) {
	f, err := d.fs.Open(n.file(), vfs.ReadOnly)
	if err != nil {
		return nil, fmt.Errorf("blob: %w", err)
	}
	return &Value{io.NewSectionReader(f, 0, 1<<62), f}, nil
}

// Close ends it.
func (v *Value) Close() error { return v.f.Close() }
