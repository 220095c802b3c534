//go:build linux && (amd64 || arm64)

package osfs

import (
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/leatmq/leat/storage/internal/vfs"
)

// TestWriteBehind: what lies far behind the end of a file that is written front to back does not stay in the page cache; what was written just now does.
func TestWriteBehind(t *testing.T) {
	f, dir := open(t)
	var st syscall.Statfs_t
	ok(t, syscall.Statfs(dir, &st))
	if st.Type == tmpfsMagic {
		t.Skip("the directory for temporary files is in memory, where there is nothing to write out")
	}
	h, err := f.Create("a")
	ok(t, err)
	write := func(from, to int64) {
		_, err := h.WriteAt(make([]byte, to-from), from)
		ok(t, err)
		h.WriteBehind(to)
	}
	const windows = 4
	write(0, windows*behindWindow)
	ok(t, h.SyncData()) // so that all is written out, however slow the disk
	if got := resident(t, h, windows*behindWindow); got < windows*behindWindow/2 {
		t.Skipf("%d of %d bytes are in the page cache after they were written: memory is scarce", got, windows*behindWindow)
	}
	write(windows*behindWindow, (windows+1)*behindWindow)
	if got := resident(t, h, windows*behindWindow); got > behindWindow {
		t.Errorf("%d bytes written before the last window are in the page cache, want at most %d", got, behindWindow)
	}
	all := (windows + 1) * int64(behindWindow)
	if got := resident(t, h, all); got < behindWindow/2 {
		t.Errorf("%d bytes of the file are in the page cache, want those of the last window", got)
	}
	ok(t, h.Close())
}

const tmpfsMagic = 0x01021994

// resident returns how many of the first n bytes of the file are in the page cache. See mincore(2).
func resident(t *testing.T, h vfs.File, n int64) (bytes int64) {
	t.Helper()
	m, err := syscall.Mmap(int(h.(*file).h.Fd()), 0, int(n), syscall.PROT_READ, syscall.MAP_SHARED)
	ok(t, err)
	defer func() { ok(t, syscall.Munmap(m)) }()
	page := int64(os.Getpagesize())
	in := make([]byte, (n+page-1)/page)
	_, _, errno := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(n), uintptr(unsafe.Pointer(&in[0])))
	if errno != 0 {
		t.Fatal(errno)
	}
	for _, b := range in {
		bytes += int64(b&1) * page
	}
	return bytes
}
