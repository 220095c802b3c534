package disk_test

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// startCompacted is a closed store with segments that were compacted, and newer ones that supersede a part of what these hold. With seed 1 a frame of each is damaged;
// with seed 2 one that was compacted has records that nobody can have written.
func startCompacted(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	level := storage.Compressed
	if seed == 2 {
		level = storage.DiskOnly
	}
	s := &faultStart{fs: memfs.New(), h: storagetest.NewHistory()}
	c := newClerk(t, s.fs, quiet(), latestByKey(level))
	c.keyed(500, 900, "k")
	c.clean()
	before := segmentsOf(s.fs)
	c.keyed(400, 300, "k")
	must(t, c.st.Close(t.Context()))
	var old, young string
	for _, name := range segmentsOf(s.fs) {
		if strings.Contains(strings.Join(before, " "), name) {
			old = name
		} else if young == "" {
			young = name
		}
	}
	switch seed {
	case 1:
		must(t, s.fs.FlipBit(old, 4096+64+100, 1))
		must(t, s.fs.FlipBit(young, 4096+64+10, 1))
	case 2:
		forgeRecords(t, s.fs, old)
	}
	s.want = map[storage.PartitionID][]storage.Record{c.p: c.written}
	s.fs = s.fs.Clone(memfs.Everything, 1)
	return s
}

// segmentsOf returns the names of the segments that there are, in their order.
func segmentsOf(fs *memfs.FS) (names []string) {
	for _, name := range fs.Files() {
		if strings.HasPrefix(name, "seg/") {
			names = append(names, name)
		}
	}
	return names
}

// forgeRecords makes the body of the first frame of a file, which is behind its header block, one that has no records, with sums that hold.
func forgeRecords(t *testing.T, fs *memfs.FS, name string) {
	t.Helper()
	b, err := fs.Contents(name)
	must(t, err)
	seed := seedOf(t, fs)
	h, err := frame.Parse(b[4096:], seed)
	if err != nil || h.Kind != frame.Batch {
		t.Fatalf("%s begins with %+v: %v", name, h, err)
	}
	forgeBody(b[4096:], &h, seed)
	must(t, fs.SetContents(name, b))
}

// seedOf returns the seed of all sums of a store.
func seedOf(t *testing.T, fs *memfs.FS) frame.Seed {
	t.Helper()
	b, err := fs.Contents("journal/00")
	must(t, err)
	return frame.Seed(binary.LittleEndian.Uint32(b[12:]))
}

// forgeBody makes the body of a frame one that has no records, with sums that hold.
func forgeBody(b []byte, h *frame.Header, seed frame.Seed) {
	body := b[frame.HeaderSize:][:h.BodyLen]
	for i := range body {
		body[i] = 0xff
	}
	h.BodySum = seed.Sum(body)
	h.Put(b, seed)
}

// playCompacting has such a store compacted.
func playCompacting(r *faultRun) error {
	st, err := r.open(quiet())
	if err != nil {
		return err
	}
	var damage *storage.DamageError
	if err := st.Clean(r.ctx); err != nil && (r.seed == 0 || !errors.As(err, &damage)) {
		r.cleaned(err)
	}
	r.close(st)
	return nil
}

// cleaned looks at the error of a cleanup in which an operation failed.
func (r *faultRun) cleaned(err error) {
	var stopped *storage.StoppedError
	if !errors.As(err, &stopped) {
		r.typed(err, "clean")
	}
}

// keepsTheNewest: of each key the newest record is there, or reported as damaged; nothing is there that was not written; and so it is when it is compacted again.
func keepsTheNewest(r *faultRun, fs *memfs.FS, where string) {
	st, err := disk.OpenFS(fs, quiet())
	if err != nil {
		r.wrong("%s: %v", where, err)
		return
	}
	defer st.Close(context.Background())
	r.newest(st, where)
	var damage *storage.DamageError
	if err := st.Clean(context.Background()); err != nil && (r.seed == 0 || !errors.As(err, &damage)) {
		r.wrong("%s: compacted again: %v", where, err)
	}
	r.newest(st, where+", compacted again")
}

func (r *faultRun) newest(st *disk.Store, where string) {
	for p, written := range r.start.want {
		got, holes, err := around(st, p)
		if err != nil || len(holes) > 0 && r.seed == 0 {
			r.wrong("%s: %v, %v", where, holes, err)
		}
		there := map[int64]*storage.Record{}
		for i := range got {
			there[got[i].Offset] = &got[i]
		}
		for _, h := range holes {
			for o := h.First; o < h.Next; o++ {
				there[o] = &written[o]
			}
		}
		last := map[string]int64{}
		for i := range written {
			w := &written[i]
			last[string(w.Key)] = w.Offset
			if is := there[w.Offset]; is != nil && !same(is, w) {
				r.wrong("%s: offset %d is wrong", where, w.Offset)
			}
		}
		for key, offset := range last {
			if there[offset] == nil {
				r.wrong("%s: the newest record of %q, at %d, is gone", where, key, offset)
			}
		}
		if len(got) > len(written) || len(got) == 0 {
			r.wrong("%s: %d records are there", where, len(got))
		}
	}
}
