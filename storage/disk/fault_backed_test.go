package disk_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// backed is a store that was killed and is open again, to be read, with all records where they are in its journal.
type backed struct {
	fs     *memfs.FS
	st     *disk.Store
	p      storage.PartitionID
	all    []storage.Record
	frames []placed // of p, in the journal
}

func newBacked(t *testing.T) *backed {
	t.Helper()
	var b backed
	b.fs, _, _ = journalOnly(t, storage.SyncAlways, 60)
	b.take(t, disk.OpenReadOnlyFS)
	return &b
}

// take opens the store.
func (b *backed) take(t *testing.T, opener func(vfs.FS, disk.Options) (*disk.Store, error)) {
	t.Helper()
	var err error
	b.st, err = opener(b.fs, tiny())
	must(t, err)
	t.Cleanup(func() { b.st.Close(context.Background()) })
	b.p = b.st.Topics()[0].First
	content, err := b.fs.Contents("journal/00")
	must(t, err)
	for _, f := range framesOf(t, content) {
		if f.Count > 0 && f.Partition == uint32(b.p) {
			b.frames = append(b.frames, f)
		}
	}
	b.all, _, err = b.st.Read(nil, b.p, 0, 1<<20)
	if err != nil || len(b.frames) < 20 || len(b.all) == 0 || b.st.Stats().Spills > 0 {
		t.Fatalf("%d records of %d frames are in the journal: %v", len(b.all), len(b.frames), err)
	}
}

// is tells whether a read from an offset on returns what it is to return.
func (b *backed) is(from int64) bool {
	rs, _, err := b.st.Read(nil, b.p, from, 1<<20)
	if err != nil || len(rs) == 0 {
		return false
	}
	want := b.all[len(b.all)-len(rs):]
	for i := range rs {
		if !same(&rs[i], &want[i]) {
			return false
		}
	}
	return rs[0].Offset == from
}

// TestFaultReadsOfTheJournal ruins the journal of a store that reads from it what it has replayed: a read returns what is in front of the damage, then the damage,
// and then what is behind it.
func TestFaultReadsOfTheJournal(t *testing.T) {
	b := newBacked(t)
	first, later := b.frames[0], b.frames[10]
	content, err := b.fs.Contents("journal/00")
	must(t, err)
	forged := append([]byte(nil), content...)
	forgeBody(forged[first.from:], &first.Header, seedOf(t, b.fs))
	for how, ruin := range map[string]func(at placed){
		"a flipped body":      func(at placed) { must(t, b.fs.FlipBit("journal/00", at.from+70, 1)) },
		"a flipped header":    func(at placed) { must(t, b.fs.FlipBit("journal/00", at.from+20, 1)) },
		"another frame":       func(at placed) { copyWithin(t, b.fs, b.frames[20], at) },
		"a file that is less": func(at placed) { must(t, b.fs.Resize("journal/00", at.from+70)) },
		"forged records":      func(placed) { must(t, b.fs.SetContents("journal/00", forged)) },
	} {
		for _, at := range []placed{first, later} {
			if how == "forged records" {
				at = first
			}
			ruin(at)
			var damage *storage.DamageError
			_, _, err := b.st.Read(nil, b.p, at.Base, 1<<20)
			if !errors.As(err, &damage) || damage.First != at.Base || damage.Next != at.Next() || damage.Partition != b.p {
				t.Errorf("%s at offset %d: %v", how, at.Base, err)
			}
			if rs, next, err := b.st.Read(nil, b.p, 0, 1<<20); at.Base > 0 && (err != nil || next != at.Base || int64(len(rs)) != at.Base) {
				t.Errorf("%s at offset %d: in front of it %d records up to %d, %v", how, at.Base, len(rs), next, err)
			}
			must(t, b.fs.SetContents("journal/00", content))
			if !b.is(0) || !b.is(at.Next()) {
				t.Errorf("%s at offset %d: what is whole again does not read as it was", how, at.Base)
			}
		}
	}
}

// copyWithin puts the bytes of a frame of the journal in the place of another.
func copyWithin(t *testing.T, fs *memfs.FS, from, to placed) {
	t.Helper()
	b, err := fs.Contents("journal/00")
	must(t, err)
	copy(b[to.from:], b[from.from:from.to])
	must(t, fs.SetContents("journal/00", b))
}

// once has do called at the first operation of a kind on a file whose name begins like that, and fails it with what do returns.
func once(kind vfs.Kind, prefix string, do func() error) func(vfs.Op) error {
	var done atomic.Bool
	return func(op vfs.Op) error {
		if op.Kind != kind || !strings.HasPrefix(op.Name, prefix) || !done.CompareAndSwap(false, true) {
			return nil
		}
		return do()
	}
}

// TestFaultReadFromTheJournal has a read fail, and the store be closed during one: both say so.
func TestFaultReadFromTheJournal(t *testing.T) {
	b := newBacked(t)
	b.fs.OnOp(once(vfs.OpRead, "journal/", func() error { return syscall.EIO }))
	var damage *storage.DamageError
	if _, _, err := b.st.Read(nil, b.p, 0, 1<<20); !errors.Is(err, syscall.EIO) || errors.As(err, &damage) {
		t.Errorf("the journal cannot be read: %v", err)
	}
	if !b.is(0) {
		t.Error("read again, it is not what it was")
	}
	closed := make(chan error, 1)
	b.fs.OnOp(once(vfs.OpRead, "journal/", func() error { // as a file that is closed answers; Close itself waits for the read
		go func() { closed <- b.st.Close(context.Background()) }()
		return fs.ErrClosed
	}))
	if _, _, err := b.st.Read(nil, b.p, 0, 1<<20); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("closed while it was read: %v", err)
	}
	must(t, <-closed)
}

// TestFaultReadWhatMoves has the frames that are read from the journal copied to segments while they are, and the file fail then, as one would that is written over: the
// read finds them where they are now.
func TestFaultReadWhatMoves(t *testing.T) {
	var b backed
	b.fs, _, _ = journalOnly(t, storage.SyncAlways, 60)
	held, spills := make(chan struct{}, 1), make(chan struct{})
	hold := func(op vfs.Op) error {
		if op.Kind == vfs.OpMkdir && strings.HasPrefix(op.Name, "seg/") {
			select {
			case held <- struct{}{}:
			default:
			}
			<-spills
		}
		return nil
	}
	b.fs.OnOp(hold)
	b.take(t, disk.OpenFS)
	<-held // it has read what it will copy first
	moved := once(vfs.OpRead, "journal/", func() error {
		close(spills)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return errors.Join(b.st.Reclaim(ctx), syscall.EIO) // two checkpoints
	})
	b.fs.OnOp(func(op vfs.Op) error { return errors.Join(hold(op), moved(op)) })
	if !b.is(0) || b.st.Stats().Spills == 0 {
		t.Error("what has moved while it was read is not what it was")
	}
}
