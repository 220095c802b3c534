package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// verify verifies everything, and fails the test if that ends with an error.
func verify(t *testing.T, st *disk.Store) disk.VerifyReport {
	t.Helper()
	var done, total int64
	r, err := st.Verify(t.Context(), disk.VerifyOptions{Progress: func(d, of int64) {
		if d < done || d > of {
			t.Errorf("progress: %d of %d after %d", d, of, done)
		}
		done, total = d, of
	}})
	if err != nil {
		t.Fatal(err)
	}
	if done != total {
		t.Errorf("progress: ended at %d of %d", done, total)
	}
	return r
}

// TestVerifyWhole: nothing is found in stores that run, while they are written to, nor in those that were closed or killed and are read.
func TestVerifyWhole(t *testing.T) {
	a := newTally()
	for seed := range uint64(sized(t, 6, 30, 200)) {
		fsys, h := memfs.New(), storagetest.NewHistory()
		st, err := open(fsys)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		ended := make(chan struct{})
		wg.Go(func() {
			defer close(ended)
			for n := range uint64(4) {
				if err := run(st, h, seed<<8|n, 60); err != nil {
					a.wrong("seed %d: %v", seed, err)
				}
			}
		})
		for running := true; running; {
			select {
			case <-ended:
				running = false
			default:
			}
			r := verify(t, st)
			a.whole(&r, fmt.Sprintf("seed %d, running", seed))
			a.count("while written to", 1)
		}
		wg.Wait()
		r := verify(t, st)
		a.whole(&r, fmt.Sprintf("seed %d, at rest", seed))
		a.count("frames of the journal", int(r.Journal))
		killed := fsys.Clone(memfs.Everything, seed)
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for where, im := range map[string]*memfs.FS{"killed": killed, "closed": fsys} {
			st, err := disk.OpenReadOnlyFS(im, tiny())
			if err != nil {
				t.Fatal(err)
			}
			r := verify(t, st)
			if where == "killed" { // while it made a file: what has no header yet could be anybody's
				r.Foreign = nil
			}
			a.whole(&r, fmt.Sprintf("seed %d, %s and read", seed, where))
			if n := readAll(t, st); where == "closed" && int(r.Records) < n { // some may be trimmed, and their segments still there
				a.wrong("seed %d: %d records verified, %d read", seed, r.Records, n)
			}
			a.count("records", int(r.Records))
			if err := st.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	line := fmt.Sprintf("%d passes while written to, %d frames of the journal, %d records in segments", a.get("while written to"), a.get("frames of the journal"), a.get("records"))
	a.end(t, "verify of what is whole", line, "while written to", "frames of the journal", "records")
}

func (a *tally) whole(r *disk.VerifyReport, where string) {
	for _, d := range r.Damage {
		a.wrong("%s: %v", where, d)
	}
	if len(r.Foreign) > 0 {
		a.wrong("%s: foreign names %q", where, r.Foreign)
	}
	newest := 0
	for _, c := range r.Checkpoints {
		if c.Newest && c.Whole && c.Seq > 0 {
			newest++
		}
	}
	if len(r.Checkpoints) != 3 || newest != 1 {
		a.wrong("%s: checkpoints %+v, want three and one of them the newest", where, r.Checkpoints)
	}
}

// TestVerifyFlip flips a bit anywhere in the files of a store that runs: what is reported is one place, of that file, around that byte, and a read that
// fails names the very same bytes and offsets.
func TestVerifyFlip(t *testing.T) {
	fsys, _ := closed(t, 1)
	a, rng := newTally(), newRand(1, 21)
	for n := range sized(t, 100, 1000, 10_000) {
		im := fsys.Clone(memfs.SyncedOnly, 1)
		st, err := open(im)
		if err != nil {
			t.Fatal(err)
		}
		if err := fill(st, storagetest.Continue(st, 1_000_000), uint64(n), 10); err != nil {
			t.Fatal(err)
		}
		a.flip(t, st, im, []string{"seg", "checkpoint", "journal"}[n%3], rng.Uint64())
		if err := st.Close(t.Context()); err != nil && !errors.As(err, new(*storage.DamageError)) {
			t.Fatal(err)
		}
	}
	line := fmt.Sprintf("%d flips in segments found, %d refused to readers, %d in checkpoints, %d in the journal; %d where nothing counts",
		a.get("seg"), a.get("refused"), a.get("checkpoint"), a.get("journal"), a.get("nothing"))
	a.end(t, "verify of a flipped bit", line, "seg", "refused", "checkpoint", "journal", "nothing")
}

func (a *tally) flip(t *testing.T, st *disk.Store, im *memfs.FS, kind string, seed uint64) {
	rng := newRand(seed, 22)
	names := slices.DeleteFunc(im.Files(), func(name string) bool { return !strings.HasPrefix(name, kind) })
	var name string
	var b []byte
	for len(b) == 0 { // a file may have been made just now
		var err error
		name = names[rng.IntN(len(names))]
		if b, err = im.Contents(name); err != nil {
			t.Fatal(err)
		}
	}
	used := bytes.TrimRight(b, "\x00")
	at := rng.Int64N(min(int64(len(b)), int64(len(used))+100))
	if err := im.FlipBit(name, at, uint(rng.IntN(8))); err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf("byte %d of %s", at, name)
	r := verify(t, st)
	switch {
	case len(r.Damage) == 0:
		a.count("nothing", 1)
	case len(r.Damage) > 1 || r.Damage[0].File != name || at < r.Damage[0].From || at >= r.Damage[0].To:
		a.wrong("%s: got %v, want one damage there", where, r.Damage)
	default:
		a.count(kind, 1)
	}
	for _, topic := range st.Topics() {
		for n := range topic.Partitions {
			_, holes, err := around(st, topic.Partition(n))
			if err != nil {
				a.wrong("%s: %v", where, err)
			}
			for _, hole := range holes {
				if len(r.Damage) != 1 || !sameDamage(hole, r.Damage[0]) {
					a.wrong("%s: a read says %v, and the report %v", where, hole, r.Damage)
				}
				a.count("refused", 1)
			}
		}
	}
}

// sameDamage tells whether two speak of the same bytes and offsets.
func sameDamage(a, b *storage.DamageError) bool {
	return a.File == b.File && a.From == b.From && a.To == b.To && a.Partition == b.Partition && a.First == b.First && a.Next == b.Next
}

// TestVerifyFiles: files of a running store that are missing, cut, replaced by an older copy, or exchanged.
func TestVerifyFiles(t *testing.T) {
	fsys, _ := closed(t, 1)
	st, err := open(fsys)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close(t.Context())
	before := contents(t, fsys)
	segments := slices.DeleteFunc(fsys.Files(), func(name string) bool { return !strings.HasPrefix(name, "seg/") })
	cases := map[string]struct {
		name string
		do   func(name string) error
	}{
		"segment missing":    {segments[0], fsys.Delete},
		"segment empty":      {segments[1], func(name string) error { return fsys.Resize(name, 0) }},
		"segment exchanged":  {segments[2], func(name string) error { return fsys.SetContents(name, before[segments[0]]) }},
		"checkpoint missing": {"checkpoint-b", fsys.Delete},
		"checkpoint older":   {"checkpoint-a", func(name string) error { return fsys.SetContents(name, before["checkpoint-b"]) }},
		"checkpoint zeroed":  {"checkpoint-c", func(name string) error { return fsys.ZeroRange(name, 0, 4096) }},
	}
	for what, c := range cases {
		if err := c.do(c.name); err != nil {
			t.Fatal(err)
		}
		r := verify(t, st)
		if len(r.Damage) != 1 || r.Damage[0].File != c.name || r.Damage[0].From != 0 || r.Damage[0].Reason == "" {
			t.Errorf("%s: got %v, want one damage, of %s", what, r.Damage, c.name)
		}
		if err := fsys.SetContents(c.name, before[c.name]); err != nil {
			t.Fatal(err)
		}
	}
	if r := verify(t, st); len(r.Damage) > 0 {
		t.Errorf("all made good: got %v", r.Damage)
	}
}

// TestVerifyJournal damages slots that count: a whole file, a header, a stretch of frames, each reported as it is.
func TestVerifyJournal(t *testing.T) {
	im, _, _ := journalOnly(t, storage.SyncAlways, 60)
	o := tiny()
	o.Tuning.SlotBytes, o.Tuning.JournalBytes, o.Tuning.SpillBytes = 512<<10, 8<<20, 4<<20
	st, err := disk.OpenFS(im, o)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close(t.Context())
	for range 40 {
		e := storage.Entry{Batches: []storage.Batch{{Partition: 0, Records: []storage.Record{{Value: make([]byte, 500)}}}}}
		if _, err := st.Append(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
	}
	r := verify(t, st)
	if len(r.Damage) > 0 || r.Journal < 40 {
		t.Fatalf("whole: got %d frames and %v, want at least 40", r.Journal, r.Damage)
	}
	before := contents(t, im)
	const name = "journal/01" // in the second use
	cases := map[string]struct {
		do       func() error
		from, to int64
	}{
		"missing":        {func() error { return im.Delete(name) }, 0, int64(len(before[name]))},
		"header":         {func() error { return im.FlipBit(name, 26, 1) }, 0, 4096},
		"a frame's head": {func() error { return im.FlipBit(name, 4096+20, 1) }, 4096, 4096 + 64 + 504},
		"a frame's body": {func() error { return im.FlipBit(name, 4096+100, 1) }, 4096, 4096 + 64 + 504},
	}
	for what, c := range cases {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		r := verify(t, st)
		if len(r.Damage) != 1 || r.Damage[0].File != name || r.Damage[0].From != c.from || r.Damage[0].To != c.to {
			t.Errorf("%s: got %v, want bytes %d to %d of %s", what, r.Damage, c.from, c.to, name)
		}
		if what == "a frame's body" && (r.Damage[0].Next != r.Damage[0].First+1) {
			t.Errorf("%s: got %v, want the offset that is in it", what, r.Damage[0])
		}
		if err := im.SetContents(name, before[name]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifyReadOnlyJournal: what the open has found is found again.
func TestVerifyReadOnlyJournal(t *testing.T) {
	im, _, last := journalOnly(t, storage.SyncAlways, 60)
	if err := im.FlipBit("journal/00", last/2, 3); err != nil {
		t.Fatal(err)
	}
	st, err := disk.OpenReadOnlyFS(im, tiny())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close(t.Context())
	r := verify(t, st)
	if len(r.Damage) != 1 || *r.Damage[0] != *st.Report().Damage[0] || r.Journal == 0 {
		t.Errorf("got %d frames and %v, want what the open reported: %v", r.Journal, r.Damage, st.Report().Damage)
	}
}

// TestVerifyEnds: with its context, with the store, and with errors that are not damage.
func TestVerifyEnds(t *testing.T) {
	fsys, _ := closed(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	st, err := open(fsys.Clone(memfs.SyncedOnly, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Verify(ctx, disk.VerifyOptions{Progress: func(int64, int64) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v, want %v", err, context.Canceled)
	}
	ended := make(chan error)
	leave := sync.OnceFunc(func() {
		go func() { ended <- st.Close(context.Background()) }()
	})
	slow := disk.VerifyOptions{BytesPerSecond: 1, Progress: func(int64, int64) { leave() }}
	if _, err := st.Verify(t.Context(), slow); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("closed meanwhile: got %v, want %v", err, storage.ErrClosed)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if _, err := st.Verify(t.Context(), disk.VerifyOptions{}); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("closed before: got %v, want %v", err, storage.ErrClosed)
	}
	for _, prefix := range []string{"seg/", "checkpoint-", "journal/"} {
		im := fsys.Clone(memfs.SyncedOnly, 1)
		st, err := open(im)
		if err == nil {
			_, err = st.CreateGroup(t.Context(), "new")
		}
		if err != nil {
			t.Fatal(err)
		}
		im.OnOp(func(op vfs.Op) error {
			if op.Kind == vfs.OpOpen && strings.HasPrefix(op.Name, prefix) {
				return fs.ErrPermission
			}
			return nil
		})
		r, err := st.Verify(t.Context(), disk.VerifyOptions{})
		if !errors.Is(err, fs.ErrPermission) || len(r.Damage) > 0 {
			t.Errorf("no permission for %s: got %v, %v, want the error and no damage", prefix, r.Damage, err)
		}
		im.OnOp(nil)
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifyPace: so many bytes take so long.
func TestVerifyPace(t *testing.T) {
	fsys, _ := closed(t, 1)
	synctest.Test(t, func(t *testing.T) {
		st, err := disk.OpenReadOnlyFS(fsys, tiny())
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close(t.Context())
		const perSecond = 10_000
		began := time.Now()
		r, err := st.Verify(t.Context(), disk.VerifyOptions{BytesPerSecond: perSecond})
		if err != nil {
			t.Fatal(err)
		}
		want := time.Duration(float64(r.Bytes) / perSecond * float64(time.Second))
		if took := time.Since(began); took < want*8/10 || took > want*15/10 {
			t.Errorf("%d bytes took %v, want about %v", r.Bytes, took, want)
		}
	})
}

// TestScrub: damage of a running store is told of once, and shows until it was made good.
func TestScrub(t *testing.T) {
	fsys, _ := closed(t, 1)
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var events []storage.Event
		o := tiny()
		o.ScrubEvery = time.Hour
		o.Events = func(e storage.Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind != storage.EventClock { // the store was made outside the bubble, whose clock is behind
				events = append(events, e)
			}
		}
		st, err := disk.OpenFS(fsys, o)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close(context.Background())
		pass := func(run int64) storage.Work {
			t.Helper()
			time.Sleep(time.Hour)
			synctest.Wait()
			w := st.Stats().Work["scrub"]
			if w.Running || w.Runs != run || w.Done == 0 || w.Backlog != 0 {
				t.Errorf("after pass %d: got %+v", run, w)
			}
			return w
		}
		synctest.Wait()
		if w := pass(2); w.LastError != nil {
			t.Errorf("whole: got %v", w.LastError)
		}
		names := slices.DeleteFunc(fsys.Files(), func(name string) bool { return !strings.HasPrefix(name, "seg/") })
		before := contents(t, fsys)
		if err := fsys.FlipBit(names[0], 4096+100, 1); err != nil {
			t.Fatal(err)
		}
		var damage *storage.DamageError
		for run := range int64(2) {
			if w := pass(3 + run); !errors.As(w.LastError, &damage) || damage.File != names[0] || w.FailedAt.IsZero() {
				t.Errorf("damaged: got %v, want a damage of %s", w.LastError, names[0])
			}
		}
		mu.Lock()
		if len(events) != 1 || events[0].Kind != storage.EventDamage || events[0].Err != error(damage) && !errors.As(events[0].Err, &damage) || events[0].Topic == "" || events[0].At.IsZero() {
			t.Errorf("events: got %v, want one of the damage, with its topic", events)
		}
		mu.Unlock()
		if err := fsys.SetContents(names[0], before[names[0]]); err != nil {
			t.Fatal(err)
		}
		if w := pass(5); w.LastError != nil {
			t.Errorf("made good: got %v", w.LastError)
		}
	})
}

// TestVerifyOneCheckpoint: a directory that was made as a copy has one, and that is no damage, neither before nor after others are written.
func TestVerifyOneCheckpoint(t *testing.T) {
	fsys, _ := closed(t, 1)
	newest := ""
	st, err := disk.OpenReadOnlyFS(fsys, tiny())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range verify(t, st).Checkpoints {
		if c.Newest {
			newest = c.File
		}
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"checkpoint-a", "checkpoint-b", "checkpoint-c"} {
		if name != newest {
			if err := fsys.Resize(name, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if st, err = disk.OpenReadOnlyFS(fsys, tiny()); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, st); len(r.Damage) > 0 {
		t.Errorf("read: got %v", r.Damage)
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st, err = open(fsys); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, st); len(r.Damage) > 0 {
		t.Errorf("running: got %v", r.Damage)
	}
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
