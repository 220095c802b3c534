package disk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestNewerFormat raises the version in each kind of file, and makes the sums right, as a newer program would leave them: the store, or the read that comes
// to it, is refused as that, and nothing is changed.
func TestNewerFormat(t *testing.T) {
	base := minute(t, true)
	seed := frame.Seed(0)
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	le := binary.LittleEndian
	raise := map[string]func(name string, b []byte) bool{ // what is raised; it returns whether that was in the file
		"checkpoint": func(name string, b []byte) bool {
			if !strings.HasPrefix(name, "checkpoint") {
				return false
			}
			le.PutUint32(b[8:], 2)
			le.PutUint32(b[124:], crc32.Checksum(b[:124], castagnoli))
			return true
		},
		"form of a topic": func(name string, b []byte) bool {
			if !strings.HasPrefix(name, "checkpoint") || string(b[:8]) != "leatckpt" || le.Uint32(b[96:]) < 2 {
				return false
			}
			table := b[4096 : 4096+le.Uint32(b[100:])]
			section := b[4096+len(table)+int(le.Uint32(table)):][:le.Uint32(table[8:])]
			_, n := binary.Uvarint(section)
			section[n] = 99
			le.PutUint32(table[12:], seed.Sum(section))
			le.PutUint32(b[104:], crc32.Checksum(table, castagnoli))
			le.PutUint32(b[124:], crc32.Checksum(b[:124], castagnoli))
			return true
		},
		"journal file": func(name string, b []byte) bool {
			if !strings.HasPrefix(name, "journal/") || string(b[:8]) != "leatslot" {
				return false
			}
			le.PutUint32(b[8:], 2)
			le.PutUint32(b[56:], crc32.Checksum(b[:56], castagnoli))
			return true
		},
		"frame of the journal": func(name string, b []byte) bool {
			if !strings.HasPrefix(name, "journal/") || string(b[:8]) != "leatslot" {
				return false
			}
			frames := framesOf(t, b)
			return raiseFrame(b, frames[len(frames)/2].from, seed)
		},
		"segment": func(name string, b []byte) bool {
			if !strings.HasPrefix(name, "seg/") {
				return false
			}
			le.PutUint32(b[12:], 2)
			le.PutUint32(b[8:], seed.Sum(b[12:4096]))
			return true
		},
		"frame of a segment": func(name string, b []byte) bool { return strings.HasPrefix(name, "seg/") && raiseFrame(b, 4096, seed) },
	}
	b, err := base.Contents("journal/00")
	if err != nil {
		t.Fatal(err)
	}
	seed = frame.Seed(le.Uint32(b[12:]))
	for what, in := range raise {
		im, raised := base.Clone(memfs.Everything, 1), 0
		for _, name := range slices.DeleteFunc(im.Files(), func(name string) bool { return name == "LOCK" }) {
			b, err := im.Contents(name)
			if err != nil {
				t.Fatal(err)
			}
			if in(name, b) {
				raised++
				if err := im.SetContents(name, b); err != nil {
					t.Fatal(err)
				}
			}
		}
		if raised == 0 {
			t.Fatalf("%s: there is none", what)
		}
		before := contents(t, im)
		st, err := open(im)
		if err == nil { // the checkpoints do not say what is in segments
			for _, topic := range st.Topics() {
				_, _, readErr := st.Read(nil, topic.First, 0, 1)
				err = errors.Join(err, readErr)
			}
			before = nil
			st.Close(t.Context())
		}
		var damage *storage.DamageError
		if !errors.Is(err, storage.ErrFormat) || errors.As(err, &damage) {
			t.Errorf("%s: %v, want ErrFormat alone", what, err)
		}
		for name, was := range before {
			if is, err := im.Contents(name); name != "LOCK" && (err != nil || !bytes.Equal(is, was)) {
				t.Errorf("%s: %s was changed, %v", what, name, err)
			}
		}
	}
}

// raiseFrame raises the version of the frame at pos.
func raiseFrame(b []byte, pos int64, seed frame.Seed) bool {
	b[pos+14] = 2
	binary.LittleEndian.PutUint32(b[pos:], seed.Sum(b[pos+4:pos+frame.HeaderSize]))
	return true
}
