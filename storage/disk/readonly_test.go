package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestReadOnly opens stores, as a close or a kill left them, to be read: everything is there, every write is refused, and no operation that changes
// anything reaches the disk.
func TestReadOnly(t *testing.T) {
	a := newTally()
	for seed := range uint64(sized(t, 8, 40, 300)) {
		im, h := stopped(t, seed)
		before := contents(t, im)
		im.OnOp(func(op vfs.Op) error {
			if op.Kind.Changes() {
				a.wrong("seed %d: %v, want nothing that changes the disk", seed, op)
			}
			return nil
		})
		st, err := disk.OpenReadOnlyFS(im, tiny())
		if err != nil {
			a.wrong("seed %d: %v", seed, err)
			continue
		}
		a.judge(h.Fork(h.Mark()).Check(st, storagetest.Died, seed), fmt.Sprint("seed ", seed))
		refuses(t, st)
		if r := st.Report(); r.Clean {
			a.count("clean", 1)
		} else {
			a.count("replayed", int(r.Records))
		}
		if err := st.Close(t.Context()); err != nil {
			a.wrong("seed %d: close: %v", seed, err)
		}
		if _, _, err := st.Read(nil, 0, 0, 1); !errors.Is(err, storage.ErrClosed) {
			a.wrong("seed %d: read after close: %v, want %v", seed, err, storage.ErrClosed)
		}
		if after := contents(t, im); !maps.EqualFunc(before, after, bytes.Equal) {
			a.wrong("seed %d: the files are not what they were", seed)
		}
		im.OnOp(nil)
		a.check(im, h, storagetest.Died, seed, fmt.Sprintf("seed %d, opened for writing afterwards", seed), nil)
	}
	line := fmt.Sprintf("%d clean stores; %d records replayed in others", a.get("clean"), a.get("replayed"))
	a.end(t, "read-only opens", line, "clean", "replayed")
}

// stopped makes a store and returns it as a close left it, or as a kill did.
func stopped(t *testing.T, seed uint64) (*memfs.FS, *storagetest.History) {
	t.Helper()
	fsys, h := memfs.New(), storagetest.NewHistory()
	st, err := open(fsys)
	if err == nil {
		err = run(st, h, seed, 60)
	}
	if err != nil {
		t.Fatal(err)
	}
	killed := fsys.Clone(memfs.Everything, seed)
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seed%2 == 0 {
		return killed, h
	}
	return fsys, h
}

// refuses checks that a store refuses all writes, and says that it did not stop.
func refuses(t *testing.T, st storage.Store) {
	t.Helper()
	ctx := context.Background()
	_, appendErr := st.Append(ctx, &storage.Entry{Batches: []storage.Batch{{Records: []storage.Record{{Value: []byte("x")}}}}})
	_, cursorErr := st.Append(ctx, &storage.Entry{Cursors: []storage.Cursor{{}}})
	_, topicErr := st.CreateTopic(ctx, storage.TopicSpec{Name: "new", Partitions: 1})
	_, groupErr := st.CreateGroup(ctx, "new")
	for what, err := range map[string]error{"append": appendErr, "cursor": cursorErr, "topic": topicErr, "group": groupErr} {
		if !errors.Is(err, storage.ErrReadOnly) {
			t.Errorf("%s: got %v, want %v", what, err, storage.ErrReadOnly)
		}
	}
	if err := st.StopCause(); err != nil {
		t.Errorf("stop cause: got %v, want none", err)
	}
}

// TestReadOnlyOfDamagedJournal: what a writing open refuses is served up to the damage, which the report names.
func TestReadOnlyOfDamagedJournal(t *testing.T) {
	const name = "journal/00"
	im, h, last := journalOnly(t, storage.SyncAlways, 60)
	at := last / 2
	if err := im.FlipBit(name, at, 3); err != nil {
		t.Fatal(err)
	}
	var refused *storage.DamageError
	if _, err := open(im.Clone(memfs.Everything, 1)); !errors.As(err, &refused) {
		t.Fatalf("opened for writing: got %v, want a *storage.DamageError", err)
	}
	st, err := disk.OpenReadOnlyFS(im, tiny())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close(t.Context())
	r := st.Report()
	if len(r.Damage) != 1 || *r.Damage[0] != *refused {
		t.Errorf("report: got %v, want what the open for writing says: %v", r.Damage, refused)
	}
	v := h.Fork(h.Mark()).Check(st, storagetest.PowerLost, 1)
	if v.Entries < 10 || v.Lost < 10 || v.Torn+v.Ghosts+v.Disordered+v.PastData+v.Unreadable > 0 {
		t.Errorf("in front of the damage: got %d entries, %d missing, %v, want a prefix", v.Entries, v.Lost, v.Problems)
	}
	refuses(t, st)
}

// TestReadOnlyOfNothing: an open to read makes no store, and says that there is none.
func TestReadOnlyOfNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := disk.OpenReadOnly(dir, disk.Options{}); !errors.Is(err, storage.ErrFormat) {
		t.Errorf("an empty directory: got %v, want %v", err, storage.ErrFormat)
	}
	if _, err := disk.OpenReadOnly(filepath.Join(dir, "missing"), disk.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: got %v, want %v", err, fs.ErrNotExist)
	}
	if left := tree(t, dir); len(left) != 1 {
		t.Errorf("left behind: %v, want nothing", left)
	}
}

// TestReadersAndOwner: readers share a directory, and exclude its owner.
func TestReadersAndOwner(t *testing.T) {
	im, _ := stopped(t, 0)
	dir := filepath.Join(t.TempDir(), "store")
	export(t, im, dir)
	owner, err := disk.Open(dir, tiny())
	if err != nil {
		t.Fatal(err)
	}
	var held *vfs.HeldError
	if _, err := disk.OpenReadOnly(dir, tiny()); !errors.Is(err, storage.ErrInUse) || !errors.As(err, &held) || held.Holder == "" {
		t.Errorf("beside the owner: got %v, want %v that names it", err, storage.ErrInUse)
	}
	if err := owner.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var readers []*disk.Store
	for range 2 {
		st, err := disk.OpenReadOnly(dir, tiny())
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, st)
	}
	if _, err := disk.Open(dir, tiny()); !errors.Is(err, storage.ErrInUse) || !errors.As(err, &held) || held.Holder != vfs.Readers {
		t.Errorf("beside readers: got %v, want %v that says so", err, storage.ErrInUse)
	}
	for _, st := range readers {
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// export writes a file system of memory to a directory of the system.
func export(t *testing.T, fsys *memfs.FS, dir string) {
	t.Helper()
	for name, b := range contents(t, fsys) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tree describes everything in and below a directory: kind, mode, size, time and content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		s := fmt.Sprint(info.Mode(), info.ModTime().UnixNano())
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			s += fmt.Sprintf(" %x", b)
		}
		all[path] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// untouched returns a check that nothing in dir has changed since.
func untouched(t *testing.T, dir string) (check func(what string)) {
	t.Helper()
	long := time.Now().Add(-time.Hour)
	for name := range tree(t, dir) {
		if err := os.Chtimes(name, long, long); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, dir)
	return func(what string) {
		t.Helper()
		after := tree(t, dir)
		for _, name := range slices.Sorted(maps.Keys(after)) {
			if before[name] != after[name] {
				t.Errorf("%s: %s has changed", what, name)
			}
		}
		if len(after) != len(before) {
			t.Errorf("%s: %d names, want the %d from before", what, len(after), len(before))
		}
	}
}

// TestReadOnlyLeavesTheDirectory: not a byte, name, size, mode or time of it changes, whatever state it is in.
func TestReadOnlyLeavesTheDirectory(t *testing.T) {
	damaged, _, last := journalOnly(t, storage.SyncAlways, 60)
	if err := damaged.FlipBit("journal/00", last/2, 3); err != nil {
		t.Fatal(err)
	}
	killed, _ := stopped(t, 0)
	clean, _ := stopped(t, 1)
	for name, im := range map[string]*memfs.FS{"killed": killed, "clean": clean, "damaged": damaged} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			export(t, im, dir)
			check := untouched(t, dir)
			st, err := disk.OpenReadOnly(dir, tiny())
			if err != nil {
				t.Fatal(err)
			}
			readAll(t, st)
			refuses(t, st)
			check("open")
			if err := st.Close(t.Context()); err != nil {
				t.Errorf("close: %v", err)
			}
			check("closed")
		})
	}
}

func readAll(t *testing.T, st *disk.Store) (records int) {
	t.Helper()
	for _, topic := range st.Topics() {
		for n := range topic.Partitions {
			got, holes, err := around(st, topic.Partition(n))
			if err != nil || len(holes) > 0 {
				t.Fatalf("partition %d: %v, %v", topic.Partition(n), holes, err)
			}
			records += len(got)
		}
	}
	return records
}

// TestPermissionRemoved takes the permission to write away under a running store: writes fail with a typed error, reads go on, and when it is
// given back, an open finds everything that was acknowledged.
func TestPermissionRemoved(t *testing.T) {
	writes := []vfs.Kind{vfs.OpCreate, vfs.OpMkdir, vfs.OpRename, vfs.OpRemove, vfs.OpWrite, vfs.OpTruncate, vfs.OpSyncData, vfs.OpSyncDir}
	names := []vfs.Kind{vfs.OpCreate, vfs.OpMkdir, vfs.OpRename, vfs.OpRemove}
	a := newTally()
	for seed := range uint64(sized(t, 10, 10, 100)) {
		rng := newRand(seed, 20)
		fault := errfs.Fault{Kinds: writes, Always: true, Nth: 200 + rng.IntN(400), Err: syscall.EROFS}
		if seed%2 == 0 {
			fault = errfs.Fault{Kinds: names, Always: true, Nth: 20 + rng.IntN(12), Err: syscall.EACCES}
		}
		a.removed(fault, seed)
	}
	a.end(t, "permission removed under way", fmt.Sprintf("%d stores stopped, %d records read afterwards", a.get("stopped"), a.get("read")), "stopped", "read")
}

func (a *tally) removed(fault errfs.Fault, seed uint64) {
	where := fmt.Sprintf("seed %d, %v from operation %d on", seed, fault.Err, fault.Nth)
	inner, h := memfs.New(), storagetest.NewHistory()
	faulty := errfs.New(inner, fault)
	st, err := open(faulty)
	if err != nil {
		a.wrong("%s: open: %v", where, err)
		return
	}
	for n := uint64(0); err == nil && n < 20; n++ {
		err = run(st, h, seed<<8|n, 30)
	}
	if violation(err) {
		a.wrong("%s: %v", where, err)
	}
	if faulty.Injected() == 0 {
		a.wrong("%s: never came to it", where)
	}
	if st.StopCause() == nil { // only background work met it, which is tried again
		a.count("borne", 1)
		st.Close(context.Background())
		return
	}
	var stopped *storage.StoppedError
	if _, err := st.CreateGroup(context.Background(), "another"); !errors.As(err, &stopped) || !errors.Is(err, fault.Err) {
		a.wrong("%s: a write says %v, want a *storage.StoppedError of %v", where, err, fault.Err)
	}
	a.count("stopped", 1)
	for _, topic := range st.Topics() {
		for n := range topic.Partitions {
			got, holes, err := around(st, topic.Partition(n))
			if err != nil || len(holes) > 0 {
				a.wrong("%s: reading partition %d: %v %v", where, topic.Partition(n), holes, err)
			}
			a.count("read", len(got))
		}
	}
	if err := st.Close(context.Background()); !errors.As(err, &stopped) {
		a.wrong("%s: close: %v, want the cause", where, err)
	}
	a.check(inner, h, storagetest.Died, seed, where, nil)
}
