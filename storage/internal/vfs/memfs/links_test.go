package memfs

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// TestLinks: two names of one file share what was synced under either, and each name is durable by itself.
func TestLinks(t *testing.T) {
	f := New()
	x := tester{t, f}
	store, backup := f.Sub("store"), f.Sub("backup")
	h, err := store.Create("a")
	x.ok("create", err)
	x.write(h, "AB", 0)
	x.ok("sync", h.SyncData())
	x.ok("syncdir", store.SyncDir("."))
	x.ok("link", store.Link("a", backup, "b"))
	if got := f.Clone(SyncedOnly, 1).show(t); got != "store/a:AB" {
		t.Errorf("a name that was not synced: got %s", got)
	}
	x.ok("syncdir", backup.SyncDir("."))
	x.write(h, "CD", 1)
	for mode, want := range map[Mode]string{SyncedOnly: "backup/b:AB store/a:AB", Everything: "backup/b:ACD store/a:ACD"} {
		image := f.Clone(mode, 1)
		if got := image.show(t); got != want {
			t.Errorf("%v: got %s, want %s", mode, got, want)
		}
		one, err := image.Open("backup/b", vfs.ReadWrite)
		x.ok("open", err)
		if _, err := one.WriteAt([]byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		if b, err := image.Contents("store/a"); err != nil || b[0] != 'x' {
			t.Errorf("%v: two names of one file are two files after a crash: %q, %v", mode, b[:1], err)
		}
	}
	x.ok("remove", store.Remove("a"))
	x.ok("syncdir", store.SyncDir("."))
	x.ok("sync", h.SyncData())
	if got := f.Crash(SyncedOnly, 1).show(t); got != "backup/b:ACD" {
		t.Errorf("after one name was removed: got %s", got)
	}
}

// TestLinkBetweenFileSystems: there is none.
func TestLinkBetweenFileSystems(t *testing.T) {
	f := New()
	tester{t, f}.create("a")
	if err := f.Link("a", New(), "b"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, want %v", err, errors.ErrUnsupported)
	}
}

// TestSubLocks: each Sub has a lock of its own.
func TestSubLocks(t *testing.T) {
	f := New()
	a, err := f.Sub("a").Lock("me")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Sub("b").Lock("you"); err != nil {
		t.Error(err)
	}
	var held *vfs.HeldError
	if _, err := f.Sub("a").Lock("you"); !errors.As(err, &held) || held.Holder != "me" {
		t.Errorf("got %v, want it held", err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed twice: got %v", err)
	}
	if _, err := f.Sub("a").Lock("you"); err != nil {
		t.Error(err)
	}
}

// TestLinkTakesNoSpace: pages are counted once, whatever their names.
func TestLinkTakesNoSpace(t *testing.T) {
	f := New()
	x := tester{t, f}
	f.SetCapacity(3 * pageSize)
	h := x.create("a")
	x.write(h, "AAAAAAAABBBBBBBB", 0)
	x.ok("link", f.Link("a", f, "b"))
	x.write(h, "CCCCCCCC", 16)
}
