package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// nobody is the user as whom the tests look at files when root runs them: root may write everywhere.
const nobody = 65534

// unprivileged calls act, and what it calls on the same goroutine, without the rights of root over files.
func unprivileged(act func()) {
	if os.Geteuid() != 0 {
		act()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		act()
	}()
	<-done
}

// TestNoPermissionToWrite: a directory that this user may not write to is opened to be read, and refused for writing before anything happened.
func TestNoPermissionToWrite(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "store")
	im, _ := stopped(t, 0)
	export(t, im, dir)
	for name := range tree(t, dir) {
		if os.Geteuid() == 0 {
			must(t, os.Chown(name, nobody, nobody))
			must(t, os.Chmod(filepath.Dir(top), 0o755))
		}
		info, err := os.Stat(name)
		must(t, err)
		mode := fs.FileMode(0o400)
		if info.IsDir() {
			mode = 0o500
			t.Cleanup(func() { _ = os.Chmod(name, 0o700) }) // so that it can be deleted
		}
		must(t, os.Chmod(name, mode))
	}
	check := untouched(t, dir)
	unprivileged(func() { onlyReadable(t, dir) })
	check("refused and read")
}

// onlyReadable checks both opens of a directory that cannot be written to.
func onlyReadable(t *testing.T, dir string) {
	if _, err := disk.Open(dir, tiny()); !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("open for writing: got %v, want %v", err, storage.ErrReadOnly)
	}
	if _, err := disk.Open(filepath.Join(dir, "new"), tiny()); !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("open of a new directory: got %v, want %v", err, storage.ErrReadOnly)
	}
	st, err := disk.OpenReadOnly(dir, tiny())
	if err != nil {
		t.Errorf("open to read: %v", err)
		return
	}
	if n := readAll(t, st); n == 0 {
		t.Error("no records: the test is vacuous")
	}
	refuses(t, st)
	if err := st.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}

// TestReadOnlyMedium: the same of a file system that is mounted to be read.
func TestReadOnlyMedium(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	at := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "none", at).CombinedOutput(); err != nil {
		t.Skipf("mounting is not allowed here: %v: %s", err, strings.TrimSpace(string(out)))
	}
	t.Cleanup(func() { command(t, "umount", at) })
	im, _ := stopped(t, 0)
	export(t, im, filepath.Join(at, "store"))
	check := untouched(t, at)
	command(t, "mount", "-o", "remount,ro", at)
	onlyReadable(t, filepath.Join(at, "store"))
	check("refused and read")
}
