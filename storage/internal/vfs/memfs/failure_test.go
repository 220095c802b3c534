package memfs

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
)

func TestCapacity(t *testing.T) {
	x := tester{t, New()}
	x.SetCapacity(4 * pageSize)
	h := x.create("a")
	n, err := h.WriteAt(make([]byte, 10*pageSize), pageSize/2)
	if n != 3*pageSize+pageSize/2 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("preallocating with zeros: got %d, %v, want %d and ENOSPC", n, err, 3*pageSize+pageSize/2)
	}
	var located *fs.PathError
	if !errors.As(err, &located) {
		t.Errorf("got %#v, want a *fs.PathError", err)
	}
	if size, err := h.Size(); size != 4*pageSize || err != nil {
		t.Errorf("size after a short write: got %d, %v, want %d", size, err, 4*pageSize)
	}
	_, err = h.WriteAt(bytes.Repeat([]byte("x"), 4*pageSize), 0)
	x.ok("write over what was preallocated, on a full disk", err)
	x.ok("sync", h.SyncData())

	b := x.create("b")
	if n, err := b.WriteAt([]byte("x"), 0); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a byte more: got %d, %v, want ENOSPC", n, err)
	}
	x.ok("truncate up, which takes no space", b.Truncate(1<<20))
	if n, err := (tester{t, x.Clone(Everything, 1)}).open("b").WriteAt([]byte("x"), 0); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a byte more, after a crash: got %d, %v, want ENOSPC", n, err)
	}
	x.ok("truncate down", h.Truncate(3*pageSize))
	_, err = b.WriteAt([]byte("x"), pageSize)
	x.ok("write where another was cut", err)
	x.ok("remove", x.Remove("a"))
	_, err = b.WriteAt(make([]byte, 3*pageSize), 2*pageSize)
	x.ok("write where another was removed", err)
	x.FillUp()
	if err := h.Allocate(1 << 20); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("allocate when it is filled up: got %v, want ENOSPC", err)
	}
	x.ok("truncate down", b.Truncate(4*pageSize))
	_, err = b.WriteAt(make([]byte, pageSize), 4*pageSize)
	x.ok("write where it was cut", err)
	x.SetCapacity(-1)
	_, err = b.WriteAt(make([]byte, 100*pageSize), 0)
	x.ok("write without a bound", err)
}

func TestAllocateTakesSpace(t *testing.T) {
	x := tester{t, New()}
	x.SetCapacity(8 * pageSize)
	a, b := x.create("a"), x.create("b")
	_, err := b.WriteAt(bytes.Repeat([]byte("x"), 2*pageSize), 0)
	x.ok("write", err)
	x.ok("allocate", a.Allocate(5*pageSize))
	if err := b.Allocate(4 * pageSize); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("allocate more than there is: got %v, want ENOSPC", err)
	}
	x.ok("give it up", a.Truncate(0))
	x.ok("allocate what was given up", b.Allocate(8*pageSize))
	if _, err := a.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a byte more: got %v, want ENOSPC", err)
	}
	_, err = b.WriteAt(bytes.Repeat([]byte("y"), 6*pageSize), 2*pageSize)
	x.ok("write where it was allocated", err)
	x.ok("sync", b.SyncData())
	x.ok("syncdir", x.SyncDir("."))
	if got, err := x.Clone(SyncedOnly, 0).Contents("b"); err != nil || !bytes.Equal(got, append(bytes.Repeat([]byte("x"), 2*pageSize), bytes.Repeat([]byte("y"), 6*pageSize)...)) {
		t.Errorf("after a crash: got %d bytes, %v", len(got), err)
	}
}

func TestTooLarge(t *testing.T) {
	h := (tester{t, New()}).create("a")
	if _, err := h.WriteAt([]byte("x"), 1<<62); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("write far away: got %v, want EFBIG", err)
	}
	if err := h.Truncate(1 << 62); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("truncate far away: got %v, want EFBIG", err)
	}
}

func TestOnOp(t *testing.T) {
	x := tester{t, New()}
	h := x.synced("a", "A") // four operations
	var ops []vfs.Op
	var before []string
	x.OnOp(func(op vfs.Op) error {
		ops = append(ops, op)
		before = append(before, x.Clone(Everything, 0).show(t))
		if op.Kind == vfs.OpSyncData {
			x.FailSync(CacheReverts)
		}
		if op.Kind == vfs.OpSize {
			return syscall.EACCES
		}
		return nil
	})
	x.write(h, "B", 0)
	if err := h.SyncData(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync that the hook armed a failure for: got %v, want EIO", err)
	}
	var located *fs.PathError
	if _, err := h.Size(); !errors.Is(err, fs.ErrPermission) || !errors.As(err, &located) {
		t.Errorf("size that the hook refused: got %v, want %v in a *fs.PathError", err, fs.ErrPermission)
	}
	x.ok("rename", x.Rename("a", "b"))
	x.OnOp(nil)
	x.ok("close", h.Close())

	wantOps := []vfs.Op{{N: 5, Kind: vfs.OpWrite, Name: "a"}, {N: 6, Kind: vfs.OpSyncData, Name: "a"},
		{N: 7, Kind: vfs.OpSize, Name: "a"}, {N: 8, Kind: vfs.OpRename, Name: "a"}}
	if !slices.Equal(ops, wantOps) {
		t.Errorf("operations: got %v, want %v", ops, wantOps)
	}
	if want := []string{"a:A", "a:B", "a:A", "a:A"}; !slices.Equal(before, want) {
		t.Errorf("before each: got %q, want %q", before, want)
	}
	if x.Ops() != 9 {
		t.Errorf("operations in all: got %d, want 9", x.Ops())
	}
}

func TestDamage(t *testing.T) {
	x := tester{t, New()}
	x.ok("mkdir", x.Mkdir("d"))
	x.ok("syncdir", x.SyncDir("."))
	x.ok("set contents", x.SetContents("d/a", sectors("AAA")))
	x.write(x.open("d/a"), "B", 1)
	clone := x.Clone(Everything, 0)
	x.ok("flip", x.FlipBit("d/a", 2*sector+1, 3))
	x.ok("zero", x.ZeroRange("d/a", 0, sector))
	x.ok("resize", x.Resize("d/a", 4*sector))
	x.ok("set contents", x.SetContents("c", sectors("C")))
	if got := x.show(t); got != "c:C d/a:.B?." {
		t.Errorf("damaged: got %q, want %q", got, "c:C d/a:.B?.")
	}
	p, err := x.Contents("d/a")
	if x.ok("contents", err); p[2*sector+1] != 'A'^1<<3 {
		t.Errorf("the byte with the flipped bit: got %#x, want %#x", p[2*sector+1], 'A'^1<<3)
	}
	if got := x.Clone(SyncedOnly, 0).show(t); got != "c:C d/a:.B?." {
		t.Errorf("damaged, then crashed: got %q, want the same", got)
	}
	if got := clone.show(t); got != "d/a:ABA" {
		t.Errorf("a clone from before: got %q, want %q", got, "d/a:ABA")
	}
	x.ok("delete", x.Delete("d/a"))
	x.ok("syncdir", x.SyncDir("d"))
	if got := x.Clone(SyncedOnly, 0).show(t); got != "c:C" {
		t.Errorf("deleted, then crashed: got %q, want %q", got, "c:C")
	}
	x.ok("remove", x.Remove("c"))
	x.ok("set contents of what was removed", x.SetContents("c", sectors("D")))
	x.create("d/b")
	x.ok("delete what was not synced", x.Delete("d/b"))
	x.ok("syncdir", x.SyncDir("."))
	x.ok("syncdir", x.SyncDir("d"))
	if got := x.Clone(SyncedOnly, 0).show(t); got != "c:D" {
		t.Errorf("made anew, deleted, then crashed: got %q, want %q", got, "c:D")
	}
	for what, err := range map[string]error{
		"flip": x.FlipBit("c", sector, 0), "zero": x.ZeroRange("c", 1, sector), "resize": x.Resize("missing", 0), "delete": x.Delete("d"),
	} {
		var located *fs.PathError
		if !errors.As(err, &located) {
			t.Errorf("%s of what is not there: got %v, want a *fs.PathError", what, err)
		}
	}
}

// BenchmarkClone makes an image of what a small store has: preallocated slots, some of their sectors written and not synced.
func BenchmarkClone(b *testing.B) {
	f := New()
	for _, name := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} {
		if err := f.SetContents(name, make([]byte, 1<<20)); err != nil {
			b.Fatal(err)
		}
		h, err := f.Open(name, vfs.ReadWrite)
		if err != nil {
			b.Fatal(err)
		}
		for i := range int64(64) {
			if _, err := h.WriteAt(bytes.Repeat([]byte("x"), 300), i*300); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, mode := range Modes() {
		b.Run(mode.String(), func(b *testing.B) {
			b.ReportAllocs()
			for seed := uint64(0); b.Loop(); seed++ {
				f.Clone(mode, seed)
			}
		})
	}
}
