package vfs

import "fmt"

// Op is one call to an FS or a File, as the file systems for tests count, fail and stall them.
type Op struct {
	N    int    // from 1, in the order in which the calls began
	Kind Kind   // which method
	Name string // the name that was given, or under which the file was opened; of Rename and Link the source
}

func (o Op) String() string {
	return fmt.Sprintf("#%d %v %q", o.N, o.Kind, o.Name)
}

// Kind says which method an Op is.
type Kind uint8

// The methods of FS, of File and of what Lock returns.
const (
	OpOpen Kind = iota
	OpCreate
	OpMkdir
	OpRename
	OpLink
	OpRemove
	OpList
	OpSyncDir
	OpLock
	OpUnlock
	OpRead
	OpWrite
	OpClose
	OpSize
	OpTruncate
	OpAllocate
	OpSyncData
	kinds
)

var kindNames = [kinds]string{
	"open", "create", "mkdir", "rename", "link", "remove", "list", "syncdir", "lock", "unlock",
	"read", "write", "close", "size", "truncate", "allocate", "syncdata",
}

func (k Kind) String() string {
	if k >= kinds {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return kindNames[k]
}

// Changes reports whether an operation of this kind can change what a crash leaves behind. A crash loop need not stop at the others: before
// and after them the crash is the same.
func (k Kind) Changes() bool {
	switch k {
	case OpCreate, OpMkdir, OpRename, OpLink, OpRemove, OpSyncDir, OpWrite, OpTruncate, OpAllocate, OpSyncData:
		return true
	default:
		return false
	}
}
