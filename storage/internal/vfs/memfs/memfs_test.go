package memfs

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/vfstest"
)

func TestConformance(t *testing.T) {
	vfstest.TestFS(t, func(*testing.T) vfs.FS { return New() })
}

func TestConformanceOfAClone(t *testing.T) {
	for _, mode := range []Mode{SyncedOnly, Everything} {
		t.Run(mode.String(), func(t *testing.T) {
			vfstest.TestFS(t, func(*testing.T) vfs.FS { return New().Clone(mode, 1) })
		})
	}
}

func TestConformanceOfASub(t *testing.T) {
	vfstest.TestFS(t, func(*testing.T) vfs.FS { return New().Sub("sub") })
}

const sector = 512

// tester does to a file system what must not fail.
type tester struct {
	t *testing.T
	*FS
}

func (x tester) ok(what string, err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatalf("%s: %v", what, err)
	}
}

func (x tester) create(name string) vfs.File {
	x.t.Helper()
	h, err := x.Create(name)
	x.ok("create", err)
	return h
}

func (x tester) open(name string) vfs.File {
	x.t.Helper()
	h, err := x.Open(name, vfs.ReadWrite)
	x.ok("open", err)
	return h
}

// write puts sectors of one letter each at a sector of the file.
func (x tester) write(h vfs.File, letters string, at int) {
	x.t.Helper()
	_, err := h.WriteAt(sectors(letters), int64(at)*sector)
	x.ok("write", err)
}

// synced makes a file that survives with its name.
func (x tester) synced(name, letters string) vfs.File {
	x.t.Helper()
	h := x.create(name)
	x.write(h, letters, 0)
	x.ok("sync", h.SyncData())
	x.ok("syncdir", x.SyncDir("."))
	return h
}

// sectors turns each letter into a sector full of it, a dot into zeros.
func sectors(letters string) []byte {
	var p []byte
	for _, letter := range []byte(letters) {
		if letter == '.' {
			letter = 0
		}
		p = append(p, bytes.Repeat([]byte{letter}, sector)...)
	}
	return p
}

// show writes a file system as "name:letters" for each file, a letter for each sector: a dot for zeros, a question mark for a mixture; a
// tilde behind one that is not whole.
func (f *FS) show(t *testing.T) string {
	t.Helper()
	var all []string
	for _, name := range f.Files() {
		p, err := f.Contents(name)
		if err != nil {
			t.Fatal(err)
		}
		text := []byte(name + ":")
		for s := range slices.Chunk(p, sector) {
			letter := s[0]
			if bytes.Count(s, s[:1]) != len(s) {
				letter = '?'
			} else if letter == 0 {
				letter = '.'
			}
			text = append(text, letter)
			if len(s) < sector {
				text = append(text, '~')
			}
		}
		all = append(all, string(text))
	}
	return strings.Join(all, " ")
}

// check checks what the comment of content promises, of everything below d.
func (d *inode) check(t *testing.T) {
	t.Helper()
	for _, c := range []*content{&d.live, &d.durable} {
		used := 0
		for i, p := range c.pages {
			if p == nil {
				continue
			}
			used++
			inside := min(pageSize, c.size-int64(i)*pageSize)
			if inside <= 0 || !isZero(p[inside:]) {
				t.Fatalf("file of %d bytes: page %d lies beyond the end or has something there", c.size, i)
			}
		}
		if used != c.used || *zeroPage != (page{}) {
			t.Fatalf("got %d pages counted, want %d; or the page of zeros has something in it", c.used, used)
		}
	}
	for _, child := range d.entries {
		child.check(t)
	}
}
