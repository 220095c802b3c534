package disk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// behindSegments is a file system on which nothing is done with segments before release is called: neither spills nor checkpoints are made.
func behindSegments(inner vfs.FS) (fs *errfs.FS, release func()) {
	gate := make(chan struct{})
	fs = errfs.New(inner, errfs.Fault{Prefix: "seg/", Always: true, Before: func(op vfs.Op) {
		if op.Kind.Changes() {
			<-gate
		}
	}})
	return fs, func() {
		select {
		case <-gate:
		default:
			close(gate)
		}
	}
}

// roomy has a journal with room for what is replayed and for several lives behind it.
func roomy() disk.Options {
	o := tiny()
	o.Tuning.SlotBytes, o.Tuning.JournalBytes, o.Tuning.SpillBytes = 1<<20, 64<<20, 4<<20
	return o
}

// A store that was killed serves what its journal has before any of it is in a segment, takes entries behind it, and is none the worse for being killed again then:
// the process, or the machine. Where much of the journal may never have been synced, entries wait until it is certain.
func TestResume(t *testing.T) {
	for _, c := range []struct {
		name  string
		sync  storage.SyncPolicy
		sizes []int
		n     int
		waits bool
	}{
		{"all synced", storage.SyncAlways, []int{700, 30}, 60, false},
		{"a short end in doubt", storage.SyncOS, []int{700, 30}, 60, false},
		{"a long end in doubt", storage.SyncOS, []int{200 << 10}, 45, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			left, h, topic := killed(t, c.sync, c.sizes, c.n)
			synctest.Test(t, func(t *testing.T) {
				a := newTally()
				a.resumes(t, left, h, topic, c.waits)
				a.end(t, "resume", fmt.Sprintf("%d acknowledged", h.Acked()))
			})
		})
	}
}

// killed leaves what a store has written that appended n entries with records of these sizes.
func killed(t *testing.T, sync storage.SyncPolicy, sizes []int, n int) (*memfs.FS, *storagetest.History, storage.Topic) {
	t.Helper()
	fs, h := memfs.New(), storagetest.NewHistory()
	st, err := disk.OpenFS(fs, roomy())
	must(t, err)
	defer st.Close(context.Background())
	create := func(s storage.TopicSpec) (storage.Topic, error) { return st.CreateTopic(t.Context(), s) }
	topic, err := h.CreateTopic(create, storage.TopicSpec{Name: "t", Partitions: 2, Strategy: storage.Strategy{Sync: sync}})
	must(t, err)
	appendTo(t, st, h, topic, sizes, n)
	return fs.Clone(memfs.Everything, 1), h.Fork(h.Mark()), topic
}

func appendTo(t *testing.T, st *disk.Store, h *storagetest.History, topic storage.Topic, sizes []int, n int) {
	t.Helper()
	for i := range n {
		e := h.Begin(storagetest.Plan{Batches: []storagetest.PlanBatch{{Partition: topic.Partition(i % topic.Partitions), Sizes: sizes}}})
		d, err := st.Append(t.Context(), e.Entry)
		must(t, errors.Join(err, h.End(e, d, err)))
	}
}

func (a *tally) resumes(t *testing.T, left *memfs.FS, h *storagetest.History, topic storage.Topic, waits bool) {
	t.Helper()
	fs, release := behindSegments(left)
	defer release()
	st, err := disk.OpenFS(fs, roomy())
	must(t, err)
	a.judge(h.Fork(h.Mark()).Check(st, storagetest.Died, 1), "opened") // a fork, since what was found need not outlive the power
	appended := make(chan struct{})
	go func() {
		defer close(appended)
		appendTo(t, st, h, topic, []int{10}, 4)
	}()
	synctest.Wait()
	select {
	case <-appended:
		if waits {
			t.Error("an entry was taken behind others of which nobody knows whether they are durable")
		}
	default:
		if !waits {
			t.Error("entries wait for a checkpoint, though nothing is in doubt")
		}
	}
	a.judge(h.Fork(h.Mark()).Check(st, storagetest.Died, 2), "behind the first entries")
	for _, mode := range memfs.Modes() {
		loss := storagetest.PowerLost
		if mode == memfs.Everything {
			loss = storagetest.Died
		}
		a.check(left.Clone(mode, 3), h.Fork(h.Mark()), loss, 3, fmt.Sprintf("killed again, %v", mode), nil)
	}
	release()
	<-appended
	must(t, st.Close(context.Background()))
	a.check(left, h, storagetest.Died, 4, "closed", nil)
}

// A store that loses power in every life before it comes to a checkpoint of its own gives no offset twice, and what one life has cut off the journal is gone for ever.
func TestKilledBeforeACheckpoint(t *testing.T) {
	for _, mode := range memfs.Modes() {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			left, h, topic := killed(t, storage.SyncOS, []int{700, 30}, 30)
			synctest.Test(t, func(t *testing.T) {
				a := newTally()
				for life := range uint64(6) {
					left = a.shortLife(t, left, h, topic, mode, life)
				}
				a.check(left, h, lossOf(mode), 9, "at the end", nil)
				a.end(t, "lives without a checkpoint", fmt.Sprintf("%d entries replayed", a.get("replayed")), "replayed")
			})
		})
	}
}

func lossOf(mode memfs.Mode) storagetest.Loss {
	if mode == memfs.Everything {
		return storagetest.Died
	}
	return storagetest.PowerLost
}

func (a *tally) shortLife(t *testing.T, left *memfs.FS, h *storagetest.History, topic storage.Topic, mode memfs.Mode, life uint64) *memfs.FS {
	t.Helper()
	fs, release := behindSegments(left)
	st, err := disk.OpenFS(fs, roomy())
	must(t, err)
	a.count("replayed", int(st.Report().Entries))
	a.judge(h.Check(st, lossOf(mode), life), fmt.Sprint("life ", life))
	appendTo(t, st, h, topic, []int{300, 20}, 5)
	if life%2 == 0 { // all but the last three entries are synced
		create := func(s storage.TopicSpec) (storage.Topic, error) { return st.CreateTopic(t.Context(), s) }
		synced, err := h.CreateTopic(create, storage.TopicSpec{Name: fmt.Sprint("synced ", life), Partitions: 1})
		must(t, err)
		appendTo(t, st, h, synced, []int{5}, 1)
		appendTo(t, st, h, topic, []int{300, 20}, 3)
	}
	next := left.Clone(mode, life+1)
	release()
	must(t, st.Close(context.Background()))
	return next
}

// A store that is killed at any change of an open, opened again, and then loses power before a checkpoint, has all that was synced.
func TestKilledInResume(t *testing.T) {
	a := newTally()
	for _, policy := range []storage.SyncPolicy{storage.SyncAlways, storage.SyncOS} {
		left, h, _ := killed(t, policy, []int{700, 30}, 30)
		synctest.Test(t, func(t *testing.T) { a.killedInResume(t, left, h, policy) })
	}
	a.end(t, "killed in an open", fmt.Sprintf("%d kills, each followed by %d cuts", a.get("kills"), len(memfs.Modes())), "kills")
}

func (a *tally) killedInResume(t *testing.T, left *memfs.FS, h *storagetest.History, policy storage.SyncPolicy) {
	t.Helper()
	var mu sync.Mutex
	var images []*memfs.FS
	left.OnOp(func(op vfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind.Changes() && !strings.HasPrefix(op.Name, "seg/") {
			images = append(images, left.Clone(memfs.Everything, 1))
		}
		return nil
	})
	opened := func(left *memfs.FS) {
		fs, release := behindSegments(left)
		st, err := disk.OpenFS(fs, roomy())
		must(t, err)
		left.OnOp(nil)
		for _, mode := range memfs.Modes() {
			a.check(left.Clone(mode, 5), h.Fork(h.Mark()), lossOf(mode), 5, fmt.Sprintf("policy %v, kill %d, %v", policy, a.get("kills"), mode), nil)
		}
		release()
		must(t, st.Close(context.Background()))
	}
	opened(left)
	for _, im := range images {
		a.count("kills", 1)
		opened(im)
	}
}

// What is damaged in the journal after it was replayed and before it is spilled is not served, and nothing takes it over into a segment.
func TestDamageBehindReplay(t *testing.T) {
	left, _, topic := killed(t, storage.SyncAlways, []int{20 << 10}, 40)
	synctest.Test(t, func(t *testing.T) {
		fs, release := behindSegments(left)
		defer release()
		st, err := disk.OpenFS(fs, roomy())
		must(t, err)
		synctest.Wait() // the first 256 KiB have been read, to be spilled
		b, err := left.Contents("journal/00")
		must(t, err)
		frames := framesOf(t, b)
		at := len(frames) * 3 / 4
		for frames[at].Count == 0 || frames[at].Partition != uint32(topic.First) {
			at++
		}
		f := frames[at]
		must(t, left.FlipBit("journal/00", f.from+64, 3))
		_, _, err = st.Read(nil, topic.First, f.Base, 1)
		var damage *storage.DamageError
		if !errors.As(err, &damage) || damage.File != "journal/00" || damage.From != f.from || damage.First != f.Base || damage.Next != f.Base+int64(f.Span) {
			t.Errorf("read of a damaged batch: %v, want damage of bytes %d to %d of journal/00", err, f.from, f.to)
		}
		if rs, next, err := st.Read(nil, topic.First, f.Base+int64(f.Span), 1); err != nil || len(rs) == 0 {
			t.Errorf("read behind a damaged batch: %d records, next %d, %v", len(rs), next, err)
		}
		release()
		synctest.Wait()
		if err := st.StopCause(); !errors.As(err, &damage) || !strings.Contains(err.Error(), "journal/00") {
			t.Errorf("the store stopped with %v, want the damage", err)
		}
		if err := st.Close(context.Background()); !errors.As(err, &damage) {
			t.Errorf("close: %v, want the damage", err)
		}
		if st, err = disk.OpenFS(left, roomy()); err != nil {
			t.Fatal(err)
		}
		if d := st.Report().Damage; len(d) != 1 || d[0].First != f.Base {
			t.Errorf("the next open reports %v, want the batch at offset %d", d, f.Base)
		}
		must(t, st.Close(context.Background()))
	})
}

// What is known of frames in the journal takes a part of the memory, and no more: what goes beyond it is spilled at once.
func TestReplayIsBounded(t *testing.T) {
	fs := memfs.New()
	st, err := disk.OpenFS(fs, roomy())
	must(t, err)
	p := turnTopic(t, st, storage.SyncOS, "t")
	const entries = 40_000 // of which 8 MiB of memory may know of 32,768
	e := &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: []storage.Record{{Value: []byte("x")}}}}}
	for range entries {
		_, err := st.Append(t.Context(), e)
		must(t, err)
	}
	left := fs.Clone(memfs.Everything, 1)
	must(t, st.Close(context.Background()))
	if st, err = disk.OpenReadOnlyFS(left, roomy()); err != nil {
		t.Fatal(err)
	}
	defer st.Close(context.Background())
	if r := st.Report(); r.Entries < 33_000 || st.Stats().Spills == 0 {
		t.Fatalf("%d entries replayed, %d spills, want some of more than 33,000", r.Entries, st.Stats().Spills)
	}
	rs, err := storagetest.ReadAll(st, p, newRand(1, 1))
	if err != nil || len(rs) != entries {
		t.Errorf("%d records, %v, want %d", len(rs), err, entries)
	}
}
