package blob_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/blob"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

func value(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8), 7}, 300+i) }

func nameOf(i int) blob.Name { return sha256.Sum256(value(i)) }

// keep writes value i in pieces, and keeps it.
func keep(d *blob.Dir, i int) (fresh bool, err error) {
	w, err := d.Create()
	if err != nil {
		return false, err
	}
	for rest := value(i); len(rest) > 0; rest = rest[min(len(rest), 400):] {
		if _, err := w.Write(rest[:min(len(rest), 400)]); err != nil {
			w.Discard()
			return false, err
		}
	}
	return w.Keep(nameOf(i))
}

// holds checks that d has value i, whole.
func holds(t *testing.T, d *blob.Dir, i int, what string) {
	t.Helper()
	v, err := d.Open(nameOf(i))
	if err != nil {
		t.Fatalf("%s: value %d: %v", what, i, err)
	}
	got, err := io.ReadAll(v)
	if err := errors.Join(err, v.Close()); err != nil || !bytes.Equal(got, value(i)) {
		t.Errorf("%s: value %d: %d bytes, %v", what, i, len(got), err)
	}
}

func open(t *testing.T, f vfs.FS) *blob.Dir {
	t.Helper()
	d, err := blob.OpenFS(f)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// noLinks is a file system in which a file has one name.
func noLinks(f vfs.FS) vfs.FS {
	return errfs.New(f, errfs.Fault{Kinds: []vfs.Kind{vfs.OpLink}, Always: true, Err: errors.ErrUnsupported})
}

// kinds runs f over a directory, one in memory, and one in which files have one name.
func kinds(t *testing.T, f func(t *testing.T, open func() *blob.Dir)) {
	t.Run("files", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "made", "with its parents")
		f(t, func() *blob.Dir {
			d, err := blob.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			return d
		})
	})
	disk := memfs.New()
	t.Run("memory", func(t *testing.T) { f(t, func() *blob.Dir { return open(t, disk) }) })
	other := memfs.New()
	t.Run("without links", func(t *testing.T) { f(t, func() *blob.Dir { return open(t, noLinks(other)) }) })
}

func TestValues(t *testing.T) {
	kinds(t, func(t *testing.T, open func() *blob.Dir) {
		d := open()
		for i := range 20 {
			for _, want := range []bool{true, false} {
				if fresh, err := keep(d, i); fresh != want || err != nil {
					t.Errorf("value %d: fresh %v, %v", i, fresh, err)
				}
			}
		}
		w, err := d.Create()
		if err != nil {
			t.Fatal(err)
		}
		w.Discard()
		if err := errors.Join(d.Remove(nameOf(3)), d.Remove(nameOf(3)), d.Close()); err != nil {
			t.Error(err)
		}
		d = open()
		defer d.Close()
		all, err := d.List()
		if len(all) != 19 || err != nil {
			t.Errorf("%d values, %v", len(all), err)
		}
		for i := range 20 {
			if i == 3 {
				if _, err := d.Open(nameOf(i)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("what was removed: %v", err)
				}
				continue
			}
			if all[nameOf(i)] != int64(len(value(i))) {
				t.Errorf("value %d: %d bytes", i, all[nameOf(i)])
			}
			holds(t, d, i, "opened again")
		}
	})
}

func TestOwner(t *testing.T) {
	kinds(t, func(t *testing.T, open func() *blob.Dir) {
		d := open()
		var limit *storage.LimitError
		if err := d.SetOwner(strings.Repeat("x", blob.MaxOwner+1)); !errors.As(err, &limit) {
			t.Errorf("a long text: %v", err)
		}
		for _, want := range []string{"", "first", strings.Repeat("x", blob.MaxOwner)} {
			if want != "" {
				if err := d.SetOwner(want); err != nil {
					t.Error(err)
				}
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			d = open()
			if got, err := d.Owner(); got != want || err != nil {
				t.Errorf("got %.10q, want %.10q; %v", got, want, err)
			}
		}
		d.Close()
	})
}

func TestOneHasTheDirectory(t *testing.T) {
	dir := t.TempDir()
	d, err := blob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blob.Open(dir); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	d, err = blob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
}

// TestOthersFilesStay: what has no value's name is not ours, but for what lies among the drafts.
func TestOthersFilesStay(t *testing.T) {
	dir := t.TempDir()
	for _, folder := range []string{"00", "drafts", "zz"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"drafts/1", "notes", "00/notes", "zz/" + blob.Name{}.String(), "00/" + strings.Repeat("A", 64)}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := blob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if all, err := d.List(); len(all) > 0 || err != nil {
		t.Errorf("listed %v, %v", all, err)
	}
	for i, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != (i > 0) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// witness knows what was promised of a directory.
type witness struct {
	mu    sync.Mutex
	kept  map[int]bool
	owner []string // what may be the owner
}

func (w *witness) fork() *witness {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &witness{kept: maps.Clone(w.kept), owner: slices.Clone(w.owner)}
}

func (w *witness) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// life keeps, removes and keeps again, and tells w.
func life(d *blob.Dir, w *witness) {
	owners := []string{"first", "the second, which is longer"}
	for i := range 6 {
		if i < 2 {
			w.note(func() { w.owner = append(w.owner, owners[i]) })
			if d.SetOwner(owners[i]) == nil {
				w.note(func() { w.owner = w.owner[len(w.owner)-1:] })
			}
		}
		for range 2 {
			if _, err := keep(d, i); err == nil {
				w.note(func() { w.kept[i] = true })
			}
		}
		if i%3 == 1 {
			w.note(func() { delete(w.kept, i) })
			d.Remove(nameOf(i))
			if _, err := keep(d, i); err == nil {
				w.note(func() { w.kept[i] = true })
			}
		}
	}
}

// check opens what a crash left: what was kept is there, all that is there is whole, and no draft is left.
func (w *witness) check(t *testing.T, f vfs.FS, what string) {
	t.Helper()
	d := open(t, f)
	defer d.Close()
	owner, err := d.Owner()
	if err != nil || !slices.Contains(w.owner, owner) {
		t.Errorf("%s: the owner is %q, want one of %q; %v", what, owner, w.owner, err)
	}
	all, err := d.List()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if _, there := all[nameOf(i)]; there || w.kept[i] {
			holds(t, d, i, what)
		}
		delete(all, nameOf(i))
	}
	left, err := f.List("drafts")
	for i := range 6 {
		if _, copied := f.Open(nameOf(i).String()[:2]+"/copy", vfs.ReadOnly); copied == nil {
			t.Errorf("%s: a copy is left", what)
		}
	}
	if len(all) > 0 || len(left) > 0 || err != nil {
		t.Errorf("%s: %d drafts are left, and %d values of nobody; %v", what, len(left), len(all), err)
	}
	_, err = keep(d, 5)
	if err := errors.Join(err, d.SetOwner("the third")); err != nil {
		t.Errorf("%s: going on: %v", what, err)
	}
	w.kept[5], w.owner = true, []string{"the third"}
}

// TestCrashAtEveryOperation cuts the power before each operation that changes the disk, in every way that what was not synced can be lost; and again where what was left was opened.
func TestCrashAtEveryOperation(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	cuts := 0
	for name, wrap := range map[string]func(vfs.FS) vfs.FS{"with links": func(f vfs.FS) vfs.FS { return f }, "without": noLinks} {
		f, w := memfs.New(), &witness{kept: map[int]bool{}, owner: []string{""}}
		f.OnOp(func(op vfs.Op) error {
			if !op.Kind.Changes() {
				return nil
			}
			for _, mode := range memfs.Modes() {
				cuts++
				what := fmt.Sprintf("%s: %v, %v", name, op, mode)
				then, left := w.fork(), f.Clone(mode, seed+uint64(cuts))
				then.check(t, left, what)
				then.check(t, left.Crash(memfs.SyncedOnly, 1), what+", and again")
			}
			return nil
		})
		d := open(t, wrap(f))
		life(d, w)
		f.OnOp(nil)
		d.Close()
	}
	t.Logf("%d crashes: lost 0", cuts)
	if cuts < 500 {
		t.Errorf("only %d crashes", cuts)
	}
}

// TestFaultAtEveryOperation has each operation fail once, or from there on: no value is torn, what was kept is there, through a loss of power too, and a sync of names that failed is not believed later.
func TestFaultAtEveryOperation(t *testing.T) {
	faults := 0
	for _, always := range []bool{false, true} {
		for at := 1; ; at++ {
			under := memfs.New()
			f := errfs.New(under, errfs.Fault{Nth: at, Always: always, Err: syscall.EIO, Short: true})
			d, err := blob.OpenFS(f)
			w := &witness{kept: map[int]bool{}, owner: []string{""}}
			if err == nil {
				life(d, w)
				d.Close()
			} else if !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			if f.Injected() == 0 {
				break
			}
			faults++
			w.check(t, under.Crash(memfs.SyncedOnly, 1), fmt.Sprintf("%v, always %v", f.Hits()[0], always))
		}
	}
	t.Logf("%d faults: lost 0", faults)
}

func TestStoppedAfterAFailedSync(t *testing.T) {
	under := memfs.New()
	d := open(t, errfs.New(under, errfs.Fault{Kinds: []vfs.Kind{vfs.OpSyncDir}, Err: syscall.EIO}))
	defer d.Close()
	var stopped *storage.StoppedError
	for i := range 2 {
		if _, err := keep(d, i); !errors.As(err, &stopped) || !errors.Is(err, syscall.EIO) {
			t.Errorf("value %d: %v", i, err)
		}
	}
	if err := d.SetOwner("x"); !errors.As(err, &stopped) {
		t.Errorf("SetOwner: %v", err)
	}
}

// Two who keep the same value at the same time both have it, and one of them made it.
func TestKeptAtOnce(t *testing.T) {
	kinds(t, func(t *testing.T, open func() *blob.Dir) {
		d := open()
		defer d.Close()
		var all sync.WaitGroup
		var mu sync.Mutex
		made := map[int]int{}
		for range 4 {
			all.Go(func() {
				for i := range 10 {
					fresh, err := keep(d, i)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					if fresh {
						made[i]++
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		for i := range 10 {
			if made[i] != 1 {
				t.Errorf("value %d was made %d times", i, made[i])
			}
			holds(t, d, i, "at the end")
		}
	})
}
