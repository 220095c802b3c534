package disk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// clerk writes to one partition, remembers what it wrote, and looks whether it is there.
type clerk struct {
	t       *testing.T
	fs      vfs.FS
	o       disk.Options
	st      *disk.Store
	p       storage.PartitionID
	written []storage.Record
}

func newClerk(t *testing.T, fs vfs.FS, o disk.Options, s storage.Strategy) *clerk {
	t.Helper()
	c := &clerk{t: t, fs: fs, o: o}
	c.open()
	t.Cleanup(func() { c.st.Close(context.Background()) })
	topic, err := c.st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1, Strategy: s})
	if err != nil {
		t.Fatal(err)
	}
	c.p = topic.First
	return c
}

// quiet rewrites when it is asked to, and then only.
func quiet() disk.Options {
	o := tiny()
	o.Tuning.RewriteEvery, o.Tuning.CleanEvery = -1, -1
	return o
}

func (c *clerk) open() {
	c.t.Helper()
	st, err := disk.OpenFS(c.fs, c.o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.st = st
}

func (c *clerk) reopen() {
	c.t.Helper()
	if err := c.st.Close(context.Background()); err != nil {
		c.t.Fatal(err)
	}
	c.open()
}

func (c *clerk) append(rs ...storage.Record) {
	c.t.Helper()
	if _, err := c.st.Append(c.t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: c.p, Records: rs}}}); err != nil {
		c.t.Fatal(err)
	}
	c.written = append(c.written, rs...)
}

// lines appends so many log lines, a few in each batch.
func (c *clerk) lines(n int) {
	c.t.Helper()
	rng := rand.New(rand.NewPCG(uint64(len(c.written)), 7))
	for range n / 5 {
		var rs []storage.Record
		for range 5 {
			line := fmt.Sprintf("10.0.%d.%d - - [10/Oct/2026:13:55:%02d +0000] \"GET /item/%d HTTP/1.1\" 200 %d", rng.IntN(256), rng.IntN(256), rng.IntN(60), rng.IntN(1000), rng.IntN(1<<16))
			rs = append(rs, storage.Record{Value: []byte(line)})
		}
		c.append(rs...)
	}
}

func (c *clerk) clean() {
	c.t.Helper()
	if err := c.st.Clean(c.t.Context()); err != nil {
		c.t.Fatalf("clean: %v", err)
	}
}

// check reads everything and compares it with what was written and is to be kept.
func (c *clerk) check(keep func(i int) bool) {
	c.t.Helper()
	var got []storage.Record
	for from := int64(0); ; {
		rs, next, err := c.st.Read(nil, c.p, from, 9000)
		if err != nil {
			c.t.Fatalf("read from %d: %v", from, err)
		}
		if len(rs) == 0 {
			break
		}
		got, from = append(got, rs...), next
	}
	n := 0
	for i := range c.written {
		w := &c.written[i]
		if !keep(i) {
			continue
		}
		if n >= len(got) || got[n].Offset != w.Offset || string(got[n].Value) != string(w.Value) || string(got[n].Key) != string(w.Key) || !got[n].Appended.Equal(w.Appended) {
			c.t.Fatalf("record %d, offset %d: %d records were read, and this is not the one at %d", i, w.Offset, len(got), n)
		}
		n++
	}
	if n != len(got) {
		c.t.Fatalf("%d records, want %d", len(got), n)
	}
	for i := 0; i < len(c.written); i += 97 {
		if o, err := c.st.Ordinal(c.p, c.written[i].Offset); err != nil || o != int64(i) {
			c.t.Fatalf("ordinal of %d: %d, %v, want %d", c.written[i].Offset, o, err, i)
		}
	}
	if b, err := c.st.Bounds(c.p); err != nil || b.Records != int64(len(c.written)) {
		c.t.Fatalf("bounds %+v, %v", b, err)
	}
}

func allOfThem(int) bool { return true }

// A Compressed topic takes a fraction of its size once it is no longer appended to; nothing of it changes for its readers, now or after a reopen.
func TestCompressedTopic(t *testing.T) {
	for _, codec := range []compress.ID{0, compress.IDGzip, compress.IDSnappy, compress.IDS2} {
		fs := memfs.New()
		c := newClerk(t, fs, quiet(), storage.Strategy{Level: storage.Compressed, Compression: storage.CompressionPolicy{Codec: codec, BlockBytes: 16 << 10}})
		c.lines(8000)
		before := c.st.Stats().SegmentBytes
		c.clean()
		s := c.st.Stats()
		if s.SegmentBytes > before*2/3 {
			t.Errorf("codec %v: %d bytes before, %d after", codec, before, s.SegmentBytes)
		}
		w := s.Work["rewrite"]
		if w.Runs == 0 || w.Done < before/2 || w.Backlog != 0 || w.LastError != nil || w.Running {
			t.Errorf("codec %v: work %+v of %d bytes", codec, w, before)
		}
		c.check(allOfThem)
		c.clean()
		if again := c.st.Stats().Work["rewrite"]; again.Runs != w.Runs {
			t.Errorf("codec %v: rewritten again: %+v after %+v", codec, again, w)
		}
		c.reopen()
		c.check(allOfThem)
		c.lines(3000)
		c.clean()
		c.check(allOfThem)
		c.reopen()
		c.check(allOfThem)
		if r := c.st.Report(); len(r.Foreign)+r.Leftovers+len(r.Damage) > 0 {
			t.Errorf("codec %v: report %+v", codec, r)
		}
	}
}

// Small compressed segments do not stay many.
func TestCompressedSegmentsAreMerged(t *testing.T) {
	c := newClerk(t, memfs.New(), quiet(), storage.Strategy{Level: storage.Compressed})
	for range 30 {
		c.lines(1000)
		c.clean()
	}
	if s := c.st.Stats(); s.Segments > 24 || s.Work["rewrite"].Runs < 30 {
		t.Errorf("%d segments after %+v", s.Segments, s.Work["rewrite"])
	}
	c.check(allOfThem)
}

// It happens by itself, in the background, at its pace.
func TestRewritingInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := tiny()
		o.Tuning.CheckpointEvery, o.Tuning.RewriteEvery, o.Tuning.RewriteBytesPerSecond = time.Minute, 2*time.Second, 64<<10
		c := newClerk(t, memfs.New(), o, storage.Strategy{Level: storage.Compressed})
		began := time.Now()
		for c.st.Stats().Work["rewrite"].Runs < 5 {
			c.lines(200)
			time.Sleep(time.Second)
			if time.Since(began) > time.Hour {
				t.Fatalf("after %v: %+v", time.Since(began), c.st.Stats().Work)
			}
		}
		if w := c.st.Stats().Work["rewrite"]; time.Since(began) < time.Duration(w.Done)*time.Second/(64<<10) {
			t.Errorf("%d bytes in %v", w.Done, time.Since(began))
		}
		c.check(allOfThem)
		c.reopen()
		c.check(allOfThem)
	})
}

// Closing ends it at once, though at its pace it would take for ever; what it was about is as it was.
func TestCloseEndsRewriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := tiny()
		o.Tuning.CheckpointEvery, o.Tuning.RewriteEvery, o.Tuning.RewriteBytesPerSecond = time.Minute, 2*time.Second, 1
		fs := memfs.New()
		c := newClerk(t, fs, o, storage.Strategy{Level: storage.Compressed})
		for range 200 {
			if c.st.Stats().Work["rewrite"].Running {
				break
			}
			c.lines(100)
			time.Sleep(time.Minute)
		}
		if w := c.st.Stats().Work["rewrite"]; !w.Running {
			t.Fatalf("nothing is rewritten: %+v", w)
		}
		began := time.Now()
		c.reopen()
		if took := time.Since(began); took > time.Second {
			t.Errorf("close took %v", took)
		}
		if r := c.st.Report(); len(r.Foreign) > 0 || r.Leftovers > 0 {
			t.Errorf("report %+v", r)
		}
		c.check(allOfThem)
	})
}

// Whatever befalls the rewriting, the store goes on, says what happened, and it is done the next time.
func TestRewritingFails(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
		for _, kind := range []vfs.Kind{vfs.OpCreate, vfs.OpWrite} {
			fs := memfs.New()
			var log eventLog
			o := quiet()
			o.Events = log.note
			c := newClerk(t, fs, o, storage.Strategy{Level: storage.Compressed})
			c.lines(8000)
			c.reopen() // nothing waits to be spilled
			old := fs.Files()
			fs.OnOp(func(op vfs.Op) error {
				if op.Kind == kind && strings.HasPrefix(op.Name, "seg/") && !slices.Contains(old, op.Name) {
					return cause
				}
				return nil
			})
			err := c.st.Clean(t.Context())
			fs.OnOp(nil)
			if !errors.Is(err, cause) {
				t.Fatalf("%v of %v: clean returned %v", cause, kind, err)
			}
			w := c.st.Stats().Work["rewrite"]
			if !errors.Is(w.LastError, cause) || w.FailedAt.IsZero() || w.Runs != 0 {
				t.Errorf("%v: work %+v", cause, w)
			}
			if es := log.of(storage.EventWorkError); len(es) == 0 || !errors.Is(es[0].Err, cause) {
				t.Errorf("%v: events %v", cause, es)
			}
			if c.st.StopCause() != nil {
				t.Fatalf("%v: the store stopped: %v", cause, c.st.StopCause())
			}
			c.check(allOfThem)
			c.lines(100)
			c.clean()
			if w := c.st.Stats().Work["rewrite"]; w.LastError != nil || w.Runs == 0 {
				t.Errorf("%v: afterwards %+v", cause, w)
			}
			c.reopen()
			c.check(allOfThem)
			if r := c.st.Report(); len(r.Foreign) > 0 {
				t.Errorf("%v: foreign %v", cause, r.Foreign)
			}
		}
	}
}

// What is damaged is left alone, and the rest is rewritten.
func TestRewritingAroundDamage(t *testing.T) {
	fs := memfs.New()
	c := newClerk(t, fs, quiet(), storage.Strategy{Level: storage.Compressed})
	c.lines(8000)
	c.reopen()
	var files []string
	for _, name := range fs.Files() {
		if strings.HasPrefix(name, "seg/") {
			files = append(files, name)
		}
	}
	if len(files) < 5 {
		t.Fatalf("%d segments", len(files))
	}
	if err := fs.FlipBit(files[2], 4096+64+10, 3); err != nil {
		t.Fatal(err)
	}
	var damage *storage.DamageError
	if err := c.st.Clean(t.Context()); !errors.As(err, &damage) || damage.File != files[2] {
		t.Fatalf("clean returned %v, want damage of %s", err, files[2])
	}
	w := c.st.Stats().Work["rewrite"]
	if w.Runs < int64(len(files))-3 || c.st.StopCause() != nil {
		t.Errorf("%d of %d segments rewritten, %v", w.Runs, len(files), c.st.StopCause())
	}
	lost := int64(0)
	for from := int64(0); from < int64(len(c.written)); {
		rs, next, err := c.st.Read(nil, c.p, from, 1<<20)
		if errors.As(err, &damage) {
			lost += damage.Next - max(damage.First, from)
			next = damage.Next
		} else if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs {
			if string(r.Value) != string(c.written[r.Offset].Value) {
				t.Fatalf("offset %d is another", r.Offset)
			}
		}
		from = next
	}
	if lost == 0 || lost > 1000 {
		t.Errorf("%d records cannot be read", lost)
	}
}
