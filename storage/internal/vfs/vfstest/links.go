package vfstest

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
)

func testLink(t *testing.T, f vfs.FS) {
	h := create(t, f, "a", "first")
	want(t, "mkdir", f.Mkdir("d"), nil)
	if err := f.Link("a", f, "d/b"); errors.Is(err, errors.ErrUnsupported) {
		if exists(t, f, "d", "b") {
			t.Error("an unsupported link left a name")
		}
		t.Skip("no links here: ", err)
	} else {
		want(t, "link", err, nil)
	}
	_, err := h.WriteAt([]byte("F"), 0)
	want(t, "write", err, nil)
	for _, name := range []string{"a", "d/b"} {
		if got := contents(t, f, name); got != "First" {
			t.Errorf("%s after a write under the other name: got %q", name, got)
		}
	}
	want(t, "remove", f.Remove("a"), nil)
	if got := contents(t, f, "d/b"); got != "First" {
		t.Errorf("after the first name was removed: got %q", got)
	}
	infos, err := f.List("d")
	want(t, "list", err, nil)
	if len(infos) != 1 || infos[0] != (vfs.Info{Name: "b", Size: 5, Regular: true}) {
		t.Errorf("list: got %+v", infos)
	}
}

func testLinkRefused(t *testing.T, f vfs.FS) {
	create(t, f, "a", "a")
	create(t, f, "b", "b")
	want(t, "mkdir", f.Mkdir("d"), nil)
	if err := f.Link("a", f, "c"); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no links here: ", err)
	} else {
		want(t, "link", err, nil)
	}
	want(t, "link of what is missing", f.Link("missing", f, "x"), fs.ErrNotExist)
	want(t, "link over a file", f.Link("a", f, "b"), fs.ErrExist)
	want(t, "link over a directory", f.Link("a", f, "d"), fs.ErrExist)
	want(t, "link into a missing directory", f.Link("a", f, "missing/x"), fs.ErrNotExist)
	want(t, "link of a directory", f.Link("d", f, "x"), vfs.ErrNotRegular)
	want(t, "link below a file", f.Link("a", f, "b/x"), vfs.ErrNotRegular)
	want(t, "link to outside", f.Link("a", f, "../x"), fs.ErrInvalid)
	want(t, "link of what is outside", f.Link("../a", f, "x"), fs.ErrInvalid)
	if got := contents(t, f, "b"); got != "b" {
		t.Errorf("after refused links: got %q", got)
	}
	if exists(t, f, ".", "x") {
		t.Error("a refused link left a name")
	}
}
