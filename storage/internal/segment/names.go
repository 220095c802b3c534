package segment

import (
	"fmt"
	"sync"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// names makes the directories of partitions, and their names durable. A sync of seg/ covers all that were made before it, so that
// a checkpoint of many new partitions syncs it once.
type names struct {
	dir    *Dir
	mu     sync.Mutex
	made   uint64 // calls of mkdir that returned; guarded by mu
	synced uint64 // how many of these are durable; guarded by mu
	failed error  // of a sync; guarded by mu
}

// mkdir makes the directory of a partition, and seg/ if it is missing. What it returns is for sync.
func (n *names) mkdir(dir string) (uint64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.made == 0 {
		if err := n.dir.fs.Mkdir("seg"); err != nil {
			return 0, fmt.Errorf("make directory of segments: %w", err)
		}
	}
	if err := n.dir.fs.Mkdir(dir); err != nil {
		return 0, fmt.Errorf("make directory of a partition: %w", err)
	}
	n.made++
	return n.made, nil
}

// sync makes the directory that mkdir numbered so durable. It is never tried again after it failed, unless it was not begun.
func (n *names) sync(number uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failed != nil || number <= n.synced {
		return n.failed
	}
	if n.synced == 0 {
		if err := n.dir.syncDir("."); err != nil {
			return n.fail(fmt.Errorf("sync directory of the store: %w", err))
		}
	}
	if err := n.dir.syncDir("seg"); err != nil {
		return n.fail(fmt.Errorf("sync directory of segments: %w", err))
	}
	n.synced = n.made
	return nil
}

func (n *names) fail(err error) error {
	if !vfs.TooManyOpen(err) {
		n.failed = err
	}
	return err
}
