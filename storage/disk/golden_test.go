package disk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

var update = flag.Bool("update", false, "write golden directories that do not exist yet; existing ones never change")

// goldens are small directories whose bytes are frozen in testdata/golden/v1: what this version has written must open in every later one, with the same
// content. A directory there never changes. Zeros at the end of a file are left out; SIZES has the sizes, CONTENT what an open shows.
var goldens = map[string]func(*testing.T) *memfs.FS{
	"closed":    goldenClosed,
	"killed":    goldenKilled,
	"trimmed":   goldenTrimmed,
	"dropped":   goldenDropped,
	"holes":     goldenHoles,
	"rewritten": goldenRewritten,
	"snapshot":  goldenSnapshot,
}

func goldenDir(name string) string { return filepath.Join("testdata", "golden", "v1", name) }

func TestGolden(t *testing.T) {
	for name, make := range goldens {
		t.Run(name, func(t *testing.T) {
			dir := goldenDir(name)
			if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && *update {
				im := make(t)
				writeGolden(t, dir, im)
			}
			want, err := os.ReadFile(filepath.Join(dir, "CONTENT"))
			if err != nil {
				t.Fatal(err)
			}
			im := readGolden(t, dir)
			if got := describe(t, im.Clone(memfs.Everything, 1)); got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			st, err := disk.OpenReadOnlyFS(im, tiny())
			if err != nil {
				t.Fatal(err)
			}
			if got := contentOf(t, st); !strings.HasSuffix(string(want), got) {
				t.Errorf("to be read: got\n%swant\n%s", got, want)
			}
			st.Close(t.Context())
		})
	}
}

// TestGoldensExist fails if a golden directory has no maker, so that none is forgotten.
func TestGoldensExist(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("testdata", "golden", "v1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if goldens[e.Name()] == nil {
			t.Errorf("nothing tests %s", e.Name())
		}
	}
}

// writeGolden writes a store to a directory that does not exist.
func writeGolden(t *testing.T, dir string, im *memfs.FS) {
	t.Helper()
	var sizes strings.Builder
	for _, name := range im.Files() {
		if name == "LOCK" {
			continue
		}
		b, err := im.Contents(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&sizes, len(b), name)
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, bytes.TrimRight(b, "\x00"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	content := describe(t, im.Clone(memfs.Everything, 1))
	err := os.WriteFile(filepath.Join(dir, "SIZES"), []byte(sizes.String()), 0o600)
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, "CONTENT"), []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func readGolden(t *testing.T, dir string) *memfs.FS {
	t.Helper()
	sizes, err := os.ReadFile(filepath.Join(dir, "SIZES"))
	if err != nil {
		t.Fatal(err)
	}
	im := memfs.New()
	if err := im.Mkdir("journal"); err != nil { // that of a copy is empty
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(sizes)), "\n") {
		var size int
		var name string
		if _, err := fmt.Sscan(line, &size, &name); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range name {
			if c == '/' {
				err = errors.Join(err, im.Mkdir(name[:i]))
			}
		}
		if err := errors.Join(err, im.SetContents(name, append(b, make([]byte, size-len(b))...))); err != nil {
			t.Fatal(err)
		}
	}
	return im
}

// describe opens a store and writes down what the open found and what is in it.
func describe(t *testing.T, im *memfs.FS) string {
	t.Helper()
	st, err := open(im)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close(context.Background())
	r := st.Report()
	return fmt.Sprintf("clean %v, entries %d, records %d, cut %d, leftovers %d, foreign %v\n%s",
		r.Clean, r.Entries, r.Records, r.CutBytes, r.Leftovers, r.Foreign, contentOf(t, st))
}

func contentOf(t *testing.T, st *disk.Store) string {
	t.Helper()
	var s strings.Builder
	for _, g := range st.Groups() {
		fmt.Fprintf(&s, "group %d %q\n", g.ID, g.Name)
	}
	for _, topic := range st.Topics() {
		fmt.Fprintf(&s, "topic %q, incarnation %x, settings %q, level %v, sync %v, codec %v, at most %d records\n",
			topic.Name, topic.IncarnationOf(0, 0), topic.Settings, topic.Strategy.Level, topic.Strategy.Sync, topic.Strategy.Compression.Codec, topic.Strategy.Cleanup.MaxRecords)
		for i := range topic.Partitions {
			p := topic.Partition(i)
			records, holes, err := around(st, p)
			if err != nil {
				t.Fatal(err)
			}
			b, err := st.Bounds(p)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&s, "partition %d: first %d, records %d\n", p, b.First, b.Records)
			for _, h := range holes {
				fmt.Fprintf(&s, "  hole %d to %d\n", h.First, h.Next)
			}
			for _, r := range records {
				fmt.Fprintf(&s, "  %d %d key %q headers %q value %08x of %d\n",
					r.Offset, r.Appended.UnixNano(), r.Key, []byte(r.Headers), crc32.ChecksumIEEE(r.Value), len(r.Value))
			}
			for _, g := range st.Groups() {
				if c, ok := st.Cursor(g.ID, p); ok {
					fmt.Fprintf(&s, "  cursor %+v\n", c)
				}
			}
		}
	}
	return s.String()
}

// grown makes a store with two topics, records of all forms and cursors, in two lives; end is called with the second one open.
func grown(t *testing.T, end func(st *disk.Store, im *memfs.FS, topics []storage.Topic)) *memfs.FS {
	t.Helper()
	im := memfs.New()
	var topics []storage.Topic
	var group storage.Group
	for life := range 2 {
		st, err := open(im)
		if err != nil {
			t.Fatal(err)
		}
		if life == 0 {
			topics, group = goldenTopics(t, st)
		}
		for i := range 12 {
			topic := topics[i%len(topics)]
			p := topic.Partition(i / 2 % topic.Partitions)
			records := []storage.Record{
				{Key: []byte{'k', byte(i)}, Value: bytes.Repeat([]byte{byte(i + 1)}, 40*i)},
				{Value: []byte{}, Headers: storage.AppendHeader(nil, "h", []byte{byte(life)})},
			}
			e := &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: records}}}
			if b, err := st.Bounds(p); err == nil && b.Next > 2 {
				e.Cursors = []storage.Cursor{{
					Group: group.ID, Partition: p, Floor: 1, Passed: 2, Done: []storage.Range{{From: 2, To: 3}},
					Failed: []storage.Failure{{Offset: 1, Attempts: 2, Due: 5}},
				}}
			}
			if _, err := st.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if life == 1 && end != nil {
			end(st, im, topics)
		}
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return im
}

func goldenTopics(t *testing.T, st *disk.Store) (topics []storage.Topic, g storage.Group) {
	t.Helper()
	specs := []storage.TopicSpec{
		{Name: "orders", Partitions: 2, Settings: []byte("settings")},
		{Name: "clicks", Partitions: 1, Strategy: storage.Strategy{Sync: storage.SyncOS, Cleanup: storage.CleanupPolicy{MaxRecords: 1 << 40}}},
	}
	for _, spec := range specs {
		topic, err := st.CreateTopic(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		topics = append(topics, topic)
	}
	g, err := st.CreateGroup(t.Context(), "billing")
	if err != nil {
		t.Fatal(err)
	}
	return topics, g
}

func goldenClosed(t *testing.T) *memfs.FS { return grown(t, nil) }

func goldenKilled(t *testing.T) (killed *memfs.FS) {
	grown(t, func(_ *disk.Store, im *memfs.FS, _ []storage.Topic) { killed = im.Clone(memfs.Everything, 1) })
	return killed
}

func goldenTrimmed(t *testing.T) (killed *memfs.FS) {
	grown(t, func(st *disk.Store, im *memfs.FS, topics []storage.Topic) {
		if err := st.Trim(t.Context(), topics[0].First, 4); err != nil {
			t.Fatal(err)
		}
		killed = im.Clone(memfs.Everything, 1)
	})
	return killed
}

func goldenDropped(t *testing.T) (killed *memfs.FS) {
	grown(t, func(st *disk.Store, im *memfs.FS, topics []storage.Topic) {
		if err := st.DeleteTopic(t.Context(), topics[1].Name); err != nil {
			t.Fatal(err)
		}
		killed = im.Clone(memfs.Everything, 1)
	})
	return killed
}

// goldenHoles has a hole that the journal left, one that was skipped, and a damaged segment that nobody knows of.
func goldenHoles(t *testing.T) *memfs.FS {
	im := goldenKilled(t)
	for _, name := range im.Files() {
		b, err := im.Contents(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(name, "journal/") || string(b[:8]) != "leatslot" || binary.LittleEndian.Uint32(b[32:]) != 2 {
			continue
		}
		spoiled := 0
		for _, f := range framesOf(t, b) {
			if f.Kind == frame.Batch && f.BodyLen > 100 && spoiled < 2 {
				spoiled++
				if err := im.FlipBit(name, f.from+80, 1); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	st, err := open(im)
	if err != nil {
		t.Fatal(err)
	}
	holes := st.Damaged()
	if len(holes) != 2 {
		t.Fatal(holes)
	}
	if err := st.Skip(t.Context(), holes[1].Partition, holes[1].First, holes[1].Next); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(im.Files(), func(name string) bool { return strings.HasPrefix(name, "seg/00000000/") })
	if err := im.FlipBit(im.Files()[i], 4096+64+8, 1); err != nil {
		t.Fatal(err)
	}
	return im
}
