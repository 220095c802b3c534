package overlayfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"runtime"
	"slices"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/internal/vfs/overlayfs"
	"github.com/leatmq/leat/storage/internal/vfs/vfstest"
)

func TestConformance(t *testing.T) {
	vfstest.TestFS(t, func(t *testing.T) vfs.FS {
		lower := memfs.New()
		unchanged(t, lower)
		return overlayfs.New(lower)
	})
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unchanged checks, at the end of the test, that no operation was asked of lower that changes anything.
func unchanged(t *testing.T, lower *memfs.FS) {
	t.Helper()
	lower.OnOp(func(op vfs.Op) error {
		if op.Kind.Changes() {
			t.Errorf("below: %v, want nothing that changes it", op)
		}
		return nil
	})
}

// below returns a file system with files, all of them durable.
func below(t *testing.T, files map[string]string) *memfs.FS {
	t.Helper()
	f := memfs.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if dir := path.Dir(name); dir != "." {
			ok(t, f.Mkdir(dir))
		}
		ok(t, f.SetContents(name, []byte(files[name])))
	}
	return f
}

func contents(t *testing.T, f vfs.FS, name string) []byte {
	t.Helper()
	h, err := f.Open(name, vfs.ReadOnly)
	ok(t, err)
	defer h.Close()
	size, err := h.Size()
	ok(t, err)
	p, err := io.ReadAll(io.NewSectionReader(h, 0, size))
	ok(t, err)
	return p
}

// TestAbove: everything is done to what lies below, and shows above only.
func TestAbove(t *testing.T) {
	lower := below(t, map[string]string{"a": "one", "d/b": "two", "d/c": "three", "gone": "x"})
	unchanged(t, lower)
	f := overlayfs.New(lower)
	ok(t, f.Remove("gone"))
	ok(t, f.Rename("d", "e"))
	ok(t, f.Rename("e/b", "e/c"))
	h, err := f.Open("a", vfs.ReadWrite)
	ok(t, err)
	_, err = h.WriteAt([]byte("ON"), 1)
	ok(t, err)
	ok(t, h.SyncData())
	ok(t, h.Close())
	h, err = f.Create("gone")
	ok(t, err)
	ok(t, h.Close())
	ok(t, f.Mkdir("d"))
	ok(t, errors.Join(f.SyncDir("."), f.SyncDir("d"), f.SyncDir("e")))
	for name, want := range map[string]string{"a": "oON", "e/c": "two", "gone": ""} {
		if got := contents(t, f, name); string(got) != want {
			t.Errorf("%s above: got %q, want %q", name, got, want)
		}
	}
	infos, err := f.List(".")
	ok(t, err)
	want := []vfs.Info{{Name: "a", Size: 3, Regular: true}, {Name: "d", IsDir: true}, {Name: "e", IsDir: true}, {Name: "gone", Regular: true}}
	if !slices.Equal(infos, want) {
		t.Errorf("list: got %v, want %v", infos, want)
	}
	if infos, err = f.List("d"); len(infos) > 0 || err != nil {
		t.Errorf("list of a directory made anew: got %v, %v, want nothing", infos, err)
	}
	for name, want := range map[string]string{"a": "one", "d/b": "two", "d/c": "three", "gone": "x"} {
		if got, err := lower.Contents(name); string(got) != want || err != nil {
			t.Errorf("%s below: got %q, %v, want %q", name, got, err, want)
		}
	}
}

// TestRandomOverAFile holds a file over one below against a slice of bytes, under a random script with two handles.
func TestRandomOverAFile(t *testing.T) {
	const steps, limit = 400, 40_000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	model := make([]byte, rng.IntN(limit))
	for i := range model {
		model[i] = byte(1 + rng.IntN(255))
	}
	was := bytes.Clone(model)
	lower := below(t, map[string]string{"a": string(model)})
	unchanged(t, lower)
	f := overlayfs.New(lower)
	var handles []vfs.File
	for range 2 {
		h, err := f.Open("a", vfs.ReadWrite)
		ok(t, err)
		defer h.Close()
		handles = append(handles, h)
	}
	for step := range steps {
		h, off := handles[rng.IntN(2)], rng.IntN(limit)
		if rng.IntN(4) == 0 {
			ok(t, h.Truncate(int64(off)))
			model = append(model, make([]byte, max(0, off-len(model)))...)[:off]
			clear(model[off:cap(model)])
		} else {
			p := bytes.Repeat([]byte{byte(1 + rng.IntN(255))}, 1+rng.IntN(limit/4))
			_, err := h.WriteAt(p, int64(off))
			ok(t, err)
			model = append(model, make([]byte, max(0, off+len(p)-len(model)))...)
			copy(model[off:], p)
		}
		if got := contents(t, f, "a"); !bytes.Equal(got, model) {
			t.Fatalf("seed %d, step %d: the file has %d bytes, the model %d; or they differ", seed, step, len(got), len(model))
		}
	}
	if got, err := lower.Contents("a"); !bytes.Equal(got, was) || err != nil {
		t.Errorf("below: got %d bytes, %v, want the %d from before", len(got), err, len(was))
	}
}

// TestMemoryIsForWrittenPages: a write in a large file takes a page, not the file.
func TestMemoryIsForWrittenPages(t *testing.T) {
	const size = 64 << 20
	lower := memfs.New()
	ok(t, lower.SetContents("a", nil))
	ok(t, lower.Resize("a", size))
	f := overlayfs.New(lower)
	h, err := f.Open("a", vfs.ReadWrite)
	ok(t, err)
	defer h.Close()
	const writes = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range int64(writes) {
		_, err := h.WriteAt([]byte("x"), i*size/writes)
		ok(t, err)
	}
	runtime.ReadMemStats(&after)
	if got, want := after.TotalAlloc-before.TotalAlloc, uint64(writes*(4096+1024)); got > want {
		t.Errorf("%d writes: got %d bytes of memory, want at most %d", writes, got, want)
	}
}

// TestErrorsFromBelow: they come through, and what they kept from being done is not done.
func TestErrorsFromBelow(t *testing.T) {
	broken := errors.New("broken")
	files := map[string]string{"d/a": "content"}
	for _, kind := range []vfs.Kind{vfs.OpList, vfs.OpOpen, vfs.OpRead, vfs.OpSize, vfs.OpClose, vfs.OpLock} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			inner := errfs.New(below(t, files), errfs.Fault{Kinds: []vfs.Kind{kind}, Always: true, Err: broken})
			f := overlayfs.New(inner)
			_, err := f.Lock("me")
			h, openErr := f.Open("d/a", vfs.ReadWrite)
			err = errors.Join(err, openErr)
			if h != nil {
				_, sizeErr := h.Size()
				_, readErr := h.ReadAt(make([]byte, 3), 0)
				_, writeErr := h.WriteAt([]byte("x"), 2)
				err = errors.Join(err, sizeErr, readErr, writeErr, h.Close())
			}
			var located *fs.PathError
			if !errors.Is(err, broken) || !errors.As(err, &located) {
				t.Errorf("got %v, want the error from below, with a path", err)
			}
		})
	}
}

// TestCutBelow: a file that was cut below reads as zeros there, as far as it was changed here; else it is as below.
func TestCutBelow(t *testing.T) {
	lower := below(t, map[string]string{"a": "content", "b": "content"})
	f := overlayfs.New(lower)
	h, err := f.Open("a", vfs.ReadWrite)
	ok(t, err)
	defer h.Close()
	ok(t, h.Truncate(6))
	ok(t, errors.Join(lower.Resize("a", 2), lower.Resize("b", 2)))
	if got := contents(t, f, "a"); string(got) != "co\x00\x00\x00\x00" {
		t.Errorf("changed here: got %q", got)
	}
	if got := contents(t, f, "b"); string(got) != "co" {
		t.Errorf("not changed here: got %q", got)
	}
}

// TestReadersShare: file systems over one directory exclude its owner, not each other.
func TestReadersShare(t *testing.T) {
	lower := memfs.New()
	owner, err := lower.Lock("the owner")
	ok(t, err)
	_, err = overlayfs.New(lower).Lock("me")
	if held := new(vfs.HeldError); !errors.As(err, &held) || held.Holder != "the owner" {
		t.Errorf("over a directory with an owner: got %v, want a *vfs.HeldError of it", err)
	}
	ok(t, owner.Close())
	first, err := overlayfs.New(lower).Lock("1")
	ok(t, err)
	second, err := overlayfs.New(lower).Lock("2")
	ok(t, err)
	_, err = lower.Lock("the owner")
	if held := new(vfs.HeldError); !errors.As(err, &held) || held.Holder != vfs.Readers {
		t.Errorf("below two readers: got %v, want a *vfs.HeldError of them", err)
	}
	ok(t, errors.Join(first.Close(), second.Close()))
	owner, err = lower.Lock("the owner")
	ok(t, err)
	ok(t, owner.Close())
}
