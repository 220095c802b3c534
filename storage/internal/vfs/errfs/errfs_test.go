package errfs_test

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/internal/vfs/vfstest"
)

func TestConformance(t *testing.T) {
	vfstest.TestFS(t, func(*testing.T) vfs.FS { return errfs.New(memfs.New()) })
}

// script does each operation once and some more often, and returns the kind and name of those that failed.
func script(t *testing.T, f vfs.FS) []vfs.Op {
	t.Helper()
	var failed []vfs.Op
	step := func(kind vfs.Kind, name string, err error) {
		if err == nil || err == io.EOF { // the end, as nothing was written before
			return
		}
		failed = append(failed, vfs.Op{Kind: kind, Name: name})
		var located *fs.PathError
		if !errors.As(err, &located) || located.Path != name {
			t.Errorf("%v %s: got %v, want a *fs.PathError for that name", kind, name, err)
		}
	}
	use := func(h vfs.File, name string) {
		if h == nil {
			return
		}
		_, err := h.WriteAt([]byte("0123456789"), 0)
		step(vfs.OpWrite, name, err)
		_, err = h.ReadAt(make([]byte, 1), 0)
		step(vfs.OpRead, name, err)
		_, err = h.Size()
		step(vfs.OpSize, name, err)
		step(vfs.OpTruncate, name, h.Truncate(20))
		step(vfs.OpAllocate, name, h.Allocate(30))
		step(vfs.OpSyncData, name, h.SyncData())
		step(vfs.OpClose, name, h.Close())
	}
	held, err := f.Lock("me")
	step(vfs.OpLock, ".", err)
	step(vfs.OpMkdir, "d", f.Mkdir("d"))
	for _, name := range []string{"a", "d/a"} {
		h, err := f.Create(name)
		step(vfs.OpCreate, name, err)
		use(h, name)
		h, err = f.Open(name, vfs.ReadWrite)
		step(vfs.OpOpen, name, err)
		use(h, name)
	}
	step(vfs.OpRename, "a", f.Rename("a", "b"))
	step(vfs.OpLink, "b", f.Link("b", f, "d/b"))
	_, err = f.List(".")
	step(vfs.OpList, ".", err)
	step(vfs.OpSyncDir, ".", f.SyncDir("."))
	step(vfs.OpRemove, "b", f.Remove("b"))
	if held != nil {
		step(vfs.OpUnlock, ".", held.Close())
	}
	return failed
}

// TestEveryOperation fails each operation in turn, until a run injects nothing.
func TestEveryOperation(t *testing.T) {
	plain := errfs.New(memfs.New())
	if failed := script(t, plain); len(failed) > 0 {
		t.Fatalf("without faults these failed: %v", failed)
	}
	kinds := map[vfs.Kind]bool{}
	for n := 1; ; n++ {
		f := errfs.New(memfs.New(), errfs.Fault{Nth: n, Err: syscall.EIO})
		failed := script(t, f)
		if f.Injected() == 0 {
			if n != plain.Ops()+1 {
				t.Errorf("the first run without a fault: got %d, want %d, one more than there are operations", n, plain.Ops()+1)
			}
			break
		}
		hit := f.Hits()[0]
		if hit.N != n {
			t.Errorf("run %d hit %v", n, hit)
		}
		if len(failed) == 0 || failed[0].Kind != hit.Kind || failed[0].Name != hit.Name {
			t.Errorf("%v was hit: got %v as failed, want it first", hit, failed)
		}
		kinds[hit.Kind] = true
	}
	for kind := range vfs.OpSyncData + 1 {
		if !kinds[kind] {
			t.Errorf("no run failed a %v", kind)
		}
	}
}

func TestFilters(t *testing.T) {
	op := func(kind vfs.Kind, name string) vfs.Op { return vfs.Op{Kind: kind, Name: name} }
	cases := []struct {
		name  string
		fault errfs.Fault
		want  []vfs.Op
	}{
		{"kind", errfs.Fault{Kinds: []vfs.Kind{vfs.OpSyncData}}, []vfs.Op{op(vfs.OpSyncData, "a")}},
		{"kinds", errfs.Fault{Kinds: []vfs.Kind{vfs.OpList, vfs.OpRemove}, Always: true}, []vfs.Op{op(vfs.OpList, "."), op(vfs.OpRemove, "b")}},
		{"the n-th of a kind", errfs.Fault{Kinds: []vfs.Kind{vfs.OpSyncData}, Nth: 3}, []vfs.Op{op(vfs.OpSyncData, "d/a")}},
		{
			"from the n-th of a kind on", errfs.Fault{Kinds: []vfs.Kind{vfs.OpSyncData}, Nth: 2, Always: true},
			[]vfs.Op{op(vfs.OpSyncData, "a"), op(vfs.OpSyncData, "d/a"), op(vfs.OpSyncData, "d/a")},
		},
		{"prefix", errfs.Fault{Prefix: "d/", Nth: 2}, []vfs.Op{op(vfs.OpWrite, "d/a")}},
		{"prefix and kind", errfs.Fault{Prefix: "d/", Kinds: []vfs.Kind{vfs.OpWrite}, Nth: 2}, []vfs.Op{op(vfs.OpWrite, "d/a")}},
		{"nothing fits", errfs.Fault{Prefix: "x"}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.fault.Err = syscall.ENOSPC
			f := errfs.New(memfs.New(), c.fault)
			failed := script(t, f)
			if !slices.Equal(failed, c.want) {
				t.Errorf("failed: got %v, want %v", failed, c.want)
			}
			if f.Injected() != len(c.want) {
				t.Errorf("injected: got %d, want %d", f.Injected(), len(c.want))
			}
		})
	}
}

func TestTheFirstFaultThatIsDue(t *testing.T) {
	f := errfs.New(memfs.New(), errfs.Fault{Nth: 2, Err: syscall.EROFS}, errfs.Fault{Always: true, Err: syscall.EMFILE})
	for i, want := range []error{syscall.EMFILE, syscall.EROFS, syscall.EMFILE} {
		if err := f.SyncDir("."); !errors.Is(err, want) {
			t.Errorf("operation %d: got %v, want %v", i+1, err, want)
		}
	}
	f = errfs.New(memfs.New(), errfs.Fault{Nth: 1, Err: syscall.EROFS}, errfs.Fault{Nth: 2, Err: syscall.EMFILE})
	for i, want := range []error{syscall.EROFS, syscall.EMFILE, nil} {
		if err := f.SyncDir("."); !errors.Is(err, want) {
			t.Errorf("operation %d, counted by both faults: got %v, want %v", i+1, err, want)
		}
	}
}

func TestWhatIsDone(t *testing.T) {
	cases := []struct {
		name    string
		fault   errfs.Fault
		written int
		content string
	}{
		{"refused", errfs.Fault{Err: syscall.EIO}, 0, ""},
		{"short", errfs.Fault{Err: syscall.ENOSPC, Short: true}, 5, "01234"},
		{"let through", errfs.Fault{}, 10, "0123456789"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.fault.Kinds = []vfs.Kind{vfs.OpWrite}
			inner := memfs.New()
			f := errfs.New(inner, c.fault)
			h, err := f.Create("a")
			if err != nil {
				t.Fatal(err)
			}
			n, err := h.WriteAt([]byte("0123456789"), 0)
			if n != c.written || !errors.Is(err, c.fault.Err) {
				t.Errorf("write: got %d, %v, want %d, %v", n, err, c.written, c.fault.Err)
			}
			if got, err := inner.Contents("a"); string(got) != c.content || err != nil {
				t.Errorf("inside: got %q, %v, want %q", got, err, c.content)
			}
			if f.Injected() != 1 {
				t.Errorf("injected: got %d, want 1", f.Injected())
			}
		})
	}
}

// TestCloseIsDone: a close that fails has closed.
func TestCloseIsDone(t *testing.T) {
	inner := memfs.New()
	f := errfs.New(inner, errfs.Fault{Kinds: []vfs.Kind{vfs.OpClose, vfs.OpUnlock}, Always: true, Err: syscall.EIO})
	h, err := f.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	held, err := f.Lock("me")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.Close(), held.Close()); !errors.Is(err, syscall.EIO) {
		t.Errorf("close: got %v, want EIO", err)
	}
	if _, err := h.Size(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("size after a failed close: got %v, want %v", err, fs.ErrClosed)
	}
	if _, err := inner.Lock("another"); err != nil {
		t.Errorf("lock after a failed unlock: %v", err)
	}
}

// TestStall: an operation waits until it is let go, and others do not wait for it.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := errfs.New(memfs.New(), errfs.Fault{Kinds: []vfs.Kind{vfs.OpSyncData}, Before: func(vfs.Op) { <-release }})
		h, err := f.Create("a")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		done := false
		wg.Go(func() {
			if err := h.SyncData(); err != nil {
				t.Errorf("sync that was let go: %v", err)
			}
			done = true
		})
		synctest.Wait()
		if done || f.Injected() != 1 {
			t.Errorf("stalled: got done %v and %d injected, want false and 1", done, f.Injected())
		}
		if _, err := h.WriteAt([]byte("x"), 0); err != nil {
			t.Errorf("write beside a stalled sync: %v", err)
		}
		close(release)
		wg.Wait()
		if !done {
			t.Error("the sync never ended")
		}
	})
}
