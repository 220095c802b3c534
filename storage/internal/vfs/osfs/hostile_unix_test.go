//go:build unix

package osfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// TestModes: 0600 and 0700, whatever the umask takes away or leaves.
func TestModes(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o277, 0o777} {
		top := t.TempDir()
		old := syscall.Umask(mask)
		err := makeSome(filepath.Join(top, "x", "y"))
		syscall.Umask(old)
		ok(t, err)
		for name, want := range map[string]fs.FileMode{"x": 0o700, "x/y": 0o700, "x/y/d": 0o700, "x/y/a": 0o600, "x/y/LOCK": 0o600} {
			info, err := os.Lstat(filepath.Join(top, name))
			ok(t, err)
			if got := info.Mode().Perm(); got != want {
				t.Errorf("umask %#o: %s has mode %#o, want %#o", mask, name, got, want)
			}
		}
	}
}

func makeSome(dir string) error {
	f, err := Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	h, err := f.Create("a")
	if err != nil {
		return err
	}
	held, err := f.Lock("me")
	if err != nil {
		return err
	}
	return errors.Join(h.Close(), f.Mkdir("d"), held.Close())
}

// TestExposed: whoever may write in the directory could forge what is in it.
func TestExposed(t *testing.T) {
	for mode, want := range map[fs.FileMode]bool{0o700: false, 0o755: false, 0o770: true, 0o707: true, 0o702: true} {
		dir := t.TempDir()
		f, err := Open(dir)
		ok(t, err)
		ok(t, os.Chmod(dir, mode))
		if got, err := f.Exposed(); got != want || err != nil {
			t.Errorf("mode %#o: exposed %v, %v, want %v", mode, got, err, want)
		}
		ok(t, f.Close())
	}
}

// plant fills a directory with what an attacker might leave there, and returns a file outside that must stay as it is.
func plant(t *testing.T, dir string) (victim string) {
	t.Helper()
	outside := t.TempDir()
	victim = filepath.Join(outside, "victim")
	ok(t, os.WriteFile(victim, []byte("dear"), 0o644))
	ok(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
	ok(t, os.WriteFile(filepath.Join(dir, "real", "file"), []byte("inside"), 0o600))
	for name, target := range map[string]string{
		"link": "real/file", "out": victim, "climb": "../../../../../../../../etc/passwd", "dangling": "nowhere", "loop": "loop",
		"linkdir": "real", "outdir": outside, "self": ".",
	} {
		ok(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	ok(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	return victim
}

// TestPlanted: links are not followed, be it inside the directory, and FIFOs not waited for.
func TestPlanted(t *testing.T) {
	f, dir := open(t)
	victim := plant(t, dir)
	for _, name := range []string{"link", "out", "climb", "dangling", "loop", "linkdir", "outdir", "self", "fifo"} {
		for _, mode := range []vfs.Mode{vfs.ReadOnly, vfs.ReadWrite} {
			if _, err := f.Open(name, mode); !errors.Is(err, vfs.ErrNotRegular) {
				t.Errorf("open %s: got %v, want %v", name, err, vfs.ErrNotRegular)
			}
		}
		_, createErr := f.Create(name)
		_, listErr := f.List(name)
		for op, got := range map[string]error{"create": createErr, "mkdir": f.Mkdir(name)} {
			if !errors.Is(got, fs.ErrExist) {
				t.Errorf("%s %s: got %v, want %v", op, name, got, fs.ErrExist)
			}
		}
		for op, got := range map[string]error{"list": listErr, "syncdir": f.SyncDir(name)} {
			if !errors.Is(got, vfs.ErrNotRegular) {
				t.Errorf("%s %s: got %v, want %v", op, name, got, vfs.ErrNotRegular)
			}
		}
	}
	for _, name := range []string{"linkdir/file", "outdir/victim", "self/real", "linkdir/new", "outdir/new", "self/real/file", "fifo/x"} {
		_, openErr := f.Open(name, vfs.ReadWrite)
		_, createErr := f.Create(name)
		_, listErr := f.List(name)
		for op, got := range map[string]error{
			"open": openErr, "create": createErr, "list": listErr, "mkdir": f.Mkdir(name), "syncdir": f.SyncDir(name),
			"remove": f.Remove(name), "rename": f.Rename(name, name+"2"),
		} {
			if !errors.Is(got, vfs.ErrNotRegular) {
				t.Errorf("%s %s: got %v, want %v", op, name, got, vfs.ErrNotRegular)
			}
		}
	}
	infos, err := f.List(".")
	ok(t, err)
	for _, info := range infos {
		if info.Regular || info.IsDir != (info.Name == "real") || info.Size != 0 {
			t.Errorf("list: got %+v, want only real as a directory and nothing regular", info)
		}
	}
	if got, err := os.ReadFile(victim); string(got) != "dear" || err != nil {
		t.Errorf("outside: got %q, %v, want it untouched", got, err)
	}
	if names := contents(t, filepath.Dir(victim)); len(names) != 1 {
		t.Errorf("outside: got %q, want only the victim", names)
	}
}

// TestSwapped: what was a file when it was looked at is not when it is opened.
func TestSwapped(t *testing.T) {
	f, dir := open(t)
	plant(t, dir)
	before, err := f.root.Lstat("real/file")
	ok(t, err)
	for _, name := range []string{"fifo", "real", "linkdir"} {
		if h, err := f.open(name, os.O_RDONLY, before); !errors.Is(err, vfs.ErrNotRegular) {
			t.Errorf("%s in the place of a file: got %v, %v, want %v", name, h, err, vfs.ErrNotRegular)
		}
	}
}

// TestLockFilePlanted: the note of the owner is not written through a link of either sort.
func TestLockFilePlanted(t *testing.T) {
	links := map[string]func(target, name string) error{"symbolic": os.Symlink, "hard": os.Link, "fifo": func(_, name string) error {
		return syscall.Mkfifo(name, 0o600)
	}}
	for kind, link := range links {
		f, dir := open(t)
		victim := filepath.Join(filepath.Dir(dir), "victim")
		ok(t, os.WriteFile(victim, []byte("dear"), 0o644))
		ok(t, link(victim, filepath.Join(dir, vfs.LockName)))
		held, err := f.Lock(strings.Repeat("me", 3))
		ok(t, err)
		if got, err := os.ReadFile(victim); string(got) != "dear" || err != nil {
			t.Errorf("%s link: the target became %q, %v", kind, got, err)
		}
		if got := f.holder(); got != "mememe" {
			t.Errorf("%s link: the note is %q, want %q", kind, got, "mememe")
		}
		ok(t, held.Close())
	}
}
