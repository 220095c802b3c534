package disk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// forgeCheckpoints edits the topic of all checkpoints of a store that has one, and makes the sums right.
func forgeCheckpoints(t *testing.T, fs *memfs.FS, edit func(table, section []byte)) {
	t.Helper()
	le, castagnoli, forged := binary.LittleEndian, crc32.MakeTable(crc32.Castagnoli), 0
	for _, name := range fs.Files() {
		if !strings.HasPrefix(name, "checkpoint-") {
			continue
		}
		b, err := fs.Contents(name)
		must(t, err)
		if string(b[:8]) != "leatckpt" || le.Uint32(b[96:]) < 2 {
			continue
		}
		table := b[4096 : 4096+le.Uint32(b[100:])]
		section := b[4096+len(table)+int(le.Uint32(table)):][:le.Uint32(table[8:])]
		edit(table, section)
		le.PutUint32(table[12:], frame.Seed(le.Uint32(b[12:])).Sum(section))
		le.PutUint32(b[104:], crc32.Checksum(table, castagnoli))
		le.PutUint32(b[124:], crc32.Checksum(b[:124], castagnoli))
		must(t, fs.SetContents(name, b))
		forged++
	}
	if forged == 0 {
		t.Fatal("no checkpoint has the topic")
	}
}

// checkpointedStore is a closed store with a topic and a cursor, and the cursor as a checkpoint has it.
func checkpointedStore(t *testing.T) (*memfs.FS, []byte) {
	t.Helper()
	fs := memfs.New()
	st, err := open(fs)
	must(t, err)
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1})
	must(t, err)
	must(t, putRaw(t.Context(), st, record(topic.First, "x")))
	g, err := st.CreateGroup(t.Context(), "g")
	must(t, err)
	cur := storage.Cursor{Group: g.ID, Partition: topic.First, Floor: 1, Passed: 1}
	_, err = st.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{cur}})
	must(t, err)
	must(t, st.Close(t.Context()))
	return fs, frame.AppendCursor(nil, &cur)
}

// TestFaultForgedCheckpoint opens a store whose checkpoints have what no store of this version has written: it is refused if a newer one has, and else stands on one that is whole.
func TestFaultForgedCheckpoint(t *testing.T) {
	start, cursor := checkpointedStore(t)
	for what, edit := range map[string]func(table, section []byte){
		"a topic of a newer form": func(_, section []byte) {
			_, n := binary.Uvarint(section)
			section[n] = 99
		},
		"a cursor that is none": func(_, section []byte) {
			at := bytes.LastIndex(section, cursor)
			for i := range cursor[1:] {
				section[at+1+i] = 0xff
			}
		},
		"a segment that is none": func(_, section []byte) {
			for at := range section {
				if m, _, err := segment.DecodeMeta(section[at:]); err != nil || m.Count != 1 || m.Length <= 4096 {
					continue
				}
				for i := range binary.MaxVarintLen64 {
					section[at+i] = 0xff
				}
				return
			}
			t.Error("no checkpoint has the segment")
		},
	} {
		fs := start.Clone(memfs.Everything, 1)
		forgeCheckpoints(t, fs, edit)
		st, err := open(fs)
		if strings.HasPrefix(what, "a topic") {
			if !errors.Is(err, storage.ErrFormat) {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		must(t, err) // from the checkpoint before that has no topic, and the journal
		if b := bounds(st, st.Topics()[0].First); b.Records != 1 {
			t.Errorf("%s: %+v", what, b)
		}
		must(t, st.Close(t.Context()))
	}
}

// TestFaultLargeCheckpoint has each read of checkpoints fail in turn that say they are larger than what is read at once.
func TestFaultLargeCheckpoint(t *testing.T) {
	start, _ := checkpointedStore(t)
	le, castagnoli := binary.LittleEndian, crc32.MakeTable(crc32.Castagnoli)
	for what, edit := range map[string]func(b []byte){
		"the table": func(b []byte) {
			le.PutUint32(b[96:], 50_000)
			le.PutUint32(b[100:], 8*50_000)
		},
		"a section": func(b []byte) {
			le.PutUint32(b[4096:], 400_000)
			le.PutUint32(b[104:], crc32.Checksum(b[4096:4096+le.Uint32(b[100:])], castagnoli))
		},
	} {
		fs, refused := start.Clone(memfs.Everything, 1), 0
		b, err := fs.Contents("checkpoint-a")
		must(t, err)
		b = append(b, make([]byte, 1<<20)...)
		edit(b)
		le.PutUint32(b[124:], crc32.Checksum(b[:124], castagnoli))
		must(t, fs.SetContents("checkpoint-a", b))
		for n, more := 1, true; more; n++ {
			failing := errfs.New(fs.Clone(memfs.Everything, 1), errfs.Fault{Kinds: []vfs.Kind{vfs.OpRead}, Prefix: "checkpoint-", Nth: n, Err: syscall.EIO})
			st, err := open(failing)
			more = failing.Injected() > 0
			if err == nil {
				st.Close(context.Background())
			} else if refused++; !more || !errors.Is(err, syscall.EIO) {
				t.Errorf("%s, read %d fails: %v", what, n, err)
			}
		}
		if refused == 0 {
			t.Errorf("%s: no open was refused", what)
		}
	}
}

// unknowing is a file system that cannot say who may write in it.
type unknowing struct{ vfs.FS }

func (unknowing) Exposed() (bool, error) { return false, syscall.EIO }

// TestFaultTaken opens what is open, and what cannot be looked at.
func TestFaultTaken(t *testing.T) {
	dir := t.TempDir()
	st, err := disk.Open(dir, tiny())
	must(t, err)
	if _, err := disk.Open(dir, tiny()); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	must(t, st.Close(t.Context()))
	fs := memfs.New()
	if _, err := disk.OpenFS(unknowing{fs}, tiny()); !errors.Is(err, syscall.EIO) {
		t.Errorf("nobody knows who may write: %v", err)
	}
	st, err = disk.OpenFS(fs, tiny()) // the lock was given back
	must(t, err)
	must(t, st.Close(t.Context()))
}

// TestFaultTrimmedMeanwhile trims segments while they are rewritten: that is given up, and is no failure.
func TestFaultTrimmedMeanwhile(t *testing.T) {
	o := quiet()
	o.Tuning.SegmentBytes = 512 << 10
	fs := memfs.New()
	c := newClerk(t, fs, o, storage.Strategy{Level: storage.Compressed})
	c.lines(8000)
	c.reopen()
	must(t, c.st.Reclaim(t.Context()))
	must(t, c.st.Reclaim(t.Context()))
	fs.OnOp(once(vfs.OpRead, "seg/", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond) // one may be in use until this returns
		defer cancel()
		err := c.st.Trim(ctx, c.p, 7999)
		if waited := c.st.Reclaim(ctx); !errors.Is(waited, context.DeadlineExceeded) {
			err = errors.Join(err, waited)
		}
		return err
	}))
	c.clean()
	fs.OnOp(nil)
	if b := bounds(c.st, c.p); b.First != 7999 {
		t.Errorf("%+v is left", b)
	}
	if w := c.st.Stats().Work["rewrite"]; w.LastError != nil {
		t.Errorf("rewriting failed: %+v", w)
	}
}

// TestFaultFollowedNoFile has a store followed by one for which no journal file can be made that takes an entry: it says so, and goes on when there can.
func TestFaultFollowedNoFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := memfs.New()
		st, err := disk.OpenFS(memfs.New(), disk.FollowFS(tiny(), to))
		must(t, err)
		defer st.Close(context.Background())
		topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1})
		must(t, err)
		must(t, st.WaitFollowed(t.Context()))
		failing(to, "journal/", syscall.EIO, vfs.OpCreate)
		must(t, putRaw(t.Context(), st, big(topic.First, 400_000)))
		if err := st.WaitFollowed(t.Context()); !errors.Is(err, syscall.EIO) {
			t.Errorf("followed by a store that has no room: %v", err)
		}
		to.OnOp(nil)
		time.Sleep(10 * time.Minute)
		must(t, st.WaitFollowed(t.Context()))
	})
}
