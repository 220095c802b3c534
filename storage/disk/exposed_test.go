//go:build unix

package disk_test

import (
	"os"
	"testing"

	"github.com/leatmq/leat/storage/disk"
)

// A directory that others may write in is opened, and the report says so.
func TestExposedDirectoryIsReported(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []os.FileMode{0o700, 0o777} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		st, err := disk.Open(dir, disk.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := st.Report().Exposed, mode == 0o777; got != want {
			t.Errorf("mode %#o: exposed %v, want %v", mode, got, want)
		}
		closeStore(t, st)
	}
}
