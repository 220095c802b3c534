//go:build !unix

package osfs

import (
	"io/fs"
	"os"
)

// openNonblock has no counterpart: opening a pipe by a file name does not block on Windows.
const openNonblock = 0

// syncDir does nothing: directories cannot be flushed on Windows, the file system journals their entries.
func syncDir(*os.File) error {
	return nil
}

// openToOthers is false: modes do not say there who may write.
func openToOthers(fs.FileMode) bool { return false }
