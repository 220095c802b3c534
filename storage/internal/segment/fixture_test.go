package segment_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

const partition storage.PartitionID = 7

var identity = segment.Identity{Store: 0xfeed, Seed: 0xabcdef01}

// log is the model of a segment: the frames that were appended, and where its next one goes.
type log struct {
	base, ordinal int64
	next, count   int64
	time          int64
	lsn           frame.LSN
	frames        []modelFrame
}

type modelFrame struct {
	frame.Header
	offsets []int64 // of its records
	bytes   []byte
}

func newLog(base, ordinal int64) *log {
	return &log{base: base, ordinal: ordinal, next: base, time: 1000, lsn: frame.At(3, 1)}
}

// batch describes a frame to be made.
type batch struct {
	gap   int64   // offsets left out before it
	skips []uint8 // for each record, offsets left out before it within the frame
	after uint32  // offsets left out at its end
	value int     // bytes of each record's value
	later int64   // nanoseconds after the one before
	noise int     // bytes of each value that nothing compresses
}

// make adds a frame to the log and returns its bytes.
func (l *log) make(b batch) []byte {
	l.time += b.later
	l.lsn++
	f := modelFrame{Header: frame.Header{
		Kind: frame.Batch, Flags: frame.End, LSN: l.lsn, Base: l.next + b.gap, Partition: uint32(partition), Time: l.time, Count: uint32(len(b.skips)),
	}}
	at := f.Base
	var body []byte
	for _, skip := range b.skips {
		at += int64(skip)
		f.offsets = append(f.offsets, at)
		if skip > 0 {
			body = binary.AppendUvarint(append(body, 8), uint64(skip))
		} else {
			body = append(body, 0)
		}
		body = binary.AppendUvarint(body, uint64(b.value))
		value := bytes.Repeat([]byte{byte(at)}, b.value)
		for i, rng := 0, rand.New(rand.NewPCG(uint64(at), 1)); i < b.noise; i++ {
			value[i] = byte(rng.Uint32())
		}
		body = append(body, value...)
		at++
	}
	f.Span = uint32(at-f.Base) + b.after
	f.BodyLen, f.BodySum = uint32(len(body)), identity.Seed.Sum(body)
	f.bytes = make([]byte, frame.Size(len(body)))
	f.Put(f.bytes, identity.Seed)
	copy(f.bytes[frame.HeaderSize:], body)
	l.frames = append(l.frames, f)
	l.next, l.count = f.Next(), l.count+int64(f.Count)
	return f.bytes
}

// plain is a batch of n records without gaps.
func plain(n, value int) batch { return batch{skips: make([]uint8, n), value: value, later: 10} }

// checkRead checks what Read(from, max) returned, and returns the offset behind it.
func (l *log) checkRead(got []byte, from int64, max int) (next int64, err error) {
	want := l.frames
	for len(want) > 0 && want[0].Next() <= from {
		want = want[1:]
	}
	if len(want) == 0 {
		if len(got) != 0 {
			return from, fmt.Errorf("read from %d returned %d bytes behind the end", from, len(got))
		}
		return from, nil
	}
	rest, read := got, 0
	for ; len(rest) > 0; read++ {
		h, _, size, err := frame.Next(rest, identity.Seed)
		if err != nil {
			return from, fmt.Errorf("read from %d returned a bad frame: %w", from, err)
		}
		if h.Kind == frame.Pad {
			read--
		} else if read >= len(want) || !bytes.Equal(rest[:size], want[read].bytes) {
			return from, fmt.Errorf("read from %d: frame %d, of offset %d, is not what was appended", from, read, h.Base)
		}
		rest = rest[size:]
	}
	if read < 1 || read > 1 && len(got) > max {
		return from, fmt.Errorf("read from %d with a bound of %d returned %d frames in %d bytes", from, max, read, len(got))
	}
	return want[read-1].Next(), nil
}

func (l *log) offsetAt(t int64) (int64, bool) {
	for _, f := range l.frames {
		if f.Time >= t {
			return f.Base, true
		}
	}
	return 0, false
}

func (l *log) ordinalOf(offset int64) int64 {
	n := l.ordinal
	for _, f := range l.frames {
		for _, o := range f.offsets {
			if o < offset {
				n++
			}
		}
	}
	return n
}

// store is a directory of segments in memory.
type store struct {
	t   testing.TB
	fs  *memfs.FS
	dir *segment.Dir
}

func newStore(t testing.TB, maxOpen int) *store {
	fs := memfs.New()
	s := &store{t: t, fs: fs, dir: segment.NewDir(fs, identity, maxOpen)}
	t.Cleanup(func() { s.dir.Close() })
	return s
}

// reopen forgets all that is in memory.
func (s *store) reopen() {
	s.t.Helper()
	if err := s.dir.Close(); err != nil {
		s.t.Fatalf("close: %v", err)
	}
	s.dir = segment.NewDir(s.fs, identity, 0)
}

func (s *store) create(file uint64, l *log) *segment.Segment {
	s.t.Helper()
	g, err := s.dir.Create(partition, file, l.base, l.ordinal, 3)
	if err != nil {
		s.t.Fatalf("create: %v", err)
	}
	return g
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// damage returns err as damage, or fails the test.
func damage(t testing.TB, err error) *storage.DamageError {
	t.Helper()
	var d *storage.DamageError
	if !errors.As(err, &d) {
		t.Fatalf("got error %v, want damage", err)
	}
	return d
}

// readAll reads the segment from its start, twice, into memory of its own and into one buffer, checks it against the log, and returns the number of reads.
func readAll(t testing.TB, g *segment.Segment, l *log, max int) int {
	t.Helper()
	buf := bytes.Repeat([]byte{0xff}, 100)
	readAllWith(t, l, max, func(from int64, max int) ([]byte, error) { return g.ReadInto(&buf, from, max) })
	return readAllWith(t, l, max, g.Read)
}

func readAllWith(t testing.TB, l *log, max int, read func(from int64, max int) ([]byte, error)) int {
	t.Helper()
	from, reads := l.base, 0
	for {
		got, err := read(from, max)
		must(t, err)
		next, err := l.checkRead(got, from, max)
		must(t, err)
		if len(got) == 0 {
			break
		}
		from, reads = next, reads+1
	}
	if from != l.next {
		t.Fatalf("read up to offset %d, want %d", from, l.next)
	}
	return reads
}

// nextOf returns the offset behind the frames that a read returned.
func nextOf(frames []byte) (next int64) {
	for len(frames) > 0 {
		h, err := frame.Parse(frames, identity.Seed)
		if err != nil {
			panic(err)
		}
		next, frames = h.Next(), frames[h.Size():]
	}
	return next
}
