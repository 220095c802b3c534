package disk_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// BenchmarkCompressed stores log lines in a topic of Level Compressed and tells what they take on the disk (stored/raw, of the bytes of the lines alone), how fast
// that is made, how fast they are read from start to end beside the same lines in a DiskOnly topic (replay-ratio), and how long single reads at random offsets take.
//
// LEAT_LOG_FILE names an access log whose lines are taken over and over with other times; without it lines are made up. LEAT_LOG_BYTES is how many bytes of them, 32 MiB
// unless said. Segments are of 64 MiB, or a sixteenth of that if it is less; the last one stays as it is.
func BenchmarkCompressed(b *testing.B) {
	for _, batch := range []int{100, 1} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			for b.Loop() {
				benchmarkCompressed(b, batch)
			}
		})
	}
}

func benchmarkCompressed(b *testing.B, batch int) {
	plain := newArchive(b, storage.Strategy{Level: storage.DiskOnly, Sync: storage.SyncOS}, batch)
	plainReplay := plain.replay(b)
	plain.close(b)
	a := newArchive(b, storage.Strategy{Level: storage.Compressed, Sync: storage.SyncOS}, batch)
	began := time.Now()
	if err := a.st.Clean(b.Context()); err != nil {
		b.Fatal(err)
	}
	rewriting := time.Since(began)
	replay := a.replay(b)
	p50, p99 := a.random(b, 5000)
	a.close(b)
	b.ReportMetric(float64(a.size(b))/float64(a.raw), "stored/raw")
	b.ReportMetric(float64(a.raw)/rewriting.Seconds()/1e6, "rewrite-MB/s")
	b.ReportMetric(float64(a.raw)/replay.Seconds()/1e6, "replay-MB/s")
	b.ReportMetric(plainReplay.Seconds()/replay.Seconds(), "replay-ratio")
	b.ReportMetric(float64(p50.Microseconds()), "random-p50-us")
	b.ReportMetric(float64(p99.Microseconds()), "random-p99-us")
}

// archive is a store with log lines in one partition.
type archive struct {
	dir   string
	st    *disk.Store
	p     storage.PartitionID
	raw   int64 // bytes of the lines
	lines int64
}

func newArchive(b *testing.B, s storage.Strategy, batch int) *archive {
	b.Helper()
	a := &archive{dir: b.TempDir()}
	a.open(b)
	topic, err := a.st.CreateTopic(b.Context(), storage.TopicSpec{Name: "logs", Partitions: 1, Strategy: s})
	if err != nil {
		b.Fatal(err)
	}
	a.p = topic.First
	next, size := logLines(b), logBytes(b)
	rs := make([]storage.Record, batch)
	for a.raw < size {
		for i := range rs {
			rs[i] = storage.Record{Value: next()}
			a.raw += int64(len(rs[i].Value))
		}
		a.lines += int64(batch)
		if _, err := a.st.Append(b.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: a.p, Records: rs}}}); err != nil {
			b.Fatal(err)
		}
	}
	a.close(b)
	a.open(b)
	return a
}

func (a *archive) open(b *testing.B) {
	b.Helper()
	var err error
	if a.st, err = disk.Open(a.dir, disk.Options{Tuning: disk.Tuning{RewriteEvery: -1, SegmentBytes: min(64<<20, logBytes(b)/16)}}); err != nil {
		b.Fatal(err)
	}
}

func (a *archive) close(b *testing.B) {
	b.Helper()
	if err := a.st.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// size is that of the segments' files, those that are to be removed left out.
func (a *archive) size(b *testing.B) (n int64) {
	b.Helper()
	a.open(b) // removes what is left of the old ones
	defer a.close(b)
	for range 100 {
		if a.st.Stats().Work["unlink"].Backlog == 0 {
			break
		}
		if err := a.st.Clean(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	n = a.st.Stats().SegmentBytes
	total := int64(0)
	err := filepath.WalkDir(filepath.Join(a.dir, "seg"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d lines of %d bytes: segments %d, all files of them %d", a.lines, a.raw, n, total)
	return n
}

func (a *archive) replay(b *testing.B) time.Duration {
	b.Helper()
	var rs []storage.Record
	var buf []byte
	began, n := time.Now(), int64(0)
	for from := int64(0); n < a.lines; {
		var err error
		if rs, from, err = a.st.ReadInto(rs[:0], &buf, a.p, from, 1<<20); err != nil || len(rs) == 0 {
			b.Fatalf("read from %d: %d records, %v", from, len(rs), err)
		}
		n += int64(len(rs))
	}
	return time.Since(began)
}

func (a *archive) random(b *testing.B, reads int) (p50, p99 time.Duration) {
	b.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	took := make([]time.Duration, reads)
	for i := range took {
		at := rng.Int64N(a.lines)
		began := time.Now()
		rs, _, err := a.st.Read(nil, a.p, at, 1)
		took[i] = time.Since(began)
		if err != nil || len(rs) == 0 || rs[0].Offset != at {
			b.Fatalf("read at %d: %d records, %v", at, len(rs), err)
		}
	}
	slices.Sort(took)
	return took[reads/2], took[reads*99/100]
}

func logBytes(b *testing.B) int64 {
	b.Helper()
	s := os.Getenv("LEAT_LOG_BYTES")
	if s == "" {
		return 32 << 20
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// logLines returns a source of lines.
func logLines(b *testing.B) func() []byte {
	b.Helper()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rng := rand.New(rand.NewPCG(3, 4))
	stamp := func() string {
		at = at.Add(time.Duration(rng.IntN(2000)) * time.Millisecond)
		return at.Format("02/Jan/2006:15:04:05 -0700")
	}
	file := os.Getenv("LEAT_LOG_FILE")
	if file == "" {
		return func() []byte { return madeUp(rng, stamp()) }
	}
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	lines, i := bytes.Split(bytes.TrimSpace(text), []byte("\n")), 0
	return func() []byte {
		line := lines[i%len(lines)]
		i++
		before, rest, ok := bytes.Cut(line, []byte("["))
		_, after, closed := bytes.Cut(rest, []byte("]"))
		if !ok || !closed {
			return line
		}
		return fmt.Appendf(nil, "%s[%s]%s", before, stamp(), after)
	}
}

// madeUp is a line like those of access logs: few addresses and pages make most of them.
func madeUp(rng *rand.Rand, stamp string) []byte {
	agents := [...]string{
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.77 Safari/537.36",
		"Mozilla/5.0 (X11; Linux x86_64; rv:24.0) Gecko/20140205 Firefox/24.0 Iceweasel/24.3.0",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		"UniversalFeedParser/4.2-pre-314-svn +http://feedparser.org/",
	}
	few := func(n int) int { return int(float64(n) * rng.Float64() * rng.Float64() * rng.Float64()) }
	ip := few(2000) * 2654435761
	return fmt.Appendf(nil, "%d.%d.%d.%d - - [%s] \"GET /presentations/%d/images/%x.png HTTP/1.1\" %d %d \"http://example.com/presentations/%d/\" \"%s\"",
		ip>>24&255, ip>>16&255, ip>>8&255, ip&255, stamp, few(50), few(300), [...]int{200, 200, 200, 304, 404}[rng.IntN(5)], rng.IntN(300_000), few(50), agents[few(4)])
}
