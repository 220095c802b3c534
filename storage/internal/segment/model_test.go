package segment_test

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// machine does random things to a segment and its model.
type machine struct {
	fs     *memfs.FS
	dir    *segment.Dir
	g      *segment.Segment
	l      *log
	sealed bool
	buf    []byte // read into, over and over
	tight  bool   // no offset is left out, so that it may be rewritten
	files  uint64 // made
}

func (m *machine) append(t *rapid.T) {
	if m.sealed {
		return
	}
	var frames []byte
	for range rapid.IntRange(1, 4).Draw(t, "frames") {
		b := batch{
			gap:   rapid.SampledFrom([]int64{0, 0, 0, 1, 1 << 20}).Draw(t, "gap"),
			skips: rapid.SliceOfN(rapid.SampledFrom([]uint8{0, 0, 0, 1, 9}), 1, 20).Draw(t, "skips"),
			after: rapid.SampledFrom([]uint32{0, 0, 3}).Draw(t, "after"),
			value: rapid.SampledFrom([]int{0, 1, 100, 1000, 4000, 100_000}).Draw(t, "value"),
			later: rapid.SampledFrom([]int64{0, 1, 100}).Draw(t, "later"),
		}
		if m.tight {
			b.gap, b.after = 0, 0
			clear(b.skips)
		}
		frames = append(frames, m.l.make(b)...)
	}
	if err := m.g.Append(frames); err != nil {
		t.Fatalf("append: %v", err)
	}
}

func (m *machine) align(t *rapid.T) {
	if m.sealed {
		return
	}
	if err := m.g.Align(); err != nil {
		t.Fatalf("align: %v", err)
	}
	if at := m.g.Meta().Length; at%4096 != 0 {
		t.Fatalf("aligned to %d", at)
	}
}

func (m *machine) sync(t *rapid.T) {
	if err := m.g.Sync(); err != nil {
		t.Fatalf("sync: %v", err)
	}
}

func (m *machine) seal(t *rapid.T) {
	if m.sealed {
		return
	}
	if err := m.g.Seal(); err != nil {
		t.Fatalf("seal: %v", err)
	}
	m.sealed = true
}

// rewrite puts a compressed segment in place of a sealed one, or a plain one, again and again.
func (m *machine) rewrite(t *rapid.T) {
	if !m.sealed || !m.tight {
		return
	}
	m.files++
	r := segment.Rewrite{Sources: []*segment.Segment{m.g}, File: m.files, Codec: compress.ID(rapid.IntRange(0, 4).Draw(t, "codec"))}
	r.BlockBytes = rapid.SampledFrom([]int{0, 1, 3000}).Draw(t, "block")
	g, err := m.dir.Rewrite(context.Background(), r)
	if err != nil {
		t.Fatalf("rewrite: %v", err)
	}
	m.g = g
}

// reopen goes on from what the checkpoint would have kept, with the footer gone now and then.
func (m *machine) reopen(t *rapid.T) {
	if err := m.dir.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	meta, rest, err := segment.DecodeMeta(m.g.Meta().Append(nil))
	if err != nil || len(rest) > 0 {
		t.Fatalf("description: %v, %d bytes left", err, len(rest))
	}
	if m.sealed && rapid.Bool().Draw(t, "loses the footer") {
		if err := m.fs.Resize(m.g.Name(), meta.Length); err != nil {
			t.Fatal(err)
		}
	}
	m.dir = segment.NewDir(m.fs, identity, 0)
	m.g = m.dir.Open(partition, meta)
}

func (m *machine) read(t *rapid.T) {
	from := m.offset(t)
	max := rapid.SampledFrom([]int{0, 1, 500, 5000, 70_000, 1 << 20, 1 << 24}).Draw(t, "max")
	for range rapid.IntRange(1, 5).Draw(t, "reads") {
		got, err := m.g.ReadInto(&m.buf, from, max)
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if from, err = m.l.checkRead(got, from, max); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *machine) offset(t *rapid.T) int64 {
	if len(m.l.frames) > 0 && rapid.Bool().Draw(t, "at a frame") {
		return rapid.SampledFrom(m.l.frames).Draw(t, "frame").Base + int64(rapid.IntRange(0, 2).Draw(t, "in it"))
	}
	return rapid.Int64Range(m.l.base, m.l.next).Draw(t, "offset")
}

func (m *machine) offsetAt(t *rapid.T) {
	at := rapid.Int64Range(900, m.l.time+1).Draw(t, "time")
	got, ok, err := m.g.OffsetAt(at)
	if want, wantOK := m.l.offsetAt(at); err != nil || got != want || ok != wantOK {
		t.Fatalf("offset at time %d: got %d, %v, %v, want %d, %v", at, got, ok, err, want, wantOK)
	}
}

func (m *machine) ordinal(t *rapid.T) {
	offset := min(m.offset(t), m.l.next)
	got, err := m.g.Ordinal(offset)
	if want := m.l.ordinalOf(offset); err != nil || got != want {
		t.Fatalf("ordinal of %d: got %d, %v, want %d", offset, got, err, want)
	}
}

func (m *machine) check(t *rapid.T) {
	got := m.g.Meta()
	if got.Next != m.l.next || got.Count != m.l.count || got.Sealed != m.sealed || got.LastLSN != m.l.lsn && got.Count > 0 {
		t.Fatalf("described as %+v, want next offset %d, %d records", got, m.l.next, m.l.count)
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLog(rapid.Int64Range(0, 1<<40).Draw(t, "base"), rapid.Int64Range(0, 1<<40).Draw(t, "ordinal"))
		m := &machine{fs: memfs.New(), l: l, tight: rapid.Bool().Draw(t, "tight"), files: 1}
		m.dir = segment.NewDir(m.fs, identity, 1)
		g, err := m.dir.Create(partition, 1, l.base, l.ordinal, 3)
		if err != nil {
			t.Fatal(err)
		}
		m.g = g
		t.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append again": m.append, "align": m.align, "sync": m.sync, "seal": m.seal, "rewrite": m.rewrite, "reopen": m.reopen,
			"read": m.read, "read again": m.read, "offset at": m.offsetAt, "ordinal": m.ordinal, "": m.check,
		})
	})
}
