package frame_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
)

var update = flag.Bool("update", false, "write golden files that do not exist yet; existing ones never change")

// golden is a frame whose bytes are frozen in testdata/v1. A file there never changes: a change of the format is a new version
// and a new directory, and this version stays readable.
type golden struct {
	name   string
	header frame.Header
	body   []byte
	check  func(h *frame.Header, body []byte) error // decodes body and compares it with what it was made from
}

func (g *golden) encode() []byte { return assemble(g.header, g.body, seed) }

func goldens() []golden {
	return []golden{
		goldenBatch(), goldenCursor(), goldenTopic(), goldenRestored(), goldenGrown(), goldenFollowed(), goldenGroup(), goldenPad(), goldenBlock(),
		goldenAlter(), goldenDrop(), goldenGroupDrop(), goldenStart(), goldenGap(),
	}
}

func goldenBatch() golden {
	records := []storage.Record{
		{
			Timestamp: time.Date(2021, 3, 4, 5, 6, 7, 89, time.UTC), Key: []byte("customer-17"), Value: []byte("a value"),
			Headers: storage.AppendHeader(storage.AppendHeader(nil, "trace", []byte{1, 2, 3}), "empty", nil),
		},
		{},
		{Key: []byte{}, Value: bytes.Repeat([]byte("0123456789"), 20)},
	}
	h, body := encode(1<<40+5, time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC).UnixNano(), records)
	h.LSN, h.Partition, h.SyncedBack = frame.At(9, 1<<33+7), 3, 2
	return golden{"batch", h, body, func(h *frame.Header, body []byte) error {
		got, err := frame.DecodeRecords(nil, h, body, 0)
		if err != nil || len(got) != len(records) {
			return fmt.Errorf("%d records, %w, want %d", len(got), err, len(records))
		}
		for i, want := range records {
			want.Offset, want.Appended = h.Base+int64(i), time.Unix(0, h.Time)
			if !sameRecord(&got[i], &want) {
				return fmt.Errorf("record %d: got %+v, want %+v", i, got[i], want)
			}
		}
		return nil
	}}
}

func goldenCursor() golden {
	want := storage.Cursor{
		Group: 300, Partition: 3, Floor: 1 << 40, Passed: 1<<40 - 77,
		Done:   []storage.Range{{From: 1<<40 + 1, To: 1<<40 + 2}, {From: 1<<40 + 500, To: 1<<40 + 800}},
		Failed: []storage.Failure{{Offset: 1 << 40, Attempts: 3, Due: 1767323045000000678}, {Offset: 1<<40 + 499, Attempts: 1}},
	}
	h := frame.Header{Kind: frame.Cursor, Flags: frame.End, LSN: frame.At(9, 1<<33+8), Partition: 3, Time: 1767323045000000678, SyncedBack: 3}
	return golden{"cursor", h, frame.AppendCursor(nil, &want), func(h *frame.Header, body []byte) error {
		got, err := frame.DecodeCursor(body, h.Partition)
		return differ(got, err, want)
	}}
}

func goldenTopic() golden {
	return goldenTopicOf("topic", frame.Topic, storage.Strategy{Sync: storage.SyncInterval(250 * time.Millisecond)})
}

func goldenAlter() golden {
	return goldenTopicOf("alter", frame.Alter, storage.Strategy{
		Sync: storage.SyncOS, Level: storage.Compressed, NoBackup: true,
		Compression: storage.CompressionPolicy{Codec: compress.IDZstd, Level: compress.Better, BlockBytes: 300_000},
		Cleanup: storage.CleanupPolicy{
			MaxAge: time.Hour, MaxBytes: 1 << 40, MaxRecords: 1 << 33, LatestByKey: true, TombstoneAge: time.Minute, HoldForGroups: true,
		},
	})
}

func goldenDrop() golden {
	h := frame.Header{Kind: frame.Drop, Flags: frame.End, LSN: frame.At(2, 5), Time: 1767323045000000678}
	return golden{"drop", h, frame.AppendDrop(nil, 70000), func(_ *frame.Header, body []byte) error {
		got, err := frame.DecodeDrop(body)
		return differ(got, err, storage.PartitionID(70000))
	}}
}

func goldenGroupDrop() golden {
	h := frame.Header{Kind: frame.GroupDrop, Flags: frame.End, LSN: frame.At(2, 6), Time: 1767323045000000678}
	return golden{"groupdrop", h, frame.AppendGroupDrop(nil, 300), func(_ *frame.Header, body []byte) error {
		got, err := frame.DecodeGroupDrop(body)
		return differ(got, err, storage.GroupID(300))
	}}
}

func goldenStart() golden {
	h := frame.Header{Kind: frame.Start, Flags: frame.End, LSN: frame.At(2, 7), Base: 1 << 40, Partition: 3}
	return golden{"start", h, nil, func(_ *frame.Header, body []byte) error { return differ(len(body), nil, 0) }}
}

func goldenGap() golden {
	want := frame.Hole{
		First: 1 << 40, Next: 1<<40 + 300, Ordinal: 1<<40 - 77, Records: 299, State: frame.HoleSkipped,
		File: "seg/00000003/0000000000000007", From: 8192, To: 70000, Reason: "frame: body sum does not match",
	}
	h := frame.Header{Kind: frame.Gap, Flags: frame.End, LSN: frame.At(2, 9), Partition: 3}
	return golden{"gap", h, frame.AppendHole(nil, &want), func(_ *frame.Header, body []byte) error {
		got, err := frame.DecodeHole(body)
		return differ(got, err, want)
	}}
}

func goldenTopicOf(name string, kind frame.Kind, strategy storage.Strategy) golden {
	want := storage.Topic{
		TopicSpec: storage.TopicSpec{
			Name: "orders.v2", Partitions: 300, Settings: []byte(`{"for":"the layer above"}`),
			Strategy: strategy,
		},
		Incarnation: 0x0123456789abcdef,
		First:       70000,
	}
	h := frame.Header{Kind: kind, Flags: frame.End, LSN: frame.At(1, 1), Time: 1767323045000000678}
	return golden{name, h, frame.AppendTopic(nil, &want), func(_ *frame.Header, body []byte) error {
		got, err := frame.DecodeTopic(body)
		return differ(got, err, want)
	}}
}

func goldenRestored() golden {
	want := storage.Topic{
		TopicSpec:   storage.TopicSpec{Name: "twice", Partitions: 2, Settings: []byte("x")},
		Incarnation: 3,
		Past:        []storage.Life{{Incarnation: 1, Next: []int64{10, 0}}, {Incarnation: 2, Next: []int64{300, 5}}},
	}
	h := frame.Header{Kind: frame.Topic, Flags: frame.End, LSN: frame.At(1, 1), Time: 1767323045000000678}
	return golden{"restored", h, frame.AppendTopic(nil, &want), func(_ *frame.Header, body []byte) error {
		got, err := frame.DecodeTopic(body)
		return differ(got, err, want)
	}}
}

func goldenGrown() golden {
	want := storage.Topic{
		TopicSpec:   storage.TopicSpec{Name: "orders", Partitions: 307, Settings: []byte("x")},
		Incarnation: 3,
		First:       70000,
		Added:       []storage.Stretch{{From: 2, First: 70003}, {From: 300, First: 80000}},
		Past:        []storage.Life{{Incarnation: 1, Next: make([]int64, 307)}},
	}
	want.Past[0].Next[0], want.Past[0].Next[1] = 10, 300
	h := frame.Header{Kind: frame.Alter, Flags: frame.End, LSN: frame.At(1, 1), Time: 1767323045000000678}
	return golden{"grown", h, frame.AppendTopic(nil, &want), func(_ *frame.Header, body []byte) error {
		got, err := frame.DecodeTopic(body)
		return differ(got, err, want)
	}}
}

func goldenFollowed() golden {
	want := frame.Place{Life: 0x0123456789abcdef, LSN: frame.At(3, 700)}
	h := frame.Header{Kind: frame.Followed, Flags: frame.End, LSN: frame.At(1, 9)}
	return golden{"followed", h, frame.AppendPlace(nil, want), func(_ *frame.Header, body []byte) error {
		got, err := frame.DecodePlace(body)
		return differ(got, err, want)
	}}
}

func goldenGroup() golden {
	want := storage.Group{ID: 300, Name: "billing"}
	h := frame.Header{Kind: frame.Group, Flags: frame.End, LSN: frame.At(1, 2), Time: 1767323045000000678, SyncedBack: 1}
	return golden{"group", h, frame.AppendGroup(nil, &want), func(_ *frame.Header, body []byte) error {
		got, err := frame.DecodeGroup(body)
		return differ(got, err, want)
	}}
}

func goldenPad() golden {
	want := make([]byte, 40)
	h := frame.Header{Kind: frame.Pad, Flags: frame.End, LSN: frame.At(frame.MaxEpoch, 1<<40-1), SyncedBack: 1<<32 - 1}
	return golden{"pad", h, want, func(_ *frame.Header, body []byte) error { return differ(body, nil, want) }}
}

// goldenBlock is compressed by hand, to a snappy literal: encoders may find something shorter in every version.
func goldenBlock() golden {
	var frames []byte
	for i := range 2 {
		h, body := encode(1<<40+int64(7*i), 1767323045000000678+int64(i), []storage.Record{{Value: []byte("a value")}, {Key: []byte("k")}})
		h.LSN, h.Partition = frame.At(9, 1<<33+uint64(i)), 3
		frames = append(frames, assemble(h, body, seed)...)
	}
	body := binary.AppendUvarint(nil, uint64(len(frames)))
	body = binary.AppendUvarint(body, uint64(len(frames)))
	body = append(append(body, 60<<2, byte(len(frames)-1)), frames...)
	h := frame.Header{
		Kind: frame.Block, Codec: compress.IDSnappy, LSN: frame.At(9, 1<<33+1), Base: 1 << 40, Span: 9, Partition: 3, Count: 4, Time: 1767323045000000679,
	}
	return golden{"block", h, body, func(h *frame.Header, body []byte) error {
		got, err := frame.ExpandBlock(nil, h, body, compress.Snappy(), seed)
		return differ(got, err, frames)
	}}
}

func differ(got any, err error, want any) error {
	if err != nil || !reflect.DeepEqual(got, want) {
		return fmt.Errorf("got %+v, %w, want %+v", got, err, want)
	}
	return nil
}

func TestGolden(t *testing.T) {
	dir := filepath.Join("testdata", "v1")
	if frame.Version != 1 {
		t.Fatalf("version %d needs golden files of its own; those of version 1 stay, and stay readable", frame.Version)
	}
	named := map[string]bool{}
	for _, g := range goldens() {
		named[g.name+".hex"] = true
		t.Run(g.name, func(t *testing.T) {
			file := filepath.Join(dir, g.name+".hex")
			if *update {
				if err := freeze(file, g.encode()); err != nil {
					t.Fatal(err)
				}
			}
			frozen, err := thaw(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := g.encode(); !bytes.Equal(got, frozen) {
				t.Errorf("encodes to\n%s\nwhich is not what is frozen in %s:\n%s", hex.Dump(got), file, hex.Dump(frozen))
			}
			h, body, size, err := frame.Next(frozen, seed)
			if err != nil || size != len(frozen) {
				t.Fatalf("the frozen frame: %v, size %d of %d", err, size, len(frozen))
			}
			want := g.header
			want.BodyLen, want.BodySum = h.BodyLen, h.BodySum
			if h != want {
				t.Errorf("the frozen header: got %+v, want %+v", h, want)
			}
			if err := g.check(&h, body); err != nil {
				t.Errorf("the frozen body: %v", err)
			}
		})
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !named[f.Name()] {
			t.Errorf("no test reads %s", f.Name())
		}
	}
}

// TestGoldenFilesStay: -update does not change a file that exists.
func TestGoldenFilesStay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.hex")
	for i, p := range [][]byte{{1, 2, 3}, {4, 5, 6}} {
		err := freeze(file, p)
		if i == 0 && err != nil || i == 1 && !errors.Is(err, fs.ErrExist) {
			t.Fatalf("freezing for time %d: %v", i+1, err)
		}
	}
	if p, err := thaw(file); err != nil || !bytes.Equal(p, []byte{1, 2, 3}) {
		t.Fatalf("the file holds %v, %v, want what was frozen first", p, err)
	}
}

// TestFormatPage: the example and the sums on the page that draws the format are those of the code.
func TestFormatPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "FORMAT.md"))
	if err != nil {
		t.Fatal(err)
	}
	group := goldenGroup()
	want := []string{fmt.Sprintf("`%08x`", uint32(seed))}
	for _, s := range []frame.Seed{0, seed} {
		want = append(want, fmt.Sprintf("`%08x`", s.Sum([]byte("123456789"))))
	}
	for p := group.encode(); len(p) > 0; p = p[16:] {
		want = append(want, fmt.Sprintf("% x", p[:16]))
	}
	for _, text := range want {
		if !strings.Contains(string(page), text) {
			t.Errorf("FORMAT.md does not have %s", text)
		}
	}
}

// freeze writes p to a file that must not exist, in lines of 16 bytes.
func freeze(file string, p []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("golden files never change: %w", err)
	}
	for len(p) > 0 && err == nil {
		n := min(16, len(p))
		_, err = fmt.Fprintf(f, "% x\n", p[:n])
		p = p[n:]
	}
	return errors.Join(err, f.Close())
}

func thaw(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
}
