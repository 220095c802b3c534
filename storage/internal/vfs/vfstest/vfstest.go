// Package vfstest says what every vfs.FS has to do, as tests. Durability is not in it: that shows only in a crash, see package memfs.
package vfstest

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// TestFS runs the conformance tests. open returns an empty file system, a new one for each call; what it holds is freed in t.Cleanup.
func TestFS(t *testing.T, open func(t *testing.T) vfs.FS) {
	cases := []struct {
		name string
		run  func(t *testing.T, f vfs.FS)
	}{
		{"Create", testCreate},
		{"Open", testOpen},
		{"Mkdir", testMkdir},
		{"List", testList},
		{"Rename", testRename},
		{"RenameRefused", testRenameRefused},
		{"Link", testLink},
		{"LinkRefused", testLinkRefused},
		{"Remove", testRemove},
		{"SyncDir", testSyncDir},
		{"Lock", testLock},
		{"LockShared", testLockShared},
		{"Names", testNames},
		{"ReadAt", testReadAt},
		{"WriteAt", testWriteAt},
		{"WriteBehind", testWriteBehind},
		{"Truncate", testTruncate},
		{"Allocate", testAllocate},
		{"TwoHandles", testTwoHandles},
		{"ReadOnly", testReadOnly},
		{"Closed", testClosed},
		{"Concurrent", testConcurrent},
		{"Random", testRandom},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// want checks an error: nil, or one that is target and carries a path.
func want(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("%s: got error %v, want %v", what, err, target)
	}
	wantPath(t, what, err)
}

// wantPath checks that an error is or wraps a *fs.PathError.
func wantPath(t *testing.T, what string, err error) {
	t.Helper()
	var located *fs.PathError
	if err != nil && !errors.As(err, &located) {
		t.Errorf("%s: got error %#v, want a *fs.PathError in it", what, err)
	}
}

// wantSome checks that there is an error, with a path, where the systems differ in which.
func wantSome(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s: got no error", what)
	}
	wantPath(t, what, err)
}

// create makes a file with content and leaves it open until the test ends.
func create(t *testing.T, f vfs.FS, name, content string) vfs.File {
	t.Helper()
	h, err := f.Create(name)
	want(t, "create "+name, err, nil)
	t.Cleanup(func() { _ = h.Close() }) // some tests have closed it
	if content != "" {
		n, err := h.WriteAt([]byte(content), 0)
		want(t, "write "+name, err, nil)
		if n != len(content) {
			t.Fatalf("write %s: got %d bytes written without an error, want %d", name, n, len(content))
		}
	}
	return h
}

// contents reads a file by its name.
func contents(t *testing.T, f vfs.FS, name string) string {
	t.Helper()
	h, err := f.Open(name, vfs.ReadOnly)
	want(t, "open "+name, err, nil)
	p := read(t, h)
	want(t, "close "+name, h.Close(), nil)
	return string(p)
}

// read reads all of an open file.
func read(t *testing.T, h vfs.File) []byte {
	t.Helper()
	size, err := h.Size()
	want(t, "size", err, nil)
	p := make([]byte, size)
	n, err := h.ReadAt(p, 0)
	if n != len(p) {
		t.Fatalf("read: got %d bytes and %v, want the %d of the size", n, err, size)
	}
	return p
}

// exists reports whether there is an entry of that name in dir.
func exists(t *testing.T, f vfs.FS, dir, name string) bool {
	t.Helper()
	infos, err := f.List(dir)
	want(t, "list "+dir, err, nil)
	for _, info := range infos {
		if info.Name == name {
			return true
		}
	}
	return false
}
