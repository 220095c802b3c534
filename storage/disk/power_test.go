//go:build linux

package disk_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/leatmq/leat/storage/internal/vfs/osfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// goingDown is the request of the ioctl that ends a file system as a power cut does, _IOR('X', 125, __u32), the same for ext4 and XFS.
const goingDown = 0x8004587d

// The flags of goingDown.
const (
	flushJournalOnly = 1 // what the file system has in its own journal is written first
	flushNothing     = 2
)

// disks are the file systems that are cut. XFS takes no less than 300 MB; the files are sparse.
var disks = []struct {
	name  string
	bytes int64
	mkfs  []string
}{
	{"ext4", 96 << 20, []string{"mkfs.ext4", "-q"}},
	{"xfs", 320 << 20, []string{"mkfs.xfs", "-q"}},
}

// TestPower ends a file system on a loop device under a child that publishes, mounts it again, and holds what is left against what the
// child was promised. Of all loops it is the only one in which the kernel, a real file system and its journal take part.
func TestPower(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("cutting the power of a file system needs root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("cutting the power of a file system needs loop devices: ", err)
	}
	cuts := sized(t, 2, 200, 10_000)
	for i, d := range disks {
		t.Run(d.name, func(t *testing.T) {
			if _, err := exec.LookPath(d.mkfs[0]); err != nil {
				t.Skip("needs ", d.mkfs[0], ": ", err)
			}
			v := &volume{fs: d.name, image: filepath.Join(t.TempDir(), "image"), at: t.TempDir()}
			v.make(t, d.bytes, d.mkfs)
			a := newTally()
			for seed := uint64(i) << 32; a.get("cuts") < int64(cuts) && !t.Failed(); seed++ {
				a.volume(t, v, seed, min(killsPerDirectory, cuts-int(a.get("cuts"))))
			}
			line := fmt.Sprintf("%d cuts, %d of them dropping everything, %d lines of promises, %d entries acknowledged, %d replayed, %d torn tails cut",
				a.get("cuts"), a.get("dropped"), a.get("lines"), a.get("acknowledged"), a.get("replayed"), a.get("cut"))
			a.end(t, "power loop on "+d.name, line, "cuts", "dropped", "acknowledged", "replayed")
		})
	}
}

// volume cuts the power under several lives of a store.
func (a *tally) volume(t *testing.T, v *volume, seed uint64, lives int) {
	rng := newRand(seed, 9)
	dir := filepath.Join(v.at, fmt.Sprint("store", seed))
	h := storagetest.NewHistory()
	for n := range lives {
		l := life{dir: dir, seed: rng.Uint64(), first: h.Entries()}
		last, flag := 1+rng.IntN(1<<(1+rng.IntN(9))), flushJournalOnly+rng.IntN(2)
		down := false
		lines := l.run(t, func(lines int, kill func()) {
			if lines >= last && !down {
				down = true
				if err := v.cut(flag); err != nil {
					t.Error(err)
				}
				kill()
			}
		})
		if !down { // it ended before: nothing was promised behind it
			if err := v.cut(flag); err != nil {
				t.Fatal(err)
			}
		}
		a.count("cuts", 1)
		a.count("dropped", flag-1)
		a.count("lines", len(lines))
		v.remount(t)
		replay(t, h, lines)
		where := fmt.Sprintf("%s, seed %d, life %d, flag %d, cut after line %d", v.fs, seed, n, flag, last)
		fs, err := osfs.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		ok := a.check(fs, h, storagetest.PowerLost, seed, where, a.report)
		if !ok || t.Failed() {
			return
		}
	}
	a.count("acknowledged", h.Acked())
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

// volume is a file system in a file.
type volume struct {
	fs, image, at string
}

func (v *volume) make(t *testing.T, bytes int64, mkfs []string) {
	t.Helper()
	f, err := os.Create(v.image)
	if err == nil {
		err = f.Truncate(bytes)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	command(t, append(mkfs, v.image)...)
	v.mount(t)
	t.Cleanup(func() { v.unmount(t) })
}

// mount attaches a loop device that goes away with the mount.
func (v *volume) mount(t *testing.T) {
	t.Helper()
	out, err := exec.Command("mount", "-t", v.fs, "-o", "loop", v.image, v.at).CombinedOutput()
	if err != nil {
		t.Skipf("mounting %s on a loop device is not allowed here: %v: %s", v.fs, err, strings.TrimSpace(string(out)))
	}
}

func (v *volume) unmount(t *testing.T) {
	t.Helper()
	command(t, "umount", v.at)
}

// remount brings the file system back as a reboot does: what it has on the disk, with its journal replayed.
func (v *volume) remount(t *testing.T) {
	t.Helper()
	v.unmount(t)
	command(t, "mount", "-t", v.fs, "-o", "loop", v.image, v.at)
}

// cut ends the file system: from now on nothing reaches the disk.
func (v *volume) cut(flag int) error {
	d, err := os.Open(v.at)
	if err != nil {
		return err
	}
	defer d.Close()
	arg := uint32(flag)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, d.Fd(), goingDown, uintptr(unsafe.Pointer(&arg))); errno != 0 {
		return fmt.Errorf("cutting the power of %s: %w", v.fs, errno)
	}
	return nil
}

func command(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
}
