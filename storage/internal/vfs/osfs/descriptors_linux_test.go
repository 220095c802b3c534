package osfs

import (
	"errors"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// TestDescriptors: nothing stays open, whatever succeeded or failed.
func TestDescriptors(t *testing.T) {
	f, _ := open(t)
	round := func() {
		h, err := f.Create("a")
		ok(t, err)
		ok(t, h.SyncData())
		_, err = f.Create("a")
		if err == nil {
			t.Fatal("create twice: got no error")
		}
		ok(t, f.Mkdir("d"))
		ok(t, f.SyncDir("d"))
		_, err = f.Open("d", vfs.ReadWrite)
		if err == nil {
			t.Fatal("open a directory: got no error")
		}
		held, err := f.Lock("me")
		ok(t, err)
		if _, err = f.Lock("me"); err == nil {
			t.Fatal("lock twice: got no error")
		}
		_, err = f.List(".")
		ok(t, errors.Join(err, held.Close(), h.Close(), f.Remove("a"), f.Remove("d")))
	}
	round()
	before := len(contents(t, "/proc/self/fd"))
	for range 10 {
		round()
	}
	if after := len(contents(t, "/proc/self/fd")); after != before {
		t.Errorf("open descriptors: got %d, want the %d from before", after, before)
	}
}
