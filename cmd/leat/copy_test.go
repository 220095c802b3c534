package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSnapshotAndRestore: the copy has what the store has, and so has what is restored of it; nothing is written over.
func TestSnapshotAndRestore(t *testing.T) {
	dir, top := killed(t), t.TempDir()
	backup, again := filepath.Join(top, "backup"), filepath.Join(top, "again")
	want := fine(t, "dump", "-raw", dir)
	if out := fine(t, "snapshot", dir, backup); !strings.Contains(out, "8 records") {
		t.Errorf("snapshot: got %q", out)
	}
	var c copied
	decode(t, fine(t, "restore", "-json", backup, again), &c)
	if c.Records != 8 || c.Files == 0 || c.Damage == nil {
		t.Errorf("restore: got %+v", c)
	}
	for _, copied := range []string{backup, again} {
		if got := fine(t, "dump", "-raw", copied); got != want {
			t.Errorf("%s: got %q, want %q", filepath.Base(copied), got, want)
		}
		fine(t, "verify", copied)
	}
	for _, args := range [][]string{{"snapshot", dir, again}, {"restore", backup, again}} {
		if code, out, errs := leat(args...); code != exitFailed || out != "" || !strings.Contains(errs, "not empty") {
			t.Errorf("leat %q: exit %d, %q and %q, want it refused", args, code, out, errs)
		}
	}
	for _, args := range [][]string{{"snapshot", dir}, {"restore", backup}, {"restore", "-rate", "-1", backup, again}, {"snapshot", "-rate", "-1", dir, again}} {
		if code, _, _ := leat(args...); code != exitMisused {
			t.Errorf("leat %q: exit %d, want %d", args, code, exitMisused)
		}
	}
}

// TestSnapshotOfDamage: there is none, unless it is asked for what is whole.
func TestSnapshotOfDamage(t *testing.T) {
	dir, backup := closed(t), filepath.Join(t.TempDir(), "backup")
	found, err := filepath.Glob(filepath.Join(dir, "seg", "00000000", "*"))
	ok(t, err)
	flip(t, found[0], 4096+70)
	if code, _, errs := leat("snapshot", dir, backup); code != exitFailed || !strings.Contains(errs, "damaged") {
		t.Errorf("exit %d, %q, want the damage", code, errs)
	}
	ok(t, os.RemoveAll(backup))
	if code, out, _ := leat("snapshot", "-accept-damage", dir, backup); code != exitFailed || !strings.Contains(out, "damaged: seg/00000000/") {
		t.Errorf("accepted: exit %d, got %q", code, out)
	}
}
