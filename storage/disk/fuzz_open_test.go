package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// specimen makes a store with records in segments and in the journal, as a kill left it.
func specimen(f *testing.F) *memfs.FS {
	f.Helper()
	fs := memfs.New()
	ctx := context.Background()
	var topic storage.Topic
	for life := range 2 {
		st, err := OpenFS(fs, specimenOptions)
		if err != nil {
			f.Fatal(err)
		}
		defer st.Close(ctx)
		g, err := st.CreateGroup(ctx, "g")
		if err != nil {
			f.Fatal(err)
		}
		if life == 0 {
			if topic, err = st.CreateTopic(ctx, storage.TopicSpec{Name: "t", Partitions: 2}); err != nil {
				f.Fatal(err)
			}
		}
		for i := range 4 {
			e := &storage.Entry{Batches: []storage.Batch{{Partition: topic.Partition(i % 2), Records: []storage.Record{{Value: make([]byte, 300)}}}}}
			if i > 1 {
				e.Cursors = []storage.Cursor{{Group: g.ID, Partition: topic.First, Floor: 1, Passed: 1}}
			}
			if _, err := st.Append(ctx, e); err != nil {
				f.Fatal(err)
			}
		}
		if life == 1 {
			return fs.Clone(memfs.Everything, 1)
		}
		if err := st.Close(ctx); err != nil {
			f.Fatal(err)
		}
	}
	return nil
}

var specimenOptions = Options{MemoryBytes: 8 << 20, Tuning: Tuning{SlotBytes: 64 << 10, Slots: 2, JournalBytes: 256 << 10, CheckpointEvery: -1, CleanEvery: -1}}

// FuzzOpen opens a directory that was changed at will, sums made right or not: it opens or is refused with a typed error, and so it is with an open to be read
// and with a salvage; nothing panics, hangs, or takes memory without bound, and what is read back is whole records.
func FuzzOpen(f *testing.F) {
	golden := specimen(f)
	f.Add([]byte{})
	for i := range byte(8) {
		f.Add([]byte{i, i, 0x10, 0, 0, 8, 0, 0xff, 1 + i, 7 - i, 0, 0x10, 0, 40, 0, 0})
	}
	f.Add([]byte("\x01\x01\x00\xd3\xf9\x00\x1b\xfe\x1f\x06\x1f\x10\x017\x98\x1f")) // a batch at an offset that there was already, its sums right
	f.Fuzz(func(t *testing.T, program []byte) {
		fs := golden.Clone(memfs.Everything, 1)
		size, err := mutate(fs, program)
		if err != nil {
			t.Fatal(err)
		}
		allocates(t, size+8<<20, 4, func() {
			salvaged := fs.Clone(memfs.Everything, 1)
			readAnything(t, func() (*Store, error) { return OpenReadOnlyFS(fs, specimenOptions) })
			readAnything(t, func() (*Store, error) { return OpenFS(fs, specimenOptions) })
			if _, err := SalvageFS(salvaged, SalvageOptions{Store: specimenOptions}); err != nil {
				typedOnly(t, err)
			}
			readAnything(t, func() (*Store, error) { return OpenFS(salvaged, specimenOptions) })
		})
	})
}

// mutate carries out a program of steps of 8 bytes: file, what, position in three bytes, length in two, value. It returns the size of all files.
func mutate(fs *memfs.FS, program []byte) (size int, err error) {
	for ; len(program) >= 8 && err == nil; program = program[8:] {
		names := slices.DeleteFunc(fs.Files(), func(name string) bool { return name == "LOCK" })
		if len(names) == 0 {
			break
		}
		name, other := names[int(program[0])%len(names)], names[int(program[7])%len(names)]
		b, readErr := fs.Contents(name)
		if readErr != nil {
			return 0, readErr
		}
		pos := int(program[2]) | int(program[3])<<8 | int(program[4])<<16
		n := int(binary.LittleEndian.Uint16(program[5:]))
		pos = pos % (len(b) + 1)
		n = min(n, len(b)-pos)
		switch program[1] % 8 {
		case 0, 1:
			for i := range b[pos : pos+n] {
				b[pos+i] ^= program[7]
			}
			err = fs.SetContents(name, b)
		case 2:
			err = fs.SetContents(name, b[:pos])
		case 3:
			err = fs.SetContents(name, append(b, make([]byte, pos%(1<<16))...))
		case 4:
			err = fs.SetContents(other, b)
		case 5:
			err = fs.Delete(name)
		default:
			if pos+n <= len(b) && n > 0 {
				b[pos] = program[7]
			}
			err = fs.SetContents(name, mendFile(b, pos))
		}
	}
	for _, name := range fs.Files() {
		b, readErr := fs.Contents(name)
		size += len(b)
		err = errors.Join(err, readErr)
	}
	return size, err
}

// mendFile makes the sums right: of a checkpoint, of a slot's header, or of the frames around pos.
func mendFile(b []byte, pos int) []byte {
	switch {
	case len(b) >= sector && string(b[:8]) == checkpointMagic:
		return mendCheckpoint(b)
	case len(b) >= sector && string(b[:8]) == slotMagic:
		seed := frame.Seed(binary.LittleEndian.Uint32(b[12:]))
		for at := sector; at+frame.HeaderSize <= len(b); at += 8 {
			n := int(binary.LittleEndian.Uint32(b[at+4:]))
			if b[at+14] == 0 || n > len(b)-at-frame.HeaderSize || at+frame.Size(n) <= pos || at > pos {
				continue
			}
			binary.LittleEndian.PutUint32(b[at+8:], seed.Sum(b[at+frame.HeaderSize:][:n]))
			binary.LittleEndian.PutUint32(b[at:], seed.Sum(b[at+4:at+frame.HeaderSize]))
			break
		}
	}
	return b
}

// readAnything opens a store, reads all it can, and closes it.
func readAnything(t *testing.T, open func() (*Store, error)) {
	st, err := open()
	if err != nil {
		typedOnly(t, err)
		return
	}
	for _, topic := range st.Topics() {
		for i := range min(topic.Partitions, 16) {
			p := topic.Partition(i)
			for from, reads := int64(0), 0; reads < 50; reads++ {
				records, next, err := st.Read(nil, p, from, 1<<16)
				var damage *storage.DamageError
				switch {
				case errors.As(err, &damage) && damage.Next > from:
					next = damage.Next
				case err != nil:
					typedOnly(t, err)
				case len(records) == 0:
					reads = 50
				}
				from = next
			}
			_, _ = st.OffsetAt(p, time.Unix(0, st.core.Clock.Now()))
			_, _ = st.Ordinal(p, 3)
		}
	}
	if err := st.Close(context.Background()); err != nil {
		typedOnly(t, err)
	}
}

func typedOnly(t *testing.T, err error) {
	var damage *storage.DamageError
	var stopped *storage.StoppedError
	var limit *storage.LimitError
	for _, known := range []error{storage.ErrFormat, storage.ErrFollower, storage.ErrUnfinished} {
		if errors.Is(err, known) {
			return
		}
	}
	if !errors.As(err, &damage) && !errors.As(err, &stopped) && !errors.As(err, &limit) {
		t.Fatal(fmt.Errorf("of no known kind: %w", err))
	}
}
