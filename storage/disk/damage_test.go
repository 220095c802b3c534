package disk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// contents returns all files.
func contents(t *testing.T, fs *memfs.FS) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, name := range fs.Files() {
		b, err := fs.Contents(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = b
	}
	return all
}

func same(a, b *storage.Record) bool {
	return a.Offset == b.Offset && a.Appended.Equal(b.Appended) && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) && bytes.Equal(a.Headers, b.Headers)
}

// around reads all of p, around the holes that are reported.
func around(st *disk.Store, p storage.PartitionID) (all []storage.Record, holes []*storage.DamageError, err error) {
	for from := int64(0); ; {
		had, at := len(all), from
		if all, from, err = st.Read(all, p, from, 4000); err == nil {
			if len(all) == had {
				return all, holes, nil
			}
			continue
		}
		var hole *storage.DamageError
		if !errors.As(err, &hole) || hole.Next <= at {
			return all, holes, fmt.Errorf("at offset %d: %w", at, err)
		}
		holes = append(holes, hole)
		from = hole.Next
	}
}

// everything reads all partitions of a store.
func everything(fs *memfs.FS) (map[storage.PartitionID][]storage.Record, error) {
	st, err := open(fs)
	if err != nil {
		return nil, err
	}
	defer st.Close(context.Background())
	all := map[storage.PartitionID][]storage.Record{}
	for _, t := range st.Topics() {
		for i := range t.Partitions {
			if all[t.Partition(i)], err = storagetest.ReadAll(st, t.Partition(i), newRand(1, 1)); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// placed is a frame of a journal file.
type placed struct {
	frame.Header
	from, to int64
}

// framesOf returns the frames of a journal file that nothing is wrong with.
func framesOf(t *testing.T, b []byte) (all []placed) {
	t.Helper()
	seed := frame.Seed(binary.LittleEndian.Uint32(b[12:]))
	for pos := 4096; ; {
		h, _, size, err := frame.Next(b[pos:], seed)
		if err != nil || len(all) > 0 && h.LSN != all[len(all)-1].LSN+1 {
			return all
		}
		all = append(all, placed{h, int64(pos), int64(pos + size)})
		pos += size
	}
}

// frameAt returns the frame that a byte is in, nil if it is in none.
func frameAt(frames []placed, at int64) *placed {
	for i := range frames {
		if frames[i].from <= at && at < frames[i].to {
			return &frames[i]
		}
	}
	return nil
}

// serves checks that st has exactly the records of want, but for those in the holes that it reports, and returns these.
func (a *tally) serves(st *disk.Store, want map[storage.PartitionID][]storage.Record, where string) (holes []*storage.DamageError) {
	for p, all := range want {
		got, mine, err := around(st, p)
		if err != nil {
			a.wrong("%s: partition %d, %d records: %v", where, p, len(all), err)
			continue
		}
		holes = append(holes, mine...)
		i := 0
		for j := range all {
			switch {
			case i < len(got) && same(&got[i], &all[j]):
				i++
			case !inHole(mine, all[j].Offset):
				a.wrong("%s: partition %d: offset %d is missing or wrong, and not reported", where, p, all[j].Offset)
			default:
				a.count("in holes", 1)
			}
		}
		if i < len(got) {
			a.wrong("%s: partition %d: %d records too many, the first at offset %d", where, p, len(got)-i, got[i].Offset)
		}
	}
	return holes
}

func inHole(holes []*storage.DamageError, offset int64) bool {
	for _, h := range holes {
		if offset >= h.First && offset < h.Next {
			return true
		}
	}
	return false
}

// ordinals checks that records are counted as if nothing were lost.
func (a *tally) ordinals(st *disk.Store, want map[storage.PartitionID][]storage.Record, where string) {
	for p, all := range want {
		for n := range all {
			if got, err := st.Ordinal(p, all[n].Offset); err != nil || got != int64(n) {
				a.wrong("%s: partition %d: ordinal of offset %d is %d, %v, want %d", where, p, all[n].Offset, got, err, n)
				return
			}
		}
	}
}

// appends appends a record to each partition and reads it back.
func (a *tally) appends(st *disk.Store, want map[storage.PartitionID][]storage.Record, where string) {
	for p, all := range want {
		e := &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: []storage.Record{{Value: []byte("behind")}}}}}
		_, err := st.Append(context.Background(), e)
		if err != nil {
			a.wrong("%s: partition %d: append: %v", where, p, err)
			continue
		}
		r := e.Batches[0].Records[0]
		if len(all) > 0 && r.Offset <= all[len(all)-1].Offset {
			a.wrong("%s: partition %d: offset %d was given again", where, p, r.Offset)
		}
		got, _, err := st.Read(nil, p, r.Offset, 1000)
		if err != nil || len(got) != 1 || !same(&got[0], &r) {
			a.wrong("%s: partition %d: reading offset %d back: %v, %v", where, p, r.Offset, got, err)
		}
		want[p] = append(all, r)
	}
}
