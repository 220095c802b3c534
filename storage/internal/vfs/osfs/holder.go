package osfs

import (
	"io"
	"strconv"
	"strings"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// maxHolder bounds what is read back of the note in vfs.LockName, in bytes.
const maxHolder = 256

// holder reads who says to own the directory. Anything may stand there: it is cut, and what does not print is replaced.
func (f *FS) holder() string {
	h, err := f.Open(vfs.LockName, vfs.ReadOnly)
	if err != nil {
		return "" // the note is for a message, which can do without
	}
	defer h.Close()
	note, err := io.ReadAll(io.NewSectionReader(h, 0, maxHolder))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return ' '
	}, string(note)))
}
