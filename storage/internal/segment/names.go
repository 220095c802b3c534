package segment

import (
	"fmt"
	"sync"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// names makes the directories of partitions, and their names durable. A sync of seg/ covers all that were made before it, so that
// a checkpoint of many new partitions syncs it once.
type names struct {
	fs     vfs.FS
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
		if err := n.fs.Mkdir("seg"); err != nil {
			return 0, fmt.Errorf("make directory of segments: %w", err)
		}
	}
	if err := n.fs.Mkdir(dir); err != nil {
		return 0, fmt.Errorf("make directory of a partition: %w", err)
	}
	n.made++
	return n.made, nil
}

// sync makes the directory that mkdir numbered so durable. It is never tried again after it failed.
func (n *names) sync(number uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failed != nil || number <= n.synced {
		return n.failed
	}
	if n.synced == 0 {
		if err := n.fs.SyncDir("."); err != nil {
			n.failed = fmt.Errorf("sync directory of the store: %w", err)
			return n.failed
		}
	}
	if err := n.fs.SyncDir("seg"); err != nil {
		n.failed = fmt.Errorf("sync directory of segments: %w", err)
		return n.failed
	}
	n.synced = n.made
	return nil
}
