package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

func TestInspect(t *testing.T) {
	dir := closed(t)
	same(t, "text", stable(fine(t, "inspect", dir), dir), `
directory   DIR
store       ID, format 1
state       closed cleanly
checkpoint  number 2
journal     256.0 KiB in 4 files
segments    16.0 KiB in 2 files

TOPIC   PARTITIONS  RECORDS  BYTES     SEGMENTS  LEVEL            SYNC      CLEANUP
orders  3           8        16.0 KiB  2         memory and disk  always    keeps everything
logs    1           0        0 B       0         memory and disk  every 1s  at most 24h0m0s, at most 1.0 GiB a partition

TOPIC   PARTITION  FIRST  NEXT  RECORDS  BYTES    SEGMENTS
orders  0          0      4     4        8.0 KiB  1
orders  1          0      4     4        8.0 KiB  1
orders  2          0      0     0        0 B      0
logs    0          0      0     0        0 B      0

GROUP     TOPIC             PARTITION  FLOOR  DONE  LAG  FAILED
billing   orders            0          1      2     2    1
shipping  nothing done yet                               
`)
	var i inspection
	decode(t, fine(t, "inspect", "-json", dir), &i)
	if !i.Clean || i.Format != 1 || len(i.Topics) != 2 || i.Topics[0].Parts[1].Next != 4 || i.Topics[1].SettingsBytes != 1 || i.Groups[0].Cursors[0].Lag != 2 ||
		i.Segments.Files != 2 || i.Journal.Files != 4 || i.Damage == nil || i.Foreign == nil {
		t.Errorf("JSON: got %+v", i)
	}
}

// TestInspectKilled: what an open would do is told, and not done.
func TestInspectKilled(t *testing.T) {
	dir := killed(t)
	out := fine(t, "inspect", dir)
	if !strings.Contains(out, "not closed: the next open replays 9 entries with 8 records") {
		t.Errorf("got\n%s", out)
	}
	var i inspection
	decode(t, fine(t, "inspect", "-json", dir), &i)
	if i.Clean || i.Recovery.Entries != 9 || i.Recovery.Records != 8 || i.Topics[0].Records != 8 {
		t.Errorf("JSON: got %+v", i)
	}
}

// TestInspectManyPartitions: they are listed when that is asked for.
func TestInspectManyPartitions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	st, err := disk.Open(dir, small())
	ok(t, err)
	_, err = st.CreateTopic(t.Context(), storage.TopicSpec{Name: "wide", Partitions: 100})
	ok(t, err)
	ok(t, st.Close(context.Background()))
	if out := fine(t, "inspect", dir); !strings.Contains(out, "-all lists them") || strings.Count(out, "\n") > 20 {
		t.Errorf("got\n%s", out)
	}
	if out := fine(t, "inspect", "-all", dir); strings.Count(out, "wide") != 101 {
		t.Errorf("with -all: got\n%s", out)
	}
}

// TestInspectForeign: what is not the store's is named, and no damage.
func TestInspectForeign(t *testing.T) {
	dir := killed(t)
	ok(t, os.WriteFile(filepath.Join(dir, "journal", "notes.txt"), []byte("mine"), 0o600))
	if out := fine(t, "inspect", dir); !strings.Contains(out, "journal/notes.txt") {
		t.Errorf("got\n%s", out)
	}
}

// TestInspectExposed: a directory that others may write in is told of.
func TestInspectExposed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such permissions")
	}
	dir := closed(t)
	ok(t, os.Chmod(dir, 0o777))
	if out := fine(t, "inspect", dir); !strings.Contains(out, "others may write") {
		t.Errorf("got\n%s", out)
	}
}

func TestCleanupText(t *testing.T) {
	for want, c := range map[string]storage.CleanupPolicy{
		"keeps everything": {},
		"at most 5 records a partition, not before every group is done": {MaxRecords: 5, HoldForGroups: true},
		"until every group is done":                                     {WhenDone: true},
		"the latest of each key, tombstones for 24h0m0s":                {LatestByKey: true},
	} {
		if got := cleanup(&c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
