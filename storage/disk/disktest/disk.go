// Package disktest is a disk in memory that loses power, stalls and fails, for tests of what stands on package disk. It is for tests only.
//
// It is the disk that the tests of package disk itself are made with: what no sync has covered may be lost, torn or ruined by a crash.
package disktest

import (
	"fmt"
	"strings"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/blob"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// Disk is a disk in memory. Its methods may be called at the same time.
type Disk struct{ fs *memfs.FS }

// New returns an empty disk.
func New() *Disk { return &Disk{memfs.New()} }

// Open opens the store on the disk. One at a time holds it.
func (d *Disk) Open(o disk.Options) (*disk.Store, error) { return disk.OpenFS(d.fs, o) }

// Of returns the disk that a store was opened on; false if that is a directory.
func Of(s *disk.Store) (*Disk, bool) {
	fs, ok := s.FS().(*memfs.FS)
	return &Disk{fs}, ok
}

// Op is an operation that is about to begin.
type Op struct {
	N       int    // how many there were before it
	Name    string // what it does, and to which file
	Changes bool   // it changes what is on the disk
	Syncs   bool   // it makes something durable
}

// Hook has f called before each operation, in the goroutine that does it; nil ends that. An error is what the operation returns instead of being done; f may also
// wait.
func (d *Disk) Hook(f func(Op) error) {
	if f == nil {
		d.fs.OnOp(nil)
		return
	}
	d.fs.OnOp(func(op vfs.Op) error {
		return f(Op{N: op.N, Name: op.String(), Changes: op.Kind.Changes(), Syncs: op.Kind == vfs.OpSyncData || op.Kind == vfs.OpSyncDir})
	})
}

// Killed returns the disk as it would be if the process ended now: all that was written is there.
func (d *Disk) Killed() *Disk { return &Disk{d.fs.Clone(memfs.Everything, 1)} }

// Modes is how many ways there are to lose power.
func Modes() int { return len(memfs.Modes()) }

// PowerLost returns the disk as it would be if the power went away now. mode, from 0 up to Modes, says what becomes of what no sync has covered; where it leaves a choice, seed
// makes it.
func (d *Disk) PowerLost(mode int, seed uint64) *Disk {
	return &Disk{d.fs.Clone(memfs.Modes()[mode], seed)}
}

// Rot turns over a bit of each place in the segments of a partition where so many bytes stand, and returns how many there were. What is in the journal only, or in memory, is left.
func (d *Disk) Rot(p storage.PartitionID, bytes []byte) (places int) {
	for _, name := range d.fs.Files() {
		if !strings.HasPrefix(name, fmt.Sprintf("seg/%08x/", uint32(p))) {
			continue
		}
		all, err := d.fs.Contents(name)
		for at := 0; err == nil && len(bytes) > 0; at++ {
			next := strings.Index(string(all[at:]), string(bytes))
			if next < 0 {
				break
			}
			at += next
			places++
			err = d.fs.FlipBit(name, int64(at), 0)
		}
	}
	return places
}

// Fill has the disk hold what it holds and no more; Free gives it room again.
func (d *Disk) Fill() { d.fs.FillUp() }

// Free gives the disk room for everything.
func (d *Disk) Free() { d.fs.SetCapacity(-1) }

// Blobs opens a directory of values on the disk, beside the store. One at a time holds it.
func (d *Disk) Blobs(dir string) (*blob.Dir, error) { return blob.OpenFS(d.fs.Sub(dir)) }
