package disk_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// TestGrowCrash is TestCrash for stores whose topics are given partitions all the time.
func TestGrowCrash(t *testing.T) {
	target := int64(sized(t, 1_000, 5_000, 300_000))
	s := &sweep{tally: newTally(), modes: sized(t, 2, 3, len(crashes)), again: sized(t, 8, 4, 3)}
	s.steps = func(st storage.Store, h *storagetest.History, seed uint64, n int) error {
		w := storagetest.NewWorkload(h, st, seed)
		w.Removes, w.Grows = true, true
		for range n {
			if err := w.Step(context.Background()); err != nil {
				return err
			}
		}
		for _, topic := range st.Topics() {
			s.count("stretches", len(topic.Added))
			s.count("partitions", topic.Partitions)
		}
		return nil
	}
	for seed := uint64(1); s.get("points") < target && !s.failed(); seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { s.script(t, seed, 90) })
	}
	line := fmt.Sprintf("%d crash points, %d of them in a recovery, %d after one; at the ends of lives %d partitions in %d stretches beside the first",
		s.get("points"), s.get("in recovery"), s.get("after recovery"), s.get("partitions"), s.get("stretches"))
	s.end(t, "grown topics", line, "points", "in recovery", "after recovery", "acknowledged", "partitions", "stretches")
}

// grownStore is a store with a topic that was given partitions twice, and another one made in between. Its group is at the first record of each partition but those that came last.
type grownStore struct {
	*testing.T
	*disk.Store
	topic, other storage.Topic
	group        storage.GroupID
	n            int
}

func newGrownStore(t *testing.T, st *disk.Store) *grownStore {
	t.Helper()
	g := &grownStore{T: t, Store: st}
	var err error
	g.topic, err = st.CreateTopic(t.Context(), storage.TopicSpec{Name: "t", Partitions: 2})
	must(t, err)
	group, err := st.CreateGroup(t.Context(), "g")
	must(t, err)
	g.group = group.ID
	g.append()
	g.grow(3)
	g.other, err = st.CreateTopic(t.Context(), storage.TopicSpec{Name: "other", Partitions: 3})
	must(t, err)
	g.append()
	g.grow(7)
	return g
}

func (g *grownStore) grow(total int) {
	g.Helper()
	var err error
	g.topic, err = g.GrowTopic(g.Context(), "t", total)
	must(g.T, err)
}

// append stores a record in each partition, and that the group has done the first.
func (g *grownStore) append() {
	g.Helper()
	e := &storage.Entry{}
	for n := range g.topic.Partitions {
		id := g.topic.Partition(n)
		e.Batches = append(e.Batches, storage.Batch{Partition: id, Records: []storage.Record{{Value: fmt.Appendf(nil, "%d of %d", g.n, n)}}})
		if b, err := g.Bounds(id); err != nil || b.Next > 0 {
			e.Cursors = append(e.Cursors, storage.Cursor{Group: g.group, Partition: id, Floor: 1, Passed: 1})
		}
	}
	g.n++
	_, err := g.Append(g.Context(), e)
	must(g.T, err)
}

// wantSame holds another store against this one. lives says that offsets and incarnations are the same, too.
func (g *grownStore) wantSame(what string, st storage.Store, lives bool) {
	g.Helper()
	got, ok := st.Topic("t")
	if !ok || got.Partitions != g.topic.Partitions || lives && got.Incarnation != g.topic.Incarnation {
		g.Fatalf("%s: the topic is %+v, want %+v", what, got, g.topic)
	}
	for n := range g.topic.Partitions {
		id := g.topic.Partition(n)
		if got.Partition(n) != id {
			g.Errorf("%s: partition %d has the ID %d, want %d", what, n, got.Partition(n), id)
		}
		want, err := storagetest.ReadAll(g, id, newRand(1, 1))
		must(g.T, err)
		rs, err := storagetest.ReadAll(st, id, newRand(1, 1))
		if err != nil || len(rs) != len(want) {
			g.Errorf("%s: partition %d has %d records, %v, want %d", what, n, len(rs), err, len(want))
			continue
		}
		for i := range rs {
			if string(rs[i].Value) != string(want[i].Value) || rs[i].Offset != want[i].Offset {
				g.Errorf("%s: partition %d: %q at %d, want %q at %d", what, n, rs[i].Value, rs[i].Offset, want[i].Value, want[i].Offset)
			}
		}
		c, ok := st.Cursor(g.group, id)
		was, had := g.Cursor(g.group, id)
		if ok != had || c.Floor != was.Floor {
			g.Errorf("%s: the cursor on partition %d is %+v, %v, want %+v, %v", what, n, c, ok, was, had)
		}
	}
}

// TestRebuildGrown ruins all checkpoints of a store that was killed, or closed: what became of the topic is in the journal, and in segments.
func TestRebuildGrown(t *testing.T) {
	for name, spilled := range map[string]bool{"killed": false, "spilled": true} {
		t.Run(name, func(t *testing.T) {
			fs := memfs.New()
			st, err := open(fs)
			must(t, err)
			g := newGrownStore(t, st)
			g.append()
			if spilled {
				must(t, st.Close(t.Context()))
				st, err = disk.OpenReadOnlyFS(fs.Clone(memfs.Everything, 1), tiny())
				must(t, err)
				g.Store = st
			}
			defer st.Close(t.Context())
			im := fs.Clone(memfs.Everything, 1)
			for _, name := range []string{"checkpoint-a", "checkpoint-b", "checkpoint-c"} {
				if _, err := im.Contents(name); err == nil {
					must(t, im.Delete(name))
				}
			}
			to := memfs.New()
			r, err := disk.RebuildFS(t.Context(), im, to, disk.RebuildOptions{Store: tiny()})
			if err != nil || len(r.Unnamed) > 0 || len(r.Salvage.Strangers) > 0 {
				t.Fatalf("%+v, %v", r, err)
			}
			made, err := open(to)
			must(t, err)
			g.wantSame("rebuilt", made, false)
			must(t, made.Close(t.Context()))
		})
	}
}

// TestSalvageGrown ruins each of the frames that gave a topic partitions: a later one has what the earlier one had, records without a topic are counted, and no offset is used again.
func TestSalvageGrown(t *testing.T) {
	fs := memfs.New()
	st, err := open(fs)
	must(t, err)
	g := newGrownStore(t, st)
	g.append()
	defer st.Close(t.Context())
	const name = "journal/00"
	content, err := fs.Contents(name)
	must(t, err)
	var grown []placed
	for _, f := range framesOf(t, content) {
		if f.Kind == frame.Alter {
			grown = append(grown, f)
		}
	}
	if len(grown) != 2 {
		t.Fatalf("%d frames give the topic partitions, want 2", len(grown))
	}
	for i, want := range []struct{ partitions, strangers int }{{7, 1}, {3, 4}} {
		im := fs.Clone(memfs.Everything, 1)
		must(t, im.FlipBit(name, grown[i].from+64+3, 1))
		if st, err := open(im); err == nil {
			st.Close(t.Context())
			t.Fatalf("frame %d: the open took it", i)
		}
		r, err := salvage(im)
		must(t, err)
		lost := 0
		for _, n := range r.Strangers {
			lost += int(n)
		}
		salvaged, err := open(im)
		must(t, err)
		topic, ok := salvaged.Topic("t")
		if !ok || topic.Partitions != want.partitions || lost != want.strangers {
			t.Fatalf("frame %d: the topic is %+v, %d records without one; want %+v", i, topic, lost, want)
		}
		topic, err = salvaged.GrowTopic(t.Context(), "t", 9)
		must(t, err)
		for n := range topic.Partitions {
			id := topic.Partition(n)
			was, err := g.Bounds(id)
			if n >= 7 && err == nil || n >= want.partitions && r.Strangers[id] > 0 {
				t.Errorf("frame %d: partition %d has the ID %d, which was in use", i, n, id)
			}
			e := &storage.Entry{Batches: []storage.Batch{{Partition: id, Records: []storage.Record{{}}}}}
			_, err = salvaged.Append(t.Context(), e)
			must(t, err)
			if e.Batches[0].Records[0].Offset < was.Next {
				t.Errorf("frame %d: partition %d: offset %d is given away again; the next was %d", i, n, e.Batches[0].Records[0].Offset, was.Next)
			}
		}
		must(t, salvaged.Close(t.Context()))
	}
}

// TestFollowGrown: a second directory gets what a topic is given from the journal, or when it is brought up from segments.
func TestFollowGrown(t *testing.T) {
	first, second := memfs.New(), memfs.New()
	st, err := openFollowed(first, second)
	must(t, err)
	g := newGrownStore(t, st)
	g.append()
	arrived := func(what string) {
		t.Helper()
		must(t, g.WaitFollowed(t.Context()))
		copied, err := disk.OpenReadOnlyFS(second.Clone(memfs.SyncedOnly, 1), tiny())
		must(t, err)
		g.wantSame(what, copied, true)
		must(t, copied.Close(t.Context()))
	}
	arrived("followed")
	must(t, st.Close(t.Context()))
	st, err = open(first) // without
	must(t, err)
	g.Store = st
	g.grow(9)
	for range 300 {
		g.append() // so much that the journal is used again
		_, err := g.Append(t.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: g.other.First, Records: []storage.Record{{Value: make([]byte, 4<<10)}}}}})
		must(t, err)
	}
	must(t, st.Close(t.Context()))
	st, err = openFollowed(first, second)
	must(t, err)
	g.Store = st
	arrived("brought up")
	must(t, st.Close(t.Context()))
}

// TestRestoreGrown goes back to a snapshot of before a topic was given partitions, and of after that.
func TestRestoreGrown(t *testing.T) {
	st, err := open(memfs.New())
	must(t, err)
	g := newGrownStore(t, st)
	before := memfs.New()
	_, err = st.SnapshotFS(t.Context(), before, disk.SnapshotOptions{})
	must(t, err)
	g.append()
	g.grow(9)
	g.append()
	was := g.topic
	after := memfs.New()
	_, err = st.SnapshotFS(t.Context(), after, disk.SnapshotOptions{})
	must(t, err)
	g.restored("of after", after, 9, true)
	back := g.restored("of before", before, 7, false)
	if back.Holds(was.Incarnation, 8, 0) || back.Holds(was.Incarnation, 6, 0) || !back.Holds(was.Incarnation, 0, 1) {
		t.Errorf("what the topic holds of the life before is wrong: %+v", back)
	}
	must(t, st.Close(t.Context()))
}

// restored restores a snapshot, has the topic grow there, and opens that again.
func (g *grownStore) restored(what string, from *memfs.FS, partitions int, same bool) storage.Topic {
	g.Helper()
	to := memfs.New()
	_, err := disk.RestoreFS(g.Context(), from, to, disk.RestoreOptions{})
	must(g.T, err)
	st, err := open(to)
	must(g.T, err)
	if same {
		g.wantSame(what, st, false)
	}
	topic, err := st.GrowTopic(g.Context(), "t", partitions+3)
	must(g.T, err)
	_, err = st.Append(g.Context(), &storage.Entry{Batches: []storage.Batch{{Partition: topic.Partition(partitions + 2), Records: []storage.Record{{}}}}})
	must(g.T, err)
	must(g.T, st.Close(g.Context()))
	st, err = open(to)
	must(g.T, err)
	again, _ := st.Topic("t")
	if again.Partitions != partitions+3 || again.Partition(partitions+2) != topic.Partition(partitions+2) || again.Incarnation != topic.Incarnation || len(again.Past) != 1 {
		g.Errorf("%s: grown and opened again the topic is %+v, was %+v", what, again, topic)
	}
	must(g.T, st.Close(g.Context()))
	return again
}

// TestGrowIsRefused: what cannot be is refused before anything is written.
func TestGrowIsRefused(t *testing.T) {
	fs := memfs.New()
	st, err := open(fs)
	must(t, err)
	g := newGrownStore(t, st)
	before := st.Stats().Commits
	_, err = st.GrowTopic(t.Context(), "t", 6)
	if !errors.Is(err, storage.ErrShrink) {
		t.Errorf("fewer: %v", err)
	}
	for range 40 { // of which each has a cursor on each partition
		group, err := st.CreateGroup(t.Context(), fmt.Sprint("g", before))
		must(t, err)
		_, err = st.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{{Group: group.ID, Partition: g.topic.First}}})
		must(t, err)
		before++
	}
	before = st.Stats().Commits
	_, err = st.GrowTopic(t.Context(), "t", storage.MaxPartitions)
	var limit *storage.LimitError
	if !errors.As(err, &limit) || limit.Max != storage.MaxEntry {
		t.Errorf("more cursors than an entry takes: %v", err)
	}
	if now := st.Stats().Commits; now != before {
		t.Errorf("%d commits", now-before)
	}
	must(t, st.Close(t.Context()))
}
