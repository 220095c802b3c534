package disk_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestTornTail cuts the last, unsynced group of a journal at every byte, and puts zeros or garbage behind it: the group is cut and
// counted, everything before it is there.
func TestTornTail(t *testing.T) {
	fs, h, start := journalOnly(t, storage.SyncOS, 40)
	const name = "journal/00"
	whole, err := fs.Contents(name)
	if err != nil {
		t.Fatal(err)
	}
	end := int64(len(bytes.TrimRight(whole, "\x00")))
	a, rng := newTally(), newRand(2, 10)
	step := int64(sized(t, 61, 7, 1))
	for at := start; at < end; at += step {
		for _, how := range []string{"zeros", "garbage", "one bit"} {
			im := fs.Clone(memfs.Everything, 1)
			if err := tear(im, name, how, at, end, rng); err != nil {
				t.Fatal(err)
			}
			a.count("cuts", 1)
			where := fmt.Sprintf("%s from byte %d of %d to %d on", how, at, start, end)
			a.check(im, h.Fork(h.Mark()), storagetest.PowerLost, uint64(at), where, func(st *disk.Store) {
				r := st.Report()
				if whole := int64(len(bytes.TrimRight(whole[:at], "\x00"))); r.Clean || r.CutBytes == 0 && whole >= start+64 && how != "one bit" {
					a.wrong("%s: %d bytes cut, clean %v", where, r.CutBytes, r.Clean)
				}
				if r.CutBytes > 0 {
					a.count("counted", 1)
				}
			})
		}
	}
	a.end(t, "torn tail", fmt.Sprintf("%d tails of %d lengths, %d of them counted", a.get("cuts"), (end-start)/step, a.get("counted")), "cuts", "counted")
}

func tear(fs *memfs.FS, name, how string, at, end int64, rng *rand.Rand) error {
	switch how {
	case "zeros":
		return fs.ZeroRange(name, at, end-at)
	case "one bit":
		return fs.FlipBit(name, at, uint(rng.IntN(8)))
	}
	b, err := fs.Contents(name)
	if err != nil {
		return err
	}
	for i := at; i < end; i++ {
		b[i] = byte(rng.Uint32())
	}
	return fs.SetContents(name, b)
}
