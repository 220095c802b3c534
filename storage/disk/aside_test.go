package disk

import (
	"errors"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestFaultInCompare compares a file with its copy while each operation fails in turn: what could not be read is neither the same nor another.
func TestFaultInCompare(t *testing.T) {
	inner := memfs.New()
	for name, content := range map[string]string{"file": "0123456789", "copy": "3456", "other": "3457", "short": "345"} {
		if err := inner.SetContents(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]bool{"copy": true, "other": false, "short": false, "none": false} {
		for n := 1; ; n++ {
			fs := errfs.New(inner, errfs.Fault{Nth: n, Err: syscall.EIO})
			same, err := sameBytes(fs, "file", 3, 7, name)
			if fs.Injected() == 0 {
				if same != want || err != nil || n < 2 {
					t.Errorf("%s: got %v, %v after %d faults, want %v", name, same, err, n-1, want)
				}
				break
			}
			if hit := fs.Hits()[0]; err == nil && same != want || err != nil && (same || !errors.Is(err, syscall.EIO)) {
				t.Errorf("%s, %v: got %v, %v", name, hit, same, err)
			}
		}
	}
}
