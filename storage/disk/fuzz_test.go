package disk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
	"runtime/metrics"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// allocates fails if f allocates more than factor bytes for each of n, and a constant for what else the process does.
func allocates(t *testing.T, n, factor int, f func()) {
	t.Helper()
	before := allocated()
	f()
	if got, limit := allocated()-before, uint64(n*factor+(4<<20)); got > limit {
		t.Fatalf("%d bytes allocated for an input of %d, at most %d are due", got, n, limit)
	}
}

func allocated() uint64 {
	sample := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}

// sample is a checkpoint with something in each of its fields.
func sample() *checkpoint {
	topic := storage.Topic{TopicSpec: storage.TopicSpec{Name: "t", Partitions: 2, Settings: []byte("s")}, Incarnation: 7, First: 3}
	hole := frame.Hole{First: 10, Next: 15, Ordinal: 10, Records: 5, State: frame.HoleOpen, File: "journal/00", From: 4096, To: 4200, Reason: "why"}
	meta := segment.Meta{File: 1, Next: 10, Count: 10, MinTime: 5, MaxTime: 9, Length: 8192, LastLSN: frame.At(2, 9), Sealed: true}
	return &checkpoint{
		id: identity{store: 1, seed: 2}, seq: 3, epoch: 4, applied: frame.At(4, 9), from: mark{lsn: frame.At(4, 5), seq: 6, pos: 4096}, last: frame.At(4, 9),
		nextFile: 2, nextPart: 5, nextGrp: 2, groups: []storage.Group{{ID: 1, Name: "g"}}, files: []slotFile{{0, 64 << 10}, {1, 128 << 10}},
		topics: []topicState{{topic: topic, parts: []partState{
			{reach: segmentBase{next: 15, records: 15, time: 9}, segments: []segment.Meta{meta}, holes: []frame.Hole{hole}}, {},
		}}},
	}
}

// FuzzCheckpoint reads arbitrary bytes as a checkpoint: as they are, and with all sums made right.
func FuzzCheckpoint(f *testing.F) {
	header, rest := sample().encode()
	f.Add(append(header, rest...), false)
	f.Add(append(header, rest...), true)
	f.Add(header, true)
	f.Fuzz(func(t *testing.T, p []byte, correct bool) {
		if correct {
			p = mendCheckpoint(p)
		}
		fs := memfs.New()
		if err := fs.SetContents("checkpoint-a", p); err != nil {
			t.Fatal(err)
		}
		allocates(t, len(p), 100, func() {
			c, err := readCheckpoint(fs, "checkpoint-a")
			if err != nil {
				if !errors.Is(err, errCheckpoint) && !errors.Is(err, storage.ErrFormat) {
					t.Fatal(err)
				}
				return
			}
			header, rest := c.encode()
			if err := fs.SetContents("checkpoint-b", append(header, rest...)); err != nil {
				t.Fatal(err)
			}
			if _, err := readCheckpoint(fs, "checkpoint-b"); err != nil {
				t.Fatalf("encoded again: %v", err)
			}
		})
	})
}

// mendCheckpoint returns p with the sums of its sections, table and header made right.
func mendCheckpoint(p []byte) []byte {
	p = append([]byte(nil), p...)
	if len(p) < sector {
		return p
	}
	le := binary.LittleEndian
	seed := frame.Seed(le.Uint32(p[12:]))
	n := int(le.Uint32(p[96:]) % 64)
	le.PutUint32(p[96:], uint32(n))
	le.PutUint32(p[100:], uint32(8*n))
	if sector+8*n <= len(p) {
		table, rest := p[sector:sector+8*n], p[sector+8*n:]
		for i := range n {
			size := min(int(le.Uint32(table[8*i:])), len(rest))
			le.PutUint32(table[8*i:], uint32(size))
			le.PutUint32(table[8*i+4:], seed.Sum(rest[:size]))
			rest = rest[size:]
		}
		le.PutUint32(p[104:], crc32.Checksum(table, castagnoli))
	}
	copy(p, checkpointMagic)
	le.PutUint32(p[124:], crc32.Checksum(p[:124], castagnoli))
	return p
}

// FuzzSlot reads arbitrary bytes as the header of a journal file, their sum made right: what it says, it says again.
func FuzzSlot(f *testing.F) {
	use := slotUse{seq: 3, epoch: 2, first: frame.At(2, 1), prev: frame.At(1, 9), bytes: 64 << 10}
	f.Add(use.encode(identity{store: 1, seed: 2})[:slotHeader], uint64(1))
	f.Add([]byte(slotMagic), uint64(0))
	f.Fuzz(func(t *testing.T, p []byte, store uint64) {
		if len(p) >= slotHeader {
			p = append([]byte(nil), p...)
			binary.LittleEndian.PutUint32(p[56:], crc32.Checksum(p[:56], castagnoli))
		}
		id := identity{store: store, seed: 2}
		u, ok, err := decodeSlot(p, id)
		if err != nil {
			if !errors.Is(err, storage.ErrFormat) || ok {
				t.Fatal(ok, err)
			}
			return
		}
		if !ok {
			return
		}
		if again, ok, err := decodeSlot(u.encode(id), id); !ok || err != nil || again != u {
			t.Fatalf("encoded again: got %+v, %v, %v, want %+v", again, ok, err, u)
		}
	})
}

// FuzzSwap reads arbitrary bytes as the body of a swap.
func FuzzSwap(f *testing.F) {
	meta := segment.Meta{File: 1, Next: 10, Count: 10, MinTime: 5, MaxTime: 9, Length: 8192, LastLSN: frame.At(2, 9), Sealed: true}
	f.Add((&swap{old: []uint64{1, 2}, by: []segment.Meta{meta}}).encode())
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, body []byte) {
		allocates(t, len(body), 200, func() {
			s, err := decodeSwap(body)
			if err != nil {
				return
			}
			if again, err := decodeSwap(s.encode()); err != nil || !reflect.DeepEqual(again, s) {
				t.Fatalf("encoded again: got %+v, %v, want %+v", again, err, s)
			}
		})
	})
}
