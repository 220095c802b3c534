package memfs

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// TestSecondCrash: what survived the death of the process is not durable by that.
func TestSecondCrash(t *testing.T) {
	x := tester{t, New()}
	x.write(x.synced("a", "A"), "B", 0)
	x.create("b")
	killed := tester{t, x.Crash(Everything, 1)}
	if got := killed.Clone(SyncedOnly, 1).show(t); got != "a:A" {
		t.Errorf("killed, then power lost: got %q, want what was synced, %q", got, "a:A")
	}
	killed.ok("sync", killed.open("a").SyncData())
	killed.ok("syncdir", killed.SyncDir("."))
	if got := killed.Clone(SyncedOnly, 1).show(t); got != "a:B b:" {
		t.Errorf("killed, synced, then power lost: got %q, want %q", got, "a:B b:")
	}
	lost := tester{t, x.Clone(SyncedOnly, 1)}
	if got := lost.Clone(SyncedOnly, 1).show(t); got != "a:A" {
		t.Errorf("power lost twice: got %q, want %q", got, "a:A")
	}
}

func TestFailSync(t *testing.T) {
	cases := []struct {
		how                            SyncFailure
		name                           string
		read, crashed, resynced, again string
	}{
		// read after the failure; left by a crash then; left by a crash after a second sync; and after writing once more and syncing
		{PagesDropped, "PagesDropped", "a:BBA", "a:AAA", "a:AAA", "a:CAA"},
		{CacheReverts, "CacheReverts", "a:AAA", "a:AAA", "a:AAA", "a:CAA"},
		{StaysDirty, "StaysDirty", "a:BBA", "a:AAA", "a:BBA", "a:CBA"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			x := tester{t, New()}
			h := x.synced("a", "AAA")
			x.write(h, "BB", 0)
			x.FailSync(c.how)
			var located *fs.PathError
			if err := h.SyncData(); !errors.Is(err, syscall.EIO) || !errors.As(err, &located) {
				t.Fatalf("sync: got %v, want EIO in a *fs.PathError", err)
			}
			steps := []struct{ what, got, want string }{{"read", x.show(t), c.read}, {"crash", x.Clone(SyncedOnly, 1).show(t), c.crashed}}
			killed := tester{t, x.Clone(Everything, 1)} // the lie outlives the process
			x.ok("second sync", h.SyncData())
			x, h = killed, killed.open("a")
			x.ok("second sync after a kill", h.SyncData())
			steps = append(steps, struct{ what, got, want string }{"crash after a second sync", x.Clone(SyncedOnly, 1).show(t), c.resynced})
			x.write(h, "C", 0)
			x.ok("third sync", h.SyncData())
			steps = append(steps, struct{ what, got, want string }{"crash after writing again", x.Clone(SyncedOnly, 1).show(t), c.again})
			for _, s := range steps {
				if s.got != s.want {
					t.Errorf("%s: got %q, want %q", s.what, s.got, s.want)
				}
			}
		})
	}
}

// TestSameSeed: the same history gives the same image, every time and in whatever order maps are walked.
func TestSameSeed(t *testing.T) {
	histories := [2]*FS{history(t, 1), history(t, 1)}
	differ := map[Mode]bool{}
	for _, mode := range append(Modes(), GarbageWholeSectors) {
		for seed := range uint64(30) {
			first := histories[0].Clone(mode, seed)
			if !first.equal(histories[1].Clone(mode, seed)) {
				t.Fatalf("%v, seed %d: two images of one history differ", mode, seed)
			}
			if !first.equal(histories[0].Clone(mode, 0)) {
				differ[mode] = true
			}
		}
	}
	for _, mode := range []Mode{RandomSectors, Prefix, CutAnyByte, GarbageSectors, GarbageWholeSectors} {
		if !differ[mode] {
			t.Errorf("%v: all seeds gave the same image", mode)
		}
	}
}

// equal compares the bytes of all files.
func (f *FS) equal(g *FS) bool {
	if !slices.Equal(f.Files(), g.Files()) {
		return false
	}
	for _, name := range f.Files() {
		a, errA := f.Contents(name)
		b, errB := g.Contents(name)
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			return false
		}
	}
	return true
}

// history does random things to a few files.
func history(t *testing.T, seed uint64) *FS {
	t.Helper()
	x := tester{t, New()}
	rng := rand.New(rand.NewPCG(seed, 1))
	names := []string{"a", "b", "c", "d", "e"}
	for range 300 {
		from, to := names[rng.IntN(len(names))], names[rng.IntN(len(names))]
		h, err := x.Open(from, vfs.ReadWrite)
		if errors.Is(err, fs.ErrNotExist) {
			h = x.create(from)
		}
		p := bytes.Repeat([]byte{byte(rng.IntN(256))}, rng.IntN(6000))
		switch rng.IntN(10) {
		case 0:
			x.ok("sync", h.SyncData())
		case 1:
			x.ok("syncdir", x.SyncDir("."))
		case 2:
			x.ok("rename", x.Rename(from, to))
		case 3:
			x.ok("remove", x.Remove(from))
		case 4:
			x.ok("truncate", h.Truncate(int64(rng.IntN(9000))))
		default:
			_, err := h.WriteAt(p, int64(rng.IntN(9000)))
			x.ok("write", err)
		}
	}
	return x.FS
}

// TestClonesAreIndependent writes to file systems that share pages, and to their clones, and compares each with bytes of its own.
func TestClonesAreIndependent(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	type world struct {
		tester
		model []byte
	}
	first := world{tester: tester{t, New()}}
	first.create("a")
	worlds := []world{first}
	for step := range 400 {
		w := &worlds[rng.IntN(len(worlds))]
		h := w.open("a")
		off, p := rng.IntN(20_000), bytes.Repeat([]byte{byte(rng.IntN(4))}, 1+rng.IntN(9000))
		switch rng.IntN(6) {
		case 0:
			w.ok("truncate", h.Truncate(int64(off)))
			w.model = append(slices.Clone(w.model), make([]byte, max(0, off-len(w.model)))...)[:off]
		case 1:
			w.ok("sync", h.SyncData())
		case 2:
			fork := world{tester{t, w.Clone(Everything, 0)}, slices.Clone(w.model)}
			if len(worlds) < 5 {
				worlds = append(worlds, fork)
			} else {
				worlds[rng.IntN(len(worlds))] = fork
			}
		default:
			_, err := h.WriteAt(p, int64(off))
			w.ok("write", err)
			w.model = append(slices.Clone(w.model), make([]byte, max(0, off+len(p)-len(w.model)))...)
			copy(w.model[off:], p)
		}
		for i, w := range worlds {
			if got, err := w.Contents("a"); err != nil || !bytes.Equal(got, w.model) {
				t.Fatalf("seed %d, step %d: world %d differs from its model (%v)", seed, step, i, err)
			}
			w.root.check(t)
		}
	}
	for i, w := range worlds {
		w.ok("sync", w.open("a").SyncData())
		w.ok("syncdir", w.SyncDir("."))
		if got, err := w.Clone(SyncedOnly, 0).Contents("a"); err != nil || !bytes.Equal(got, w.model) {
			t.Errorf("seed %d: world %d, synced and crashed, differs from its model (%v)", seed, i, err)
		}
	}
}

// TestCloneWhileWriting is for the race detector.
func TestCloneWhileWriting(t *testing.T) {
	x := tester{t, New()}
	h := x.synced("a", "AAAA")
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 300 {
			if _, err := h.WriteAt([]byte("xyz"), int64(i*300)); err != nil {
				t.Errorf("write: %v", err)
			}
			if err := h.SyncData(); err != nil {
				t.Errorf("sync: %v", err)
			}
		}
	})
	wg.Go(func() {
		for seed := range uint64(100) {
			image := x.Clone(Modes()[seed%uint64(len(Modes()))], seed)
			if err := image.SetContents("a", []byte("mine")); err != nil {
				t.Errorf("write to the image: %v", err)
			}
		}
	})
	wg.Wait()
}

func TestCrashedFails(t *testing.T) {
	x := tester{t, New()}
	h := x.synced("a", "A")
	held, err := x.Lock("1")
	x.ok("lock", err)
	image := x.Crash(SyncedOnly, 1)

	_, openErr := x.Open("a", vfs.ReadOnly)
	_, createErr := x.Create("b")
	_, listErr := x.List(".")
	_, lockErr := x.Lock("2")
	_, readErr := h.ReadAt(make([]byte, 1), 0)
	_, writeErr := h.WriteAt([]byte("x"), 0)
	_, sizeErr := h.Size()
	errs := map[string]error{
		"open": openErr, "create": createErr, "list": listErr, "lock": lockErr, "read": readErr, "write": writeErr, "size": sizeErr,
		"mkdir": x.Mkdir("d"), "rename": x.Rename("a", "b"), "remove": x.Remove("a"), "syncdir": x.SyncDir("."),
		"truncate": h.Truncate(0), "sync": h.SyncData(), "close": h.Close(), "unlock": held.Close(),
	}
	for op, err := range errs {
		if !errors.Is(err, ErrCrashed) {
			t.Errorf("%s after a crash: got %v, want %v", op, err, ErrCrashed)
		}
	}
	if _, err := image.Lock("2"); err != nil {
		t.Errorf("lock after a crash: %v", err)
	}
	if _, err := x.Clone(Everything, 1).Lock("3"); err != nil {
		t.Errorf("lock of a clone: %v", err)
	}
}

// TestBufferIsTheCallers: what is written may be changed afterwards without changing the file.
func TestBufferIsTheCallers(t *testing.T) {
	x := tester{t, New()}
	h := x.synced("a", "AA")
	p := sectors("B")
	_, err := h.WriteAt(p, 0)
	x.ok("write", err)
	copy(p, sectors("X"))
	x.ok("sync", h.SyncData())
	if live, left := x.show(t), x.Clone(SyncedOnly, 0).show(t); live != "a:BA" || left != "a:BA" {
		t.Errorf("got %q, and %q after a crash, want %q", live, left, "a:BA")
	}
}
