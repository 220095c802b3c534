package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// leat runs the program.
func leat(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

// fine runs the program, which must end well and say nothing on standard error.
func fine(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := leat(args...)
	if code != exitFine || errs != "" {
		t.Fatalf("leat %q: exit %d, %q, and printed %q", args, code, errs, out)
	}
	return out
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// small has a store that fills several segments with little.
func small() disk.Options {
	return disk.Options{MemoryBytes: 8 << 20, Tuning: disk.Tuning{SlotBytes: 64 << 10, JournalBytes: 256 << 10, SegmentBytes: 64 << 10, CheckpointEvery: -1}}
}

// newStore makes a store with two topics and a group, and returns where it is, open.
func newStore(t *testing.T) (dir string, st *disk.Store) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "store")
	st, err := disk.Open(dir, small())
	ok(t, err)
	ctx := t.Context()
	orders, err := st.CreateTopic(ctx, storage.TopicSpec{Name: "orders", Partitions: 3})
	ok(t, err)
	logs := storage.Strategy{Sync: storage.SyncInterval(time.Second), Cleanup: storage.CleanupPolicy{MaxAge: 24 * time.Hour, MaxBytes: 1 << 30}}
	_, err = st.CreateTopic(ctx, storage.TopicSpec{Name: "logs", Partitions: 1, Strategy: logs, Settings: []byte("x")})
	ok(t, err)
	billing, err := st.CreateGroup(ctx, "billing")
	ok(t, err)
	_, err = st.CreateGroup(ctx, "shipping")
	ok(t, err)
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	for n := range 4 {
		p := orders.Partition(n % 2)
		r := storage.Record{Key: fmt.Append(nil, "customer ", n), Value: fmt.Append(nil, "order ", n), Timestamp: at}
		r.Headers = storage.AppendHeader(r.Headers, "trace", []byte{0xff, byte(n)})
		_, err := st.Append(ctx, &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: []storage.Record{r, {Value: []byte("plain\n")}}}}})
		ok(t, err)
	}
	_, err = st.Append(ctx, &storage.Entry{Cursors: []storage.Cursor{{
		Group: billing.ID, Partition: orders.Partition(0), Floor: 1, Passed: 2, Done: []storage.Range{{From: 2, To: 3}}, Failed: []storage.Failure{{Offset: 1, Attempts: 2}},
	}}})
	ok(t, err)
	return dir, st
}

// closed is newStore, closed.
func closed(t *testing.T) string {
	t.Helper()
	dir, st := newStore(t)
	ok(t, st.Close(context.Background()))
	return dir
}

// killed is newStore as a kill would leave it.
func killed(t *testing.T) string {
	t.Helper()
	dir, st := newStore(t)
	killed := filepath.Join(t.TempDir(), "killed")
	ok(t, os.CopyFS(killed, os.DirFS(dir)))
	ok(t, st.Close(context.Background()))
	return killed
}

// stable replaces what differs from run to run.
func stable(s, dir string) string {
	s = strings.ReplaceAll(s, dir, "DIR")
	s = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z`).ReplaceAllString(s, "TIME")
	s = regexp.MustCompile(`\b[0-9a-f]{16}\b(,|")`).ReplaceAllString(s, "ID$1")
	return regexp.MustCompile(`"seconds": [0-9.e-]+`).ReplaceAllString(s, `"seconds": 0`)
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if want = strings.TrimPrefix(want, "\n"); got != want {
		t.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
	}
}

func TestUsage(t *testing.T) {
	dir := closed(t)
	cases := []struct {
		args           []string
		code           int
		stdout, stderr string // parts
	}{
		{nil, exitMisused, "", "usage: leat COMMAND"},
		{[]string{"help"}, exitFine, "  verify DIR", ""},
		{[]string{"-h"}, exitFine, "  verify DIR", ""},
		{[]string{"help", "dump"}, exitFine, "-limit number", ""},
		{[]string{"dump", "-h"}, exitFine, "-limit number", ""},
		{[]string{"verify", dir, "-help"}, exitFine, "-rate MiB", ""},
		{[]string{"vrify"}, exitMisused, "", `no command "vrify"`},
		{[]string{"help", "vrify"}, exitMisused, "", `no command "vrify"`},
		{[]string{"inspect"}, exitMisused, "", "DIR is missing"},
		{[]string{"inspect", dir, dir}, exitMisused, "", "is too much"},
		{[]string{"mend", dir}, exitMisused, "", "COPY is missing"},
		{[]string{"inspect", "-x", dir}, exitMisused, "", "-x"},
		{[]string{"verify", "-rate", "-1", dir}, exitMisused, "", "negative"},
		{[]string{"dump", "-limit", "-1", dir}, exitMisused, "", "negative"},
		{[]string{"dump", "-partition", "0", dir}, exitMisused, "", "without -topic"},
		{[]string{"dump", "-raw", "-json", dir}, exitMisused, "", "together"},
		{[]string{"dump", "-since", "today", dir}, exitMisused, "", "is no time"},
		{[]string{"dump", "-topic", "none", dir}, exitFailed, "", `there are "orders", "logs"`},
		{[]string{"dump", "-topic", "orders", "-partition", "3", dir}, exitFailed, "", "it has 0 to 2"},
		{[]string{"inspect", filepath.Join(dir, "none")}, exitFailed, "", "is that the directory of a store?"},
		{[]string{"inspect", t.TempDir()}, exitFailed, "", "no store in the directory"},
		{[]string{"compact", filepath.Join(dir, "none")}, exitFailed, "", "is that the directory of a store?"},
		{[]string{"mend", t.TempDir(), dir}, exitFailed, "", "no store in the directory"},
		{[]string{"mend", dir, filepath.Join(dir, "none")}, exitFailed, "", "no such file"},
	}
	for _, c := range cases {
		code, out, errs := leat(c.args...)
		if code != c.code || !strings.Contains(out, c.stdout) || !strings.Contains(errs, c.stderr) || (c.stderr == "") != (errs == "") || (c.stdout == "") != (out == "") {
			t.Errorf("leat %q: exit %d, printed %q and %q, want exit %d, %q and %q", c.args, code, out, errs, c.code, c.stdout, c.stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("a directory was made")
	}
}

// TestInUse: what has the directory open is named, and what to do.
func TestInUse(t *testing.T) {
	dir, st := newStore(t)
	for _, command := range []string{"inspect", "dump", "verify", "compact", "salvage"} {
		code, out, errs := leat(command, dir)
		if code != exitFailed || out != "" || !strings.Contains(errs, "in use by process") || !strings.Contains(errs, "close the program") {
			t.Errorf("leat %s: exit %d, printed %q and %q, want the holder and what to do", command, code, out, errs)
		}
	}
	ok(t, st.Close(context.Background()))
}

// state describes everything in a directory.
func state(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	ok(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		ok(t, err)
		info, err := d.Info()
		ok(t, err)
		fmt.Fprintln(&all, path, info.Mode(), info.ModTime())
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			ok(t, err)
			fmt.Fprintf(&all, "%d %x\n", len(b), sha256.Sum256(b))
		}
		return nil
	}))
	return all.String()
}

// TestReadingChangesNothing: of no directory, however it was left.
func TestReadingChangesNothing(t *testing.T) {
	for name, dir := range map[string]string{"closed": closed(t), "killed": killed(t)} {
		before := state(t, dir)
		for _, command := range []string{"inspect", "dump", "verify"} {
			fine(t, command, dir)
			fine(t, command, "-json", dir)
			if after := state(t, dir); after != before {
				t.Errorf("leat %s on a store that was %s: it changed the directory", command, name)
			}
		}
	}
}

// decode reads JSON that has the fields of v and no others.
func decode(t *testing.T, s string, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(s))
	d.DisallowUnknownFields()
	ok(t, d.Decode(v))
}
