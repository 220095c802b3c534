package vfstest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
)

func testReadAt(t *testing.T, f vfs.FS) {
	h := create(t, f, "a", "0123456789")
	cases := []struct {
		name string
		off  int64
		n    int
		want string
		err  error
	}{
		{"whole", 0, 10, "0123456789", nil},
		{"inside", 3, 4, "3456", nil},
		{"over the end", 7, 10, "789", io.EOF},
		{"at the end", 10, 1, "", io.EOF},
		{"beyond the end", 9999, 1, "", io.EOF},
		{"nothing", 5, 0, "", nil},
	}
	for _, c := range cases {
		p := bytes.Repeat([]byte{'-'}, c.n)
		n, err := h.ReadAt(p, c.off)
		if n != len(c.want) || string(p[:n]) != c.want || err != c.err {
			t.Errorf("%s: got %q, %v, want %q, %v", c.name, p[:n], err, c.want, c.err)
		}
	}
	_, err := h.ReadAt(make([]byte, 1), -1)
	wantSome(t, "read at a negative offset", err)
}

func testWriteAt(t *testing.T, f vfs.FS) {
	h := create(t, f, "a", "0123456789")
	_, err := h.WriteAt([]byte("abc"), 4)
	want(t, "write inside", err, nil)
	_, err = h.WriteAt([]byte("xyz"), 9000)
	want(t, "write beyond the end", err, nil)
	_, err = h.WriteAt(nil, 99999)
	want(t, "write nothing", err, nil)
	wanted := make([]byte, 9003)
	copy(wanted, "0123abc789")
	copy(wanted[9000:], "xyz")
	if got := read(t, h); !bytes.Equal(got, wanted) {
		t.Errorf("after writing inside and beyond the end: got %d bytes, want %d with zeros between; or they differ", len(got), len(wanted))
	}
	_, err = h.WriteAt([]byte("x"), -1)
	wantSome(t, "write at a negative offset", err)
	want(t, "sync", h.SyncData(), nil)
	want(t, "sync again", h.SyncData(), nil)
}

func testWriteBehind(t *testing.T, f vfs.FS) {
	const step = 3 << 20
	h := create(t, f, "a", "")
	wanted := make([]byte, 10*step)
	for i := range wanted {
		wanted[i] = byte(i >> 9)
	}
	h.WriteBehind(0)
	for at := 0; at < len(wanted); at += step {
		_, err := h.WriteAt(wanted[at:at+step], int64(at))
		want(t, "write", err, nil)
		h.WriteBehind(int64(at + step))
	}
	h.WriteBehind(step) // further back than before
	if got := read(t, h); !bytes.Equal(got, wanted) {
		t.Error("written behind: read something else than was written")
	}
	want(t, "sync", h.SyncData(), nil)
	h.WriteBehind(100 * step) // beyond the end
	if got := read(t, h); !bytes.Equal(got, wanted) {
		t.Error("written behind and synced: read something else than was written")
	}
	want(t, "close", h.Close(), nil)
	h.WriteBehind(200 * step)
}

func testTruncate(t *testing.T, f vfs.FS) {
	h := create(t, f, "a", "0123456789")
	want(t, "cut", h.Truncate(4), nil)
	if got := read(t, h); string(got) != "0123" {
		t.Errorf("cut: got %q, want %q", got, "0123")
	}
	want(t, "extend", h.Truncate(8), nil)
	if got := read(t, h); string(got) != "0123\x00\x00\x00\x00" {
		t.Errorf("cut and extended: got %q, want zeros and not what was cut", got)
	}
	want(t, "empty", h.Truncate(0), nil)
	want(t, "extend far", h.Truncate(1<<20), nil)
	if got := read(t, h); !bytes.Equal(got, make([]byte, 1<<20)) {
		t.Error("emptied and extended: got something, want 1 MiB of zeros")
	}
	wantSome(t, "truncate to a negative size", h.Truncate(-1))
}

func testAllocate(t *testing.T, f vfs.FS) {
	h := create(t, f, "a", "0123")
	want(t, "allocate", h.Allocate(100_000), nil)
	if got := read(t, h); len(got) != 100_000 || string(got[:4]) != "0123" || !bytes.Equal(got[4:], make([]byte, len(got)-4)) {
		t.Errorf("allocated: got %d bytes, want what there was, and zeros up to 100000", len(got))
	}
	want(t, "allocate less", h.Allocate(10), nil)
	want(t, "allocate nothing", h.Allocate(0), nil)
	if got := read(t, h); len(got) != 100_000 {
		t.Errorf("allocating less than there is: got %d bytes, want 100000", len(got))
	}
	_, err := h.WriteAt([]byte("end"), 100_000-3)
	want(t, "write at the end", err, nil)
	want(t, "cut", h.Truncate(2), nil)
	want(t, "allocate again", h.Allocate(8192), nil)
	if got := read(t, h); string(got[:2]) != "01" || !bytes.Equal(got[2:], make([]byte, 8190)) {
		t.Error("cut and allocated again: what was cut is there")
	}
	r, err := f.Open("a", vfs.ReadOnly)
	want(t, "open", err, nil)
	wantSome(t, "allocate what is open for reading", r.Allocate(1<<20))
	want(t, "close", r.Close(), nil)
	want(t, "close", h.Close(), nil)
	wantSome(t, "allocate what is closed", h.Allocate(1<<20))
}

func testTwoHandles(t *testing.T, f vfs.FS) {
	a := create(t, f, "a", "one")
	b, err := f.Open("a", vfs.ReadWrite)
	want(t, "open", err, nil)
	defer b.Close()
	_, err = b.WriteAt([]byte("two!"), 0)
	want(t, "write through the second", err, nil)
	if got := read(t, a); string(got) != "two!" {
		t.Errorf("through the first: got %q, want %q", got, "two!")
	}
	want(t, "close the first", a.Close(), nil)
	if got := read(t, b); string(got) != "two!" {
		t.Errorf("through the second, with the first closed: got %q, want %q", got, "two!")
	}
}

func testReadOnly(t *testing.T, f vfs.FS) {
	create(t, f, "a", "same")
	h, err := f.Open("a", vfs.ReadOnly)
	want(t, "open", err, nil)
	defer h.Close()
	_, err = h.WriteAt([]byte("x"), 0)
	wantSome(t, "write to a file opened for reading", err)
	wantSome(t, "truncate a file opened for reading", h.Truncate(1))
	if got := read(t, h); string(got) != "same" {
		t.Errorf("after refused writes: got %q, want %q", got, "same")
	}
}

func testClosed(t *testing.T, f vfs.FS) {
	h := create(t, f, "a", "x")
	want(t, "close", h.Close(), nil)
	_, readErr := h.ReadAt(make([]byte, 1), 0)
	_, writeErr := h.WriteAt([]byte("y"), 0)
	_, sizeErr := h.Size()
	errs := map[string]error{
		"read": readErr, "write": writeErr, "size": sizeErr,
		"truncate": h.Truncate(0), "sync": h.SyncData(), "close": h.Close(),
	}
	for op, err := range errs {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s of a closed file: got %v, want %v", op, err, fs.ErrClosed)
		}
	}
}

// testConcurrent writes, reads, syncs and lists at once; the race detector sees the rest.
func testConcurrent(t *testing.T, f vfs.FS) {
	const writers, rounds, block = 4, 20, 3000
	h := create(t, f, "a", "")
	var wg sync.WaitGroup
	for w := range writers {
		mine := bytes.Repeat([]byte{byte('a' + w)}, block)
		wg.Go(func() {
			for i := range rounds {
				off := int64(i*writers+w) * block
				if _, err := h.WriteAt(mine, off); err != nil {
					t.Errorf("write: %v", err)
				}
				back := make([]byte, block)
				if _, err := h.ReadAt(back, off); err != nil || !bytes.Equal(back, mine) {
					t.Errorf("read of what was just written: %v, or it differs", err)
				}
			}
			if err := h.SyncData(); err != nil {
				t.Errorf("sync: %v", err)
			}
			if _, err := f.List("."); err != nil {
				t.Errorf("list: %v", err)
			}
		})
	}
	wg.Wait()
	got := read(t, h)
	if len(got) != writers*rounds*block {
		t.Fatalf("size: got %d, want %d", len(got), writers*rounds*block)
	}
	for i, b := range got {
		if want := byte('a' + i/block%writers); b != want {
			t.Fatalf("byte %d: got %q, want %q", i, b, want)
		}
	}
}

// testRandom compares a file with a slice of bytes under a random script.
func testRandom(t *testing.T, f vfs.FS) {
	const steps, limit = 400, 40_000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	h := create(t, f, "a", "")
	var model []byte
	for step := range steps {
		off, n := rng.IntN(limit), rng.IntN(limit/4)
		switch rng.IntN(5) {
		case 0:
			want(t, "truncate", h.Truncate(int64(off)), nil)
			model = append(model, make([]byte, max(0, off-len(model)))...)[:off]
			clear(model[off:cap(model)])
		case 1:
			want(t, "sync", h.SyncData(), nil)
		default:
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(rng.IntN(2) * rng.IntN(256))
			}
			if rng.IntN(3) == 0 {
				clear(p)
			}
			_, err := h.WriteAt(p, int64(off))
			want(t, "write", err, nil)
			if n > 0 {
				model = append(model, make([]byte, max(0, off+n-len(model)))...)
				copy(model[off:], p)
			}
		}
		if got := read(t, h); !bytes.Equal(got, model) {
			t.Fatalf("seed %d, step %d: the file has %d bytes, the model %d; or they differ", seed, step, len(got), len(model))
		}
	}
}
