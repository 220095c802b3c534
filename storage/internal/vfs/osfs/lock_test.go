package osfs

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// lockDir is the variable with which the test starts itself as another process that locks the directory and waits to be killed.
const lockDir = "LEAT_TEST_LOCK_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(lockDir); dir != "" {
		os.Exit(lockAndWait(dir))
	}
	os.Exit(m.Run())
}

func lockAndWait(dir string) int {
	f, err := OpenExisting(dir)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if _, err := f.Lock("the other process"); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("locked")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the end of the parent at the latest
	return 0
}

// TestLockOfAnotherProcess: it holds, whatever happens to the file, and ends when the process is killed.
func TestLockOfAnotherProcess(t *testing.T) {
	f, dir := open(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), lockDir+"="+dir)
	stdin, err := child.StdinPipe()
	ok(t, err)
	defer stdin.Close()
	stdout, err := child.StdoutPipe()
	ok(t, err)
	ok(t, child.Start())
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || strings.TrimSpace(line) != "locked" {
		t.Fatalf("the other process said %q, %v", line, err)
	}

	_, err = f.Lock("me")
	var held *vfs.HeldError
	if !errors.As(err, &held) || held.Holder != "the other process" {
		t.Errorf("lock what another process holds: got %v, want a *vfs.HeldError that names it", err)
	}
	if err := os.Remove(filepath.Join(dir, vfs.LockName)); err == nil { // Windows refuses, and that is as good
		if _, err := f.Lock("me"); !errors.As(err, &held) || held.Holder != "" {
			t.Errorf("lock after the file was deleted: got %v, want a *vfs.HeldError without a name", err)
		}
	}
	ok(t, child.Process.Kill())
	if err := child.Wait(); err == nil {
		t.Error("the other process ended well, want it killed")
	}
	mine, err := f.Lock("me")
	ok(t, err)
	ok(t, mine.Close())
}

// TestTwoHandles: two openers in one process exclude each other as two processes do.
func TestTwoHandles(t *testing.T) {
	f, dir := open(t)
	g, err := OpenExisting(dir)
	ok(t, err)
	defer g.Close()
	first, err := f.Lock("the first")
	ok(t, err)
	var held *vfs.HeldError
	if _, err := g.Lock("the second"); !errors.As(err, &held) || held.Holder != "the first" {
		t.Errorf("lock through another handle: got %v, want a *vfs.HeldError of the first", err)
	}
	ok(t, first.Close())
	second, err := g.Lock("the second")
	ok(t, err)
	ok(t, second.Close())
}

// TestHolderIsHostile: whatever stands in the file, the message is short and prints.
func TestHolderIsHostile(t *testing.T) {
	f, dir := open(t)
	held, err := f.Lock("me")
	ok(t, err)
	defer held.Close()
	note := "a\x1b[31m\nb\xff" + strings.Repeat("x", 10_000)
	if err := os.WriteFile(filepath.Join(dir, vfs.LockName), []byte(note), 0o600); err != nil {
		return // Windows refuses: nobody else can write there
	}
	_, err = f.Lock("another")
	var refused *vfs.HeldError
	if !errors.As(err, &refused) {
		t.Fatalf("lock what is locked: got %v, want a *vfs.HeldError", err)
	}
	if got := refused.Holder; len(got) > maxHolder+8 || !strings.HasPrefix(got, "a [31m b") {
		t.Errorf("holder: got %d bytes, %q, want at most %d that print", len(got), got[:20], maxHolder)
	}
}
