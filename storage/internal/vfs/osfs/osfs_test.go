package osfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/vfstest"
)

// open opens a new directory until the test ends, and returns where it is.
func open(t *testing.T) (f *FS, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ok(t, f.Close()) })
	return f, dir
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	vfstest.TestFS(t, func(t *testing.T) vfs.FS {
		f, _ := open(t)
		return f
	})
}

func TestOpen(t *testing.T) {
	top := t.TempDir()
	deep := filepath.Join(top, "x", "y", "z")
	if _, err := OpenExisting(deep); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open existing, missing: got %v, want %v", err, fs.ErrNotExist)
	}
	for range 2 {
		f, err := Open(deep)
		ok(t, err)
		h, err := f.Create(fmt.Sprint("a", len(contents(t, deep))))
		ok(t, err)
		ok(t, h.Close())
		ok(t, f.Close())
	}
	f, err := OpenExisting(deep)
	ok(t, err)
	defer f.Close()
	infos, err := f.List(".")
	if err != nil || len(infos) != 2 {
		t.Errorf("opened twice and filled: got %v, %v, want two files", infos, err)
	}
	file := filepath.Join(deep, "a0")
	if _, err := Open(file); !errors.Is(err, vfs.ErrNotRegular) {
		t.Errorf("open a file as a directory: got %v, want %v", err, vfs.ErrNotRegular)
	}
	if _, err := Open(filepath.Join(file, "below")); err == nil {
		t.Error("open a directory below a file: got no error")
	}
}

// TestRelative: the directory stays the same when the process goes elsewhere.
func TestRelative(t *testing.T) {
	top := t.TempDir()
	t.Chdir(top)
	f, err := Open("data")
	ok(t, err)
	defer f.Close()
	t.Chdir(t.TempDir())
	held, err := f.Lock("me")
	ok(t, err)
	ok(t, held.Close())
	if got := contents(t, filepath.Join(top, "data")); !slices.Contains(got, vfs.LockName) {
		t.Errorf("in the directory: got %q, want %q among it", got, vfs.LockName)
	}
}

// TestMkdirOfWhatIsThere: a directory is made that is there already, a file is in the way for good, and what could not be looked at is in the way as long as that lasts.
func TestMkdirOfWhatIsThere(t *testing.T) {
	f, dir := open(t)
	ok(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	ok(t, f.Mkdir("d"))
	ok(t, f.Mkdir("d"))
	exists := f.Mkdir("file")
	if !errors.Is(exists, fs.ErrExist) {
		t.Fatalf("mkdir over a file: got %v, want %v", exists, fs.ErrExist)
	}
	for _, name := range []string{"file", "d"} {
		info, err := f.root.Lstat(name)
		ok(t, err)
		if err := inTheWay(exists, info, nil); (err == nil) != info.IsDir() || err != nil && err != exists {
			t.Errorf("%s is there: got %v", name, err)
		}
		shortage := &fs.PathError{Op: "lstat", Path: name, Err: syscall.EMFILE}
		if err := inTheWay(exists, nil, shortage); !errors.Is(err, shortage) || errors.Is(err, fs.ErrExist) {
			t.Errorf("%s could not be looked at: got %v, want %v", name, err, shortage)
		}
	}
}

func contents(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	ok(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestListIsBounded(t *testing.T) {
	f, _ := open(t)
	for i := range 5 {
		h, err := f.Create(fmt.Sprint(i))
		ok(t, err)
		ok(t, h.Close())
	}
	if names, err := f.names(".", 5); err != nil || len(names) != 5 {
		t.Errorf("as many as the limit: got %q, %v", names, err)
	}
	if _, err := f.names(".", 4); !errors.Is(err, ErrTooManyEntries) {
		t.Errorf("one more than the limit: got %v, want %v", err, ErrTooManyEntries)
	}
}

// TestLinkBetweenDirectories: a file gets a name in another directory of the same device, and a planted link is no way out of it.
func TestLinkBetweenDirectories(t *testing.T) {
	a, _ := open(t)
	b, dir := open(t)
	h, err := a.Create("x")
	ok(t, err)
	ok(t, h.Close())
	if err := a.Link("x", b, "y"); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no links here: ", err)
	} else {
		ok(t, err)
	}
	h, err = a.Open("x", vfs.ReadWrite)
	ok(t, err)
	defer h.Close()
	_, err = h.WriteAt([]byte("shared"), 0)
	ok(t, err)
	if got, err := os.ReadFile(filepath.Join(dir, "y")); string(got) != "shared" || err != nil {
		t.Errorf("under the other name: got %q, %v", got, err)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "out")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	if err := a.Link("x", b, "out/y"); !errors.Is(err, vfs.ErrNotRegular) {
		t.Errorf("through a symbolic link: got %v, want %v", err, vfs.ErrNotRegular)
	}
}
