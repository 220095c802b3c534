package disk

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestReadahead reads files from front to back through a window that reads ahead, in steps of every size: it returns what the file has, up to its end, and a read that
// failed is told by the call that needs it, whichever goroutine made it.
func TestReadahead(t *testing.T) {
	for _, size := range []int{0, 1, windowBytes - 1, 5 * windowBytes, 9*windowBytes + 4321} {
		content := make([]byte, size)
		random := rand.New(rand.NewPCG(uint64(size), 1))
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		inner := memfs.New()
		if err := inner.SetContents("file", content); err != nil {
			t.Fatal(err)
		}
		for _, most := range []int{100, 9 << 10, windowBytes, 3 * windowBytes} {
			for n := 0; ; n++ {
				fs := errfs.New(inner, errfs.Fault{Kinds: []vfs.Kind{vfs.OpRead}, Nth: n, Err: syscall.EIO})
				if n == 0 {
					fs = errfs.New(inner)
				}
				ahead, err := walk(t, fs, content, most)
				if hit := fs.Injected() > 0; hit != errors.Is(err, syscall.EIO) || !hit && err != nil {
					t.Errorf("%d bytes, steps up to %d, fault %d: %v", size, most, n, err)
				}
				if n == 0 && ahead != (size >= 5*windowBytes && most <= windowBytes) {
					t.Errorf("%d bytes, steps up to %d: read ahead: %v", size, most, ahead)
				}
				if n > 0 && fs.Injected() == 0 {
					break
				}
			}
		}
	}
}

// walk reads a file in random steps, and returns whether it was read ahead.
func walk(t *testing.T, fs vfs.FS, content []byte, most int) (ahead bool, err error) {
	t.Helper()
	f, err := fs.Open("file", vfs.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := &window{file: f, name: "file", end: int64(len(content)), reads: &readahead{}}
	defer w.reads.settle()
	random := rand.New(rand.NewPCG(uint64(most), 2))
	for pos := 0; pos < len(content); {
		n := 1 + random.IntN(most)
		b, err := w.at(int64(pos), n)
		if err != nil {
			return ahead, err
		}
		want := content[pos:min(pos+n, len(content))]
		if len(b) < len(want) || !bytes.Equal(b[:len(want)], want) {
			t.Fatalf("%d bytes from %d on are not those of the file", n, pos)
		}
		ahead = ahead || w.reads.busy != nil
		pos += n
	}
	return ahead, nil
}
