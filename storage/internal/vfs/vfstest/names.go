package vfstest

import (
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
)

func testCreate(t *testing.T, f vfs.FS) {
	h := create(t, f, "a", "")
	if size, err := h.Size(); size != 0 || err != nil {
		t.Errorf("size of a new file: got %d, %v, want 0", size, err)
	}
	_, err := h.WriteAt([]byte("kept"), 0)
	want(t, "write", err, nil)
	_, err = f.Create("a")
	want(t, "create what exists", err, fs.ErrExist)
	if got := contents(t, f, "a"); got != "kept" {
		t.Errorf("after a refused create: got %q, want %q", got, "kept")
	}
	want(t, "mkdir", f.Mkdir("d"), nil)
	_, err = f.Create("d")
	want(t, "create over a directory", err, fs.ErrExist)
	_, err = f.Create("missing/a")
	want(t, "create in a missing directory", err, fs.ErrNotExist)
	_, err = f.Create("a/b")
	want(t, "create below a file", err, vfs.ErrNotRegular)
	create(t, f, "d/a", "inner")
	if got := contents(t, f, "d/a"); got != "inner" {
		t.Errorf("in a directory: got %q, want %q", got, "inner")
	}
}

func testOpen(t *testing.T, f vfs.FS) {
	for _, mode := range []vfs.Mode{vfs.ReadOnly, vfs.ReadWrite} {
		_, err := f.Open("missing", mode)
		want(t, "open what is missing", err, fs.ErrNotExist)
		if exists(t, f, ".", "missing") {
			t.Fatal("open made a file")
		}
		_, err = f.Open(".", mode)
		want(t, "open a directory", err, vfs.ErrNotRegular)
	}
	_, err := f.Open("missing/a", vfs.ReadOnly)
	want(t, "open in a missing directory", err, fs.ErrNotExist)
	create(t, f, "file", "")
	_, err = f.Open("file/a", vfs.ReadOnly)
	want(t, "open below a file", err, vfs.ErrNotRegular)

	want(t, "close", create(t, f, "a", "before").Close(), nil)
	h, err := f.Open("a", vfs.ReadWrite)
	want(t, "open", err, nil)
	_, err = h.WriteAt([]byte("AF"), 2)
	want(t, "write", err, nil)
	want(t, "sync", h.SyncData(), nil)
	want(t, "close", h.Close(), nil)
	if got := contents(t, f, "a"); got != "beAFre" {
		t.Errorf("after reopening and writing: got %q, want %q", got, "beAFre")
	}
}

func testMkdir(t *testing.T, f vfs.FS) {
	want(t, "mkdir", f.Mkdir("d"), nil)
	create(t, f, "d/a", "x")
	want(t, "mkdir again", f.Mkdir("d"), nil)
	if got := contents(t, f, "d/a"); got != "x" {
		t.Errorf("after mkdir of what exists: got %q, want %q", got, "x")
	}
	want(t, "mkdir inside", f.Mkdir("d/e"), nil)
	want(t, "mkdir of the whole", f.Mkdir("."), nil)
	want(t, "mkdir over a file", f.Mkdir("d/a"), fs.ErrExist)
	want(t, "mkdir in a missing directory", f.Mkdir("missing/d"), fs.ErrNotExist)
	want(t, "mkdir below a file", f.Mkdir("d/a/e"), vfs.ErrNotRegular)
}

func testList(t *testing.T, f vfs.FS) {
	if infos, err := f.List("."); len(infos) != 0 || err != nil {
		t.Fatalf("list of an empty file system: got %v, %v", infos, err)
	}
	for _, name := range []string{"b", "a10", "a2", "Z"} {
		create(t, f, name, "12345"[:len(name)])
	}
	want(t, "mkdir", f.Mkdir("c"), nil)
	create(t, f, "c/x", "")
	got, err := f.List(".")
	want(t, "list", err, nil)
	wanted := []vfs.Info{
		{Name: "Z", Size: 1, Regular: true},
		{Name: "a10", Size: 3, Regular: true},
		{Name: "a2", Size: 2, Regular: true},
		{Name: "b", Size: 1, Regular: true},
		{Name: "c", IsDir: true},
	}
	for i := range got {
		if got[i].IsDir {
			got[i].Size = 0 // means nothing there
		}
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("list: got %v, want %v", got, wanted)
	}
	if !exists(t, f, "c", "x") {
		t.Error("list of an inner directory: its file is missing")
	}
	_, err = f.List("missing")
	want(t, "list what is missing", err, fs.ErrNotExist)
	_, err = f.List("b")
	want(t, "list a file", err, vfs.ErrNotRegular)
}

func testRename(t *testing.T, f vfs.FS) {
	want(t, "mkdir", f.Mkdir("d"), nil)
	for _, dir := range []string{"", "d/"} {
		from, to := dir+"new", dir+"old"
		want(t, "close", create(t, f, from, "new content").Close(), nil)
		want(t, "close", create(t, f, to, "old").Close(), nil)
		want(t, "rename over a file", f.Rename(from, to), nil)
		if got := contents(t, f, to); got != "new content" {
			t.Errorf("renamed to %s: got %q, want %q", to, got, "new content")
		}
		_, err := f.Open(from, vfs.ReadOnly)
		want(t, "open the name before", err, fs.ErrNotExist)
		want(t, "rename to a free name", f.Rename(to, from), nil)
		if got := contents(t, f, from); got != "new content" {
			t.Errorf("renamed to %s: got %q, want %q", from, got, "new content")
		}
		want(t, "rename to itself", f.Rename(from, from), nil)
		if got := contents(t, f, from); got != "new content" {
			t.Errorf("renamed to itself: got %q, want %q", got, "new content")
		}
	}
	want(t, "rename a directory", f.Rename("d", "e"), nil)
	if got := contents(t, f, "e/new"); got != "new content" {
		t.Errorf("in a renamed directory: got %q, want %q", got, "new content")
	}
}

func testRenameRefused(t *testing.T, f vfs.FS) {
	want(t, "mkdir", f.Mkdir("d"), nil)
	want(t, "close", create(t, f, "a", "a").Close(), nil)
	want(t, "close", create(t, f, "d/b", "b").Close(), nil)
	want(t, "rename what is missing", f.Rename("missing", "x"), fs.ErrNotExist)
	want(t, "rename to another directory", f.Rename("a", "d/a"), fs.ErrInvalid)
	want(t, "rename the whole", f.Rename(".", "x"), fs.ErrInvalid)
	want(t, "rename to the whole", f.Rename("a", "."), fs.ErrInvalid)
	want(t, "rename onto a directory", f.Rename("a", "d"), fs.ErrExist)
	wantSome(t, "rename a directory onto a file", f.Rename("d", "a"))
	if a, b := contents(t, f, "a"), contents(t, f, "d/b"); a != "a" || b != "b" {
		t.Errorf("after refused renames: got %q and %q, want both as before", a, b)
	}
}

func testRemove(t *testing.T, f vfs.FS) {
	want(t, "close", create(t, f, "a", "a").Close(), nil)
	want(t, "mkdir", f.Mkdir("d"), nil)
	want(t, "close", create(t, f, "d/b", "b").Close(), nil)
	want(t, "remove what is missing", f.Remove("missing"), fs.ErrNotExist)
	wantSome(t, "remove a directory that is not empty", f.Remove("d"))
	wantSome(t, "remove the whole", f.Remove("."))
	want(t, "remove a file", f.Remove("a"), nil)
	want(t, "remove an inner file", f.Remove("d/b"), nil)
	want(t, "remove an empty directory", f.Remove("d"), nil)
	if infos, err := f.List("."); len(infos) != 0 || err != nil {
		t.Errorf("after removing everything: got %v, %v", infos, err)
	}
	h := create(t, f, "a", "")
	if size, err := h.Size(); size != 0 || err != nil {
		t.Errorf("a file made anew: got size %d, %v, want 0", size, err)
	}
}

func testSyncDir(t *testing.T, f vfs.FS) {
	want(t, "mkdir", f.Mkdir("d"), nil)
	create(t, f, "d/a", "x")
	want(t, "sync of the whole", f.SyncDir("."), nil)
	want(t, "sync of a directory", f.SyncDir("d"), nil)
	want(t, "sync of what is missing", f.SyncDir("missing"), fs.ErrNotExist)
	want(t, "sync of a file", f.SyncDir("d/a"), vfs.ErrNotRegular)
}

func testLock(t *testing.T, f vfs.FS) {
	first, err := f.Lock("the first, 4711")
	want(t, "lock", err, nil)
	for range 2 {
		_, err = f.Lock("the second")
		var held *vfs.HeldError
		if !errors.As(err, &held) {
			t.Fatalf("lock what is locked: got %v, want a *vfs.HeldError", err)
		}
		if held.Holder != "the first, 4711" {
			t.Errorf("holder: got %q, want %q", held.Holder, "the first, 4711")
		}
	}
	want(t, "unlock", first.Close(), nil)
	again, err := f.Lock("3")
	want(t, "lock again", err, nil)
	wantSome(t, "unlock twice", first.Close())
	_, err = f.Lock("4")
	if held := new(vfs.HeldError); !errors.As(err, &held) || held.Holder != "3" {
		t.Errorf("lock after another was closed twice: got %v, want a *vfs.HeldError of 3", err)
	}
	want(t, "unlock", again.Close(), nil)
}

func testLockShared(t *testing.T, f vfs.FS) {
	owner, err := f.Lock("the owner")
	want(t, "lock", err, nil)
	_, err = f.LockShared()
	if held := new(vfs.HeldError); !errors.As(err, &held) || held.Holder != "the owner" {
		t.Errorf("lock shared what has an owner: got %v, want a *vfs.HeldError of it", err)
	}
	want(t, "unlock", owner.Close(), nil)
	first, err := f.LockShared()
	want(t, "lock shared", err, nil)
	second, err := f.LockShared()
	want(t, "lock shared again", err, nil)
	want(t, "unlock the first", first.Close(), nil)
	_, err = f.Lock("me")
	if held := new(vfs.HeldError); !errors.As(err, &held) || held.Holder != vfs.Readers {
		t.Errorf("lock what has a reader: got %v, want a *vfs.HeldError of %s", err, vfs.Readers)
	}
	want(t, "unlock the second", second.Close(), nil)
	owner, err = f.Lock("me")
	want(t, "lock after readers", err, nil)
	want(t, "unlock", owner.Close(), nil)
}

func testNames(t *testing.T, f vfs.FS) {
	want(t, "mkdir", f.Mkdir("a"), nil)
	create(t, f, "a/b", "inner")
	hostile := []string{
		"", "/", "/etc/passwd", "..", "../x", "a/..", "a/../b", "a/../../b", "./a", "a/.", "a//b", "a/", "a/b/", "a/b\x00", "a\nb",
		`a\b`, `..\x`, "C:x", "a:b", "\xff", "a\x7f",
	}
	for _, name := range hostile {
		_, openErr := f.Open(name, vfs.ReadWrite)
		_, createErr := f.Create(name)
		_, listErr := f.List(name)
		errs := map[string]error{
			"open": openErr, "create": createErr, "list": listErr,
			"mkdir": f.Mkdir(name), "remove": f.Remove(name), "syncdir": f.SyncDir(name),
			"rename from": f.Rename(name, "x"), "rename to": f.Rename("a", name),
		}
		for op, err := range errs {
			want(t, op+" "+name, err, fs.ErrInvalid)
		}
	}
	if got := contents(t, f, "a/b"); got != "inner" {
		t.Errorf("after hostile names: got %q, want %q", got, "inner")
	}
}
