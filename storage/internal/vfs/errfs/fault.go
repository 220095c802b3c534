package errfs

import (
	"slices"
	"strings"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// Fault says which operations go wrong and how. The zero Fault meets the first operation and does nothing to it but count.
type Fault struct {
	Kinds  []vfs.Kind // of these kinds only; none means all
	Prefix string     // of names that begin with it only
	Nth    int        // the n-th operation that fits, from 1; 0 is 1
	Always bool       // and every one after it that fits

	// Err is what the operation fails with, wrapped in a *fs.PathError, instead of being done. Closing is done all the same. nil lets
	// the operation through.
	Err error
	// Short has a write put its first half down before it fails. It means nothing to other operations.
	Short bool
	// Before is called first, on the goroutine of the caller and with no lock held. As long as it does not return, the operation is stalled.
	Before func(vfs.Op)
}

// armed is a fault that counts what fitted it.
type armed struct {
	Fault
	fitted int
}

// due counts op if it fits and reports whether this is one that goes wrong.
func (a *armed) due(op vfs.Op) bool {
	if len(a.Kinds) > 0 && !slices.Contains(a.Kinds, op.Kind) || !strings.HasPrefix(op.Name, a.Prefix) {
		return false
	}
	a.fitted++
	nth := max(1, a.Nth)
	return a.fitted == nth || a.Always && a.fitted > nth
}
