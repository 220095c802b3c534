package disk_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// atFirstRewrite has do called when the first segment of a clean is about to be made, and counts those that are made.
func atFirstRewrite(fs *memfs.FS, most int, do func()) (made *atomic.Int64) {
	made = new(atomic.Int64)
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind != vfs.OpCreate || !strings.HasPrefix(op.Name, "seg/") {
			return nil
		}
		switch n := made.Add(1); {
		case n == 1:
			do()
		case n > int64(most):
			return errTooMany // rather than go on for ever
		}
		return nil
	})
	return made
}

var errTooMany = errors.New("too many segments are made")

// A topic that is altered not to be compressed any more, while it is being compressed, is left alone from then on.
func TestAlteredWhileCompressed(t *testing.T) {
	fs := memfs.New()
	c := newClerk(t, fs, quiet(), storage.Strategy{Level: storage.Compressed, Sync: storage.SyncOS})
	c.lines(4000)
	c.reopen()
	made := atFirstRewrite(fs, 10, func() {
		if err := c.st.AlterTopic(t.Context(), "t", storage.Strategy{Level: storage.DiskOnly, Sync: storage.SyncOS}, nil); err != nil {
			t.Error(err)
		}
	})
	c.clean()
	fs.OnOp(nil)
	if n := made.Load(); n != 1 {
		t.Errorf("%d segments were made", n)
	}
	c.check(allOfThem)
}

// A topic that is altered to keep everything, before a round of compaction has come to it, keeps everything; one that is being compacted, all that is left.
func TestAlteredBeforeCompaction(t *testing.T) {
	fs := memfs.New()
	c := newClerk(t, fs, quiet(), latestByKey(storage.DiskOnly))
	topic, err := c.st.CreateTopic(t.Context(), storage.TopicSpec{Name: "other", Partitions: 1, Strategy: latestByKey(storage.DiskOnly)})
	must(t, err)
	other := *c
	other.p = topic.First
	c.keyed(400, 40, "k")
	other.keyed(400, 40, "k")
	c.reopen()
	other.st = c.st
	made := atFirstRewrite(fs, 100, func() {
		for _, name := range []string{"t", "other"} {
			if err := c.st.AlterTopic(t.Context(), name, storage.Strategy{Level: storage.DiskOnly}, nil); err != nil {
				t.Error(err)
			}
		}
	})
	c.clean()
	fs.OnOp(nil)
	if n := made.Load(); n != 1 {
		t.Errorf("%d segments were made", n)
	}
	other.check(allOfThem)
	c.checkNewest(len(c.written), 0)
}

// A topic that is deleted while it is rewritten, or before its turn has come, is no failure.
func TestDeletedWhileRewritten(t *testing.T) {
	for _, level := range []storage.Level{storage.DiskOnly, storage.Compressed} {
		fs := memfs.New()
		c := newClerk(t, fs, quiet(), latestByKey(level))
		topic, err := c.st.CreateTopic(t.Context(), storage.TopicSpec{Name: "other", Partitions: 1, Strategy: latestByKey(level)})
		must(t, err)
		other := *c
		other.p = topic.First
		c.keyed(400, 40, "k")
		other.keyed(400, 40, "k")
		c.reopen()
		made := atFirstRewrite(fs, 100, func() {
			for _, name := range []string{"t", "other"} {
				if err := c.st.DeleteTopic(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		})
		err = c.st.Clean(t.Context())
		fs.OnOp(nil)
		if n := made.Load(); err != nil || n != 1 {
			t.Errorf("%v: %d segments were made, %v", level, n, err)
		}
		for work, w := range c.st.Stats().Work {
			if w.LastError != nil {
				t.Errorf("%v: %s: %v", level, work, w.LastError)
			}
		}
	}
}

// What cannot be read while keys are gathered is told as that, left as it is, and compacted the next time.
func TestCompactionCannotRead(t *testing.T) {
	fs := memfs.New()
	c := newClerk(t, fs, quiet(), latestByKey(storage.DiskOnly))
	c.keyed(400, 40, "k")
	c.reopen()
	fs.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpRead && strings.HasPrefix(op.Name, "seg/") {
			return syscall.EIO
		}
		return nil
	})
	err := c.st.Clean(t.Context())
	fs.OnOp(nil)
	var limit *storage.LimitError
	if !errors.Is(err, syscall.EIO) || errors.As(err, &limit) {
		t.Errorf("clean: %v, want EIO alone", err)
	}
	c.check(allOfThem)
	c.clean()
	c.checkNewest(len(c.written), len(c.written)-1500)
	if n := len(c.offsets()); n > len(c.written)/2+700 {
		t.Errorf("%d of %d records are left", n, len(c.written))
	}
}
