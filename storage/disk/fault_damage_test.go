package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// startHoles is a killed store with a journal that has bodies ruined below what was synced.
func startHoles(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	fs, h, lastGroup := journalOnly(t, storage.SyncAlways, 60)
	s := &faultStart{fs: fs, h: h, before: fs.Clone(memfs.Everything, 1), want: right(everything(fs.Clone(memfs.Everything, 1)))}
	content, err := fs.Contents("journal/00")
	must(t, err)
	batches := uint64(0)
	for _, f := range framesOf(t, content) {
		if f.Count == 0 || f.from >= lastGroup {
			continue
		}
		if batches++; batches%20 == 7+seed {
			must(t, fs.FlipBit("journal/00", f.from+70, 3))
			s.lost += int64(f.Count)
		}
	}
	if s.lost == 0 {
		t.Fatal("no frame was ruined")
	}
	return s
}

// playHoles opens a store whose journal is damaged, verifies it, and gives a hole up.
func playHoles(r *faultRun) error {
	st, err := r.open(tiny())
	if err != nil {
		return err
	}
	if _, err := st.Verify(r.ctx, disk.VerifyOptions{}); err != nil {
		r.typed(err, "verify")
	}
	for _, d := range st.Damaged()[:1] {
		if err := st.Skip(r.ctx, d.Partition, d.First, d.Next); err != nil {
			r.typed(err, "skip")
		}
	}
	r.close(st)
	return nil
}

// holesAreTheSame: what damage took is reported or was given up, and nothing else is missing.
func holesAreTheSame(r *faultRun, fs *memfs.FS, where string) {
	st, err := open(fs)
	if err != nil {
		r.wrong("%s: %v", where, err)
		return
	}
	defer st.Close(context.Background())
	lost := int64(0)
	for _, d := range st.Damaged() {
		lost += d.Next - d.First
		if d.Skipped {
			r.count("skipped", 1)
		}
	}
	if lost != r.start.lost {
		r.wrong("%s: %d records are lost, %d were damaged: %v", where, lost, r.start.lost, st.Damaged())
	}
	want := map[storage.PartitionID][]storage.Record{}
	for p, all := range r.start.want {
		want[p] = slices.DeleteFunc(slices.Clone(all), func(rec storage.Record) bool {
			return slices.ContainsFunc(st.Damaged(), func(d *storage.DamageError) bool {
				return d.Skipped && d.Partition == p && d.First <= rec.Offset && rec.Offset < d.Next
			})
		})
	}
	r.serves(st, want, where)
}

// startHarmed is a closed store with damaged segments, and a copy from before.
func startHarmed(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	fs, h := closed(t, 200+seed)
	s := &faultStart{h: h, want: right(everything(fs.Clone(memfs.SyncedOnly, 1))), fs: memfs.New()}
	whole := fs.Clone(memfs.SyncedOnly, 1)
	rng := newRand(seed, 40)
	for range 4 {
		_, err := harm(fs, whole, rng)
		must(t, err)
	}
	move(t, fs, s.fs, "store/")
	move(t, whole, s.fs, "copy/")
	s.backup = whole
	return s
}

// move copies all files of a file system into a directory of another.
func move(t *testing.T, from, to *memfs.FS, dir string) {
	t.Helper()
	for _, name := range from.Files() {
		b, err := from.Contents(name)
		must(t, err)
		makeParents(t, to, dir+name)
		must(t, to.SetContents(dir+name, b))
	}
}

func makeParents(t *testing.T, fs *memfs.FS, name string) {
	t.Helper()
	for at, r := range name {
		if r == '/' {
			must(t, fs.Mkdir(name[:at]))
			must(t, fs.SyncDir(path.Dir(name[:at])))
		}
	}
}

// playMending finds damage in the background and by reading, gives some up, and mends the rest from the copy.
func playMending(r *faultRun) error {
	o := tiny()
	o.ScrubEvery = time.Millisecond
	scrubbed := make(chan struct{}, 1)
	o.Events = func(e storage.Event) {
		select {
		case scrubbed <- struct{}{}:
		default:
		}
	}
	st, err := r.open(o)
	if err != nil {
		return err
	}
	<-scrubbed // there is damage, or it could not be looked for
	ctx := r.ctx
	var damage *storage.DamageError
	p := slices.Min(slices.Collect(maps.Keys(r.start.want)))
	_, holes, err := around(st, p)
	if err != nil {
		r.typed(err, "read")
	}
	if len(holes) > 0 {
		if err := st.Skip(ctx, p, holes[0].First, holes[0].Next); err != nil && !errors.As(err, &damage) {
			r.typed(err, "skip")
		}
	}
	if _, err := st.Verify(ctx, disk.VerifyOptions{}); err != nil {
		r.typed(err, "verify")
	}
	if _, err := st.MendFS(ctx, r.to, disk.MendOptions{}); err != nil {
		r.typed(err, "mend")
	}
	r.close(st)
	return nil
}

// mendsAgain: what is not mended yet is reported, nothing else is missing, and another Mend makes everything whole.
func mendsAgain(r *faultRun, fs *memfs.FS, where string) {
	st, err := open(r.storeIn(fs))
	if err != nil {
		r.wrong("%s: %v", where, err)
		return
	}
	defer st.Close(context.Background())
	m, err := st.MendFS(context.Background(), r.start.backup, disk.MendOptions{})
	if err != nil || len(m.Left) > 0 {
		r.wrong("%s: mended again: %+v, %v", where, m, err)
	}
	if len(m.Mended) > 0 {
		r.count("mended again", 1)
	}
	if holes := r.serves(st, r.start.want, where+", mended again"); len(holes) > 0 {
		r.wrong("%s: mended again, and %v", where, holes)
	}
}

// startRuined is a store whose journal is ruined in the middle.
func startRuined(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	return startSalvage(t, ruinedStore(t, seed))
}

// startResumed is one that was resumed several times, and whose journal is ruined in several places.
func startResumed(t *testing.T, seed uint64) *faultStart {
	return startSalvage(t, resumedStore(t, seed))
}

func startSalvage(t *testing.T, fs *memfs.FS) *faultStart {
	t.Helper()
	s := &faultStart{fs: fs, h: storagetest.NewHistory()}
	whole := s.fs.Clone(memfs.Everything, 1)
	if r, err := salvage(whole); err != nil || !r.Damaged {
		t.Fatal(r, err)
	}
	s.after = after(t, whole)
	return s
}

func playSalvaging(r *faultRun) error {
	if _, err := salvage(r.fs); err != nil {
		r.typed(err, "salvage")
	}
	return nil
}

// salvagesTheSame: a salvage that failed is made again, and keeps the same.
func salvagesTheSame(r *faultRun, fs *memfs.FS, where string) {
	st, err := open(fs)
	switch {
	case err == nil:
		err = st.Close(context.Background())
	default:
		var damage *storage.DamageError
		if !errors.As(err, &damage) {
			break
		}
		r.count("salvaged again", 1)
		_, err = salvage(fs)
	}
	if err != nil {
		r.wrong("%s: %v", where, err)
		return
	}
	if got := after(r.t, fs); !slices.Equal(got, r.start.after) {
		r.wrong("%s: %d lines are left, want %d: %s", where, len(got), len(r.start.after), difference(got, r.start.after))
	}
}

// difference shows the first place in which two texts differ.
func difference(got, want []string) string {
	a, b := strings.Join(got, "\n"), strings.Join(want, "\n")
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	from := max(0, at-100)
	return fmt.Sprintf("%q, want %q", a[from:min(len(a), at+200)], b[from:min(len(b), at+200)])
}

// unchanged tells whether two directories hold the same.
func unchanged(t *testing.T, a, b *memfs.FS, dir string) bool {
	t.Helper()
	is := contents(t, a)
	for name, was := range contents(t, b) {
		if len(name) > len(dir) && name[:len(dir)] == dir && name != dir+"LOCK" && !bytes.Equal(was, is[name]) {
			return false
		}
	}
	return true
}
