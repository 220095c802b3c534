package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// asBefore shows the topics of a restored store as they were, for a history that knows nothing of the restore.
type asBefore struct{ *disk.Store }

func (s asBefore) Topics() []storage.Topic {
	ts := s.Store.Topics()
	for i := range ts {
		if past := ts[i].Past; len(past) > 0 {
			ts[i].Incarnation, ts[i].Past = past[0].Incarnation, nil
		}
	}
	return ts
}

func (s asBefore) Topic(name string) (storage.Topic, bool) {
	for _, t := range s.Topics() {
		if t.Name == name {
			return t, true
		}
	}
	return storage.Topic{}, false
}

// holds opens a copy of a store to read, and compares it with h.
func holds(a *tally, copied vfs.FS, h *storagetest.History, where string) bool {
	st, err := disk.OpenReadOnlyFS(copied, tiny())
	if err != nil {
		a.wrong("%s: opening the copy to read: %v", where, err)
		return false
	}
	ok := a.judge(h.Fork(h.Mark()).Check(asBefore{st}, storagetest.Died, 1), where)
	if r := st.Report(); !r.Clean || r.Entries > 0 {
		a.wrong("%s: a copy that was not closed: %+v", where, r)
	}
	if err := st.Close(context.Background()); err != nil {
		a.wrong("%s: closing the copy: %v", where, err)
	}
	return ok
}

// TestSnapshot takes snapshots of a store that is written to all the while, on the same file system and on another, and holds each against what was
// acknowledged when it was begun. Then it opens them, and goes on with them.
func TestSnapshot(t *testing.T) {
	a := newTally()
	for seed := range uint64(sized(t, 3, 12, 60)) {
		fsys, h := memfs.New(), storagetest.NewHistory()
		st, err := open(fsys.Sub("store"))
		must(t, err)
		const spell = 20 // how much is filled beside each snapshot and the looks at it, at most: what is looked at grows with it
		fills := make(chan uint64, 6*spell)
		var load sync.WaitGroup
		load.Go(func() {
			for i := range fills {
				// Without removals: a history cannot tell which of those under way a snapshot has.
				if err := fill(st, h, seed<<8|i, 10); err != nil {
					a.wrong("seed %d: load: %v", seed, err)
					return
				}
			}
		})
		for n := range 6 {
			where := fmt.Sprintf("seed %d, snapshot %d", seed, n)
			to := fsys.Sub(fmt.Sprint("backup", n))
			if n%3 == 0 {
				to = memfs.New()
			}
			for i := range spell {
				fills <- uint64(n*spell + i)
			}
			mark := h.Mark()
			r, err := st.SnapshotFS(t.Context(), to, disk.SnapshotOptions{})
			if err != nil {
				a.wrong("%s: %v", where, err)
				continue
			}
			a.count("links", r.Links)
			a.count("copies", r.Files)
			a.count("records", int(r.Records))
			then := h.Fork(mark)
			if holds(a, to, then, where) {
				goneOn(a, to, then, where)
			}
		}
		close(fills)
		load.Wait()
		must(t, st.Close(t.Context()))
		a.check(fsys.Sub("store"), h, storagetest.Died, seed, fmt.Sprintf("seed %d, the store afterwards", seed), nil)
	}
	a.end(t, "snapshots", fmt.Sprintf("%d files linked, %d copied; %d records", a.get("links"), a.get("copies"), a.get("records")), "links", "copies", "records")
}

// TestSnapshotBesideTrims: what is removed in a snapshot is as of the same moment as what is in it. Each record is followed by a trim that leaves six.
func TestSnapshotBesideTrims(t *testing.T) {
	st, err := open(memfs.New())
	must(t, err)
	defer st.Close(t.Context())
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 1})
	must(t, err)
	put(t, st, topic.First, 6)
	var stop atomic.Bool
	var load sync.WaitGroup
	load.Go(func() {
		for next := int64(7); !stop.Load(); next++ {
			put(t, st, topic.First, 1)
			if err := st.Trim(context.Background(), topic.First, next-6); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer load.Wait()
	defer stop.Store(true)
	for n := range sized(t, 60, 300, 1500) {
		to := memfs.New()
		_, err := st.SnapshotFS(t.Context(), to, disk.SnapshotOptions{})
		must(t, err)
		copied, err := disk.OpenReadOnlyFS(to, tiny())
		must(t, err)
		b, err := copied.Bounds(topic.First)
		rs, readErr := storagetest.ReadAll(copied, topic.First, newRand(1, 1))
		must(t, errors.Join(err, readErr, copied.Close(t.Context())))
		if left := b.Next - b.First; left != 6 && left != 7 || int64(len(rs)) != left || b.Records != b.Next {
			t.Fatalf("snapshot %d: %+v, %d records read, want 6 or 7", n, b, len(rs))
		}
	}
}

// goneOn opens a copy for writing, writes, and opens it again.
func goneOn(a *tally, copied vfs.FS, h *storagetest.History, where string) {
	for life := range uint64(2) {
		st, err := open(copied)
		if err != nil {
			a.wrong("%s, life %d: %v", where, life, err)
			return
		}
		a.judge(h.Check(asBefore{st}, storagetest.Died, life), fmt.Sprintf("%s, life %d", where, life))
		for _, t := range st.Topics() {
			if life == 0 && len(t.Past) != 1 || len(t.Past) > 1 || len(t.Past) > 0 && t.Past[0].Incarnation == t.Incarnation {
				a.wrong("%s, life %d: a topic of incarnation %x with the past %v", where, life, t.Incarnation, t.Past)
			}
		}
		if err := errors.Join(run(asBefore{st}, h, 1<<20|life, 10), st.Close(context.Background())); err != nil {
			a.wrong("%s, life %d: %v", where, life, err)
		}
	}
}

// TestSnapshotWithoutRecords: what is left out of backups is in a snapshot without records; offsets and cursors go on.
func TestSnapshotWithoutRecords(t *testing.T) {
	st, err := open(memfs.New())
	must(t, err)
	defer st.Close(t.Context())
	spec := storage.TopicSpec{Name: "cache", Partitions: 1, Strategy: storage.Strategy{NoBackup: true}}
	topic, err := st.CreateTopic(t.Context(), spec)
	must(t, err)
	group, err := st.CreateGroup(t.Context(), "g")
	must(t, err)
	put(t, st, topic.First, 5)
	_, err = st.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{{Group: group.ID, Partition: topic.First, Floor: 2, Passed: 2}}})
	must(t, err)
	to := memfs.New()
	_, err = st.SnapshotFS(t.Context(), to, disk.SnapshotOptions{})
	must(t, err)
	backup, err := open(to)
	must(t, err)
	defer backup.Close(t.Context())
	b, err := backup.Bounds(topic.First)
	if err != nil || b != (storage.Bounds{First: 5, Next: 5, Records: 5}) {
		t.Errorf("bounds: got %+v, %v", b, err)
	}
	if c, ok := backup.Cursor(group.ID, topic.First); !ok || c.Floor != 2 {
		t.Errorf("cursor: got %+v, %v", c, ok)
	}
	put(t, backup, topic.First, 1)
	rs, _, err := backup.Read(nil, topic.First, 0, 1<<20)
	if err != nil || len(rs) != 1 || rs[0].Offset != 5 {
		t.Errorf("got %+v, %v, want the record at 5", rs, err)
	}
}

// put appends n records, one by one.
func put(t *testing.T, st storage.Store, p storage.PartitionID, n int) {
	t.Helper()
	for i := range n {
		e := &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: []storage.Record{{Value: []byte(fmt.Sprint(i))}}}}}
		_, err := st.Append(context.Background(), e)
		must(t, err)
	}
}

// TestSnapshotProves: a byte that is ruined on its way, in whatever is copied, is found before the snapshot is called good.
func TestSnapshotProves(t *testing.T) {
	st, err := open(memfs.New())
	must(t, err)
	defer st.Close(t.Context())
	must(t, run(st, storagetest.NewHistory(), 3, 60))
	found := map[string]int{}
	for n := 1; ; n++ {
		to := memfs.New()
		ruined := ruin(to, n)
		_, err := st.SnapshotFS(t.Context(), to, disk.SnapshotOptions{})
		to.OnOp(nil)
		if *ruined == "" {
			break
		}
		if err == nil {
			t.Errorf("a bit of %s was turned over, and the snapshot is called good", *ruined)
			continue
		}
		kind, _, _ := strings.Cut(*ruined, "/")
		found[kind]++
		if files := to.Files(); len(files) > 1 {
			t.Errorf("after a failed snapshot there is %v", files)
		}
	}
	if found["seg"] == 0 || found["checkpoint-a"] == 0 {
		t.Errorf("ruined files: %v", found)
	}
}

// ruin has a bit turned over in the n-th file that is closed: the first of what is written but for the mark.
func ruin(to *memfs.FS, n int) (name *string) {
	name = new(string)
	closed := map[string]bool{"UNFINISHED": true}
	to.OnOp(func(op vfs.Op) error {
		if op.Kind != vfs.OpClose || *name != "" || closed[op.Name] {
			return nil
		}
		if closed[op.Name] = true; len(closed) != n+1 {
			return nil
		}
		if op.Name == "checkpoint-a" {
			*name = op.Name
			return to.FlipBit(op.Name, 4096, 1)
		}
		p, err := to.Contents(op.Name)
		if err != nil || len(p) <= 4096 { // of a segment: in a frame if there is one, else in the header
			*name = op.Name
			return errors.Join(err, to.FlipBit(op.Name, 20, 1))
		}
		*name = op.Name
		return to.FlipBit(op.Name, 4096+20, 1)
	})
	return name
}

// TestLinkedFilesAreNotWritten: neither the store nor a snapshot that is opened writes to a file that both have, even if the store's newest
// checkpoints are lost and it stands on one that knows of less.
func TestLinkedFilesAreNotWritten(t *testing.T) {
	fsys, h := memfs.New(), storagetest.NewHistory()
	st, err := open(fsys.Sub("store"))
	must(t, err)
	must(t, run(st, h, 3, 120))
	before := fsys.Clone(memfs.Everything, 1)
	must(t, run(st, h, 2, 20))
	r, err := st.SnapshotFS(t.Context(), fsys.Sub("backup"), disk.SnapshotOptions{})
	if err != nil || r.Links == 0 {
		t.Fatalf("got %+v, %v, want links", r, err)
	}
	linked := map[string][]byte{}
	for _, name := range fsys.Files() {
		b, err := fsys.Contents(name)
		must(t, err)
		if strings.HasPrefix(name, "backup/seg/") && bytes.HasSuffix(b, []byte("leatend\x00")) {
			linked[name] = b
		}
	}
	if len(linked) != r.Links {
		t.Fatalf("%d files of the snapshot are sealed, and %d are links", len(linked), r.Links)
	}
	unchanged := func(when string) {
		t.Helper()
		for name, was := range linked {
			if b, err := fsys.Contents(name); err == nil && !bytes.Equal(b, was) {
				t.Errorf("%s: %s was written to", when, name)
			}
		}
	}
	must(t, errors.Join(run(st, h, 3, 60), st.Close(t.Context())))
	unchanged("the store went on")
	back, err := open(fsys.Sub("backup"))
	must(t, err)
	must(t, errors.Join(run(back, storagetest.Continue(back, 1<<20), 4, 60), back.Close(t.Context())))
	unchanged("the snapshot was opened and went on")
	for _, name := range fsys.Files() { // the store as it was, but the segments are those of now
		if strings.HasPrefix(name, "store/journal/") {
			must(t, fsys.Delete(name))
		}
	}
	for _, name := range before.Files() {
		if b, err := before.Contents(name); err == nil && !strings.HasPrefix(name, "store/seg/") {
			must(t, fsys.SetContents(name, b))
		}
	}
	st, err = open(fsys.Sub("store"))
	must(t, err)
	for _, topic := range st.Topics() {
		for n := range topic.Partitions {
			put(t, st, topic.Partition(n), 3)
		}
	}
	must(t, st.Close(t.Context()))
	unchanged("the store went back to an old checkpoint and went on")
}

// TestSnapshotRefused: into what is not empty, or has an owner; of a store that is closed, or closes meanwhile; with a context that ended.
func TestSnapshotRefused(t *testing.T) {
	fsys := memfs.New()
	st, err := open(fsys)
	must(t, err)
	must(t, run(st, storagetest.NewHistory(), 1, 30))
	if _, err := st.SnapshotFS(t.Context(), fsys, disk.SnapshotOptions{}); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("into its own directory: got %v, want %v", err, storage.ErrInUse)
	}
	full, left := memfs.New(), memfs.New()
	must(t, errors.Join(full.SetContents("notes.txt", []byte("mine")), left.SetContents("notes.txt", []byte("mine")), left.SetContents("UNFINISHED", nil)))
	for what, to := range map[string]*memfs.FS{"full": full, "full, beside an unfinished copy": left} {
		had := len(to.Files())
		if _, err := st.SnapshotFS(t.Context(), to, disk.SnapshotOptions{}); !errors.Is(err, storage.ErrNotEmpty) || len(to.Files()) != had+1 {
			t.Errorf("%s: got %v, want %v; it has %v", what, err, storage.ErrNotEmpty, to.Files())
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := st.SnapshotFS(ended, memfs.New(), disk.SnapshotOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: got %v", err)
	}
	to := memfs.New()
	var once sync.Once
	closed := make(chan error, 1)
	to.OnOp(func(op vfs.Op) error {
		if op.Kind == vfs.OpWrite && strings.HasPrefix(op.Name, "seg/") {
			once.Do(func() { go func() { closed <- st.Close(context.Background()) }() })
		}
		return nil
	})
	if _, err := st.SnapshotFS(t.Context(), to, disk.SnapshotOptions{BytesPerSecond: 64}); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("of a store that closes: got %v, want %v", err, storage.ErrClosed)
	}
	must(t, <-closed)
	if _, err := st.SnapshotFS(t.Context(), memfs.New(), disk.SnapshotOptions{}); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("of a closed store: got %v, want %v", err, storage.ErrClosed)
	}
	if st, err = disk.OpenReadOnlyFS(fsys, tiny()); err != nil {
		t.Fatal(err)
	}
	defer st.Close(t.Context())
	if _, err := st.SnapshotFS(t.Context(), memfs.New(), disk.SnapshotOptions{}); !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("of a store that is only read: got %v, want %v", err, storage.ErrReadOnly)
	}
}

// TestSnapshotOfDamage: a damaged segment is not copied in silence; if that is accepted, all that is whole is copied.
func TestSnapshotOfDamage(t *testing.T) {
	fsys := memfs.New()
	st, err := open(fsys)
	must(t, err)
	topic, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 2})
	must(t, err)
	put(t, st, topic.Partition(0), 10)
	put(t, st, topic.Partition(1), 10)
	must(t, st.Close(t.Context()))
	for _, name := range fsys.Files() {
		if strings.HasPrefix(name, "seg/00000000/") {
			must(t, fsys.FlipBit(name, 4096+20, 1))
		}
	}
	st, err = open(fsys)
	must(t, err)
	defer st.Close(t.Context())
	var damage *storage.DamageError
	to := memfs.New()
	if _, err := st.SnapshotFS(t.Context(), to, disk.SnapshotOptions{}); !errors.As(err, &damage) || damage.Partition != 0 {
		t.Fatalf("got %v, want damage in partition 0", err)
	}
	r, err := st.SnapshotFS(t.Context(), to, disk.SnapshotOptions{AcceptDamage: true})
	if err != nil || len(r.Damage) != 1 || r.Damage[0].Partition != 0 {
		t.Fatalf("accepted: got %+v, %v", r, err)
	}
	back, err := open(to)
	must(t, err)
	defer back.Close(t.Context())
	if rs, err := storagetest.ReadAll(back, topic.Partition(1), newRand(1, 1)); err != nil || len(rs) != 10 {
		t.Errorf("the whole partition: got %d records, %v", len(rs), err)
	}
	if _, err := storagetest.ReadAll(back, topic.Partition(0), newRand(1, 1)); !errors.As(err, &damage) {
		t.Errorf("the damaged partition: got %v", err)
	}
}

// TestSnapshotProgress: it is told how far it has come, up to the whole.
func TestSnapshotProgress(t *testing.T) {
	st, err := open(memfs.New())
	must(t, err)
	defer st.Close(t.Context())
	must(t, run(st, storagetest.NewHistory(), 1, 30))
	var last, whole int64
	r, err := st.SnapshotFS(t.Context(), memfs.New(), disk.SnapshotOptions{Progress: func(done, total int64) {
		if done < last || done > total {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		last, whole = done, total
	}})
	if err != nil || last == 0 || last < whole*8/10 {
		t.Errorf("got %+v, %v; %d of %d told", r, err, last, whole)
	}
}
