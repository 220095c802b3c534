package disk_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// countingFS counts the bytes that are written, by the first element of their file's name, and those read from segments. A sync takes a millisecond.
type countingFS struct {
	vfs.FS
	journal, segments, others, segmentReads atomic.Int64
}

func (c *countingFS) Open(name string, mode vfs.Mode) (vfs.File, error) {
	f, err := c.FS.Open(name, mode)
	return c.file(name, f, err)
}

func (c *countingFS) Create(name string) (vfs.File, error) {
	f, err := c.FS.Create(name)
	return c.file(name, f, err)
}

func (c *countingFS) file(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	to := &c.others
	switch dir, _, _ := strings.Cut(name, "/"); dir {
	case "journal":
		to = &c.journal
	case "seg":
		to = &c.segments
	}
	return &countedFile{f, c, to}, nil
}

// reset forgets what was counted.
func (c *countingFS) reset() {
	for _, n := range []*atomic.Int64{&c.journal, &c.segments, &c.others, &c.segmentReads} {
		n.Store(0)
	}
}

func (c *countingFS) written() int64 { return c.journal.Load() + c.segments.Load() + c.others.Load() }

type countedFile struct {
	vfs.File
	fs *countingFS
	to *atomic.Int64
}

func (f *countedFile) WriteAt(p []byte, at int64) (int, error) {
	f.to.Add(int64(len(p)))
	return f.File.WriteAt(p, at)
}

func (f *countedFile) ReadAt(p []byte, at int64) (int, error) {
	if f.to == &f.fs.segments {
		f.fs.segmentReads.Add(1)
	}
	return f.File.ReadAt(p, at)
}

func (f *countedFile) SyncData() error {
	time.Sleep(time.Millisecond)
	return f.File.SyncData()
}

// TestWrittenBytes bounds what is written for each byte of 1 KiB messages that are synced, when the journal is used again: singles of 64 appenders, which
// commit together, and batches of 100. Each byte is written to the journal and to its segment.
func TestWrittenBytes(t *testing.T) {
	for name, c := range map[string]struct {
		appenders, records int
		limit              float64 // bytes written for a byte of a value
	}{
		"singles": {64, 1, 2.3},
		"bulk":    {1, 100, 2.1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := &countingFS{FS: memfs.New()}
				o := disk.Options{MemoryBytes: 16 << 20, Tuning: disk.Tuning{JournalBytes: 32 << 20, SpillBytes: 2 << 20, CheckpointEvery: -1}}
				st, err := disk.OpenFS(fs, o)
				if err != nil {
					t.Fatal(err)
				}
				p := turnTopic(t, st, storage.SyncAlways, "t")
				appendAll(t, st, p, c.appenders, c.records, 48<<20) // the journal's files are made, and written once
				synctest.Wait()
				before := st.Stats()
				fs.reset()
				fs.segments.Store(-before.UnspilledBytes) // which are written later, and not of what is counted
				payload := appendAll(t, st, p, c.appenders, c.records, 32<<20)
				if s := st.Stats(); s.Checkpoints == before.Checkpoints || s.JournalBytes != before.JournalBytes {
					t.Errorf("checkpoints %d to %d, a journal of %d and %d bytes: not what the test is about",
						before.Checkpoints, s.Checkpoints, before.JournalBytes, s.JournalBytes)
				}
				if err := st.Close(t.Context()); err != nil { // with what is not in segments yet
					t.Fatal(err)
				}
				each := func(n int64) float64 { return float64(n) / float64(payload) }
				t.Logf("for each byte %.2f are written: %.2f to the journal, %.2f to segments, %.2f elsewhere",
					each(fs.written()), each(fs.journal.Load()), each(fs.segments.Load()), each(fs.others.Load()))
				if each(fs.written()) > c.limit {
					t.Errorf("%.2f bytes are written for each, at most %.1f allowed", each(fs.written()), c.limit)
				}
			})
		})
	}
}

// appendAll appends at least so many bytes of values, and returns how many.
func appendAll(t *testing.T, st storage.Store, p storage.PartitionID, appenders, records, bytes int) int64 {
	t.Helper()
	rounds := bytes / (appenders * records * benchRecord)
	var wg sync.WaitGroup
	for range appenders {
		wg.Go(func() {
			e := benchEntry(p, records)
			for range rounds {
				if _, err := st.Append(context.Background(), e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return int64(rounds) * int64(appenders*records*benchRecord)
}

// TestOpenReadsNoSegment closes a store with many segments and opens it: what that costs depends on their number only, and not on what is in them.
func TestOpenReadsNoSegment(t *testing.T) {
	fs := &countingFS{FS: memfs.New()}
	o := disk.Options{MemoryBytes: 8 << 20, Tuning: disk.Tuning{SegmentBytes: 1 << 20, SpillBytes: 1 << 20}}
	st, err := disk.OpenFS(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	p := turnTopic(t, st, storage.SyncOS, "t")
	appendAll(t, st, p, 1, 100, 32<<20)
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	fs.reset()
	if st, err = disk.OpenFS(fs, o); err != nil {
		t.Fatal(err)
	}
	if r, s := st.Report(), st.Stats(); !r.Clean || s.Segments < 30 || s.OpenFiles > 0 {
		t.Errorf("%+v, %+v: not what the test is about", r, s)
	}
	if n := fs.segmentReads.Load(); n > 0 {
		t.Errorf("an open after a clean close reads segments %d times", n)
	}
	if n := fs.written(); n > 128<<10 {
		t.Errorf("an open after a clean close writes %d bytes", n)
	}
	fs.segmentReads.Store(0)
	if _, _, err := st.Read(nil, p, 0, 1); err != nil || fs.segmentReads.Load() == 0 {
		t.Errorf("a read reads segments %d times, %v", fs.segmentReads.Load(), err)
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
