package disk_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// filler is a file beside the store that takes the space that it needs.
type filler struct {
	file vfs.File
	size int64
}

func newFiller(t *testing.T, fs vfs.FS) *filler {
	t.Helper()
	f, err := fs.Create("filler")
	if err != nil {
		t.Fatal(err)
	}
	return &filler{file: f}
}

// fill takes all the space but about so many bytes.
func (f *filler) fill(t *testing.T, but int64) {
	t.Helper()
	for step := int64(1 << 20); step >= 4096; {
		if err := f.file.Allocate(f.size + step); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			if err := f.file.Truncate(f.size); err != nil {
				t.Fatal(err)
			}
			step /= 2
			continue
		}
		f.size += step
	}
	f.size = max(0, f.size-but)
	if err := f.file.Truncate(f.size); err != nil {
		t.Fatal(err)
	}
}

func (f *filler) free(t *testing.T) {
	t.Helper()
	f.size = 0
	if err := f.file.Truncate(0); err != nil {
		t.Fatal(err)
	}
}

// fullRun publishes to a store whose disk is filled and freed.
type fullRun struct {
	t      *testing.T
	st     *disk.Store
	h      *storagetest.History
	topics []storage.Topic
	group  storage.Group
	floor  map[storage.PartitionID]int64

	acked, refused, cursors int
}

func newFullRun(t *testing.T, st *disk.Store) *fullRun {
	t.Helper()
	r := &fullRun{t: t, st: st, h: storagetest.NewHistory(), floor: map[storage.PartitionID]int64{}}
	create := func(s storage.TopicSpec) (storage.Topic, error) { return st.CreateTopic(t.Context(), s) }
	for i, p := range []storage.SyncPolicy{storage.SyncAlways, storage.SyncOS, storage.SyncInterval(time.Hour)} {
		topic, err := r.h.CreateTopic(create, storage.TopicSpec{Name: fmt.Sprint("t", i), Partitions: 2, Strategy: storage.Strategy{Sync: p}})
		if err != nil {
			t.Fatal(err)
		}
		r.topics = append(r.topics, topic)
	}
	g, err := r.h.CreateGroup(func(n string) (storage.Group, error) { return st.CreateGroup(t.Context(), n) }, "g")
	if err != nil {
		t.Fatal(err)
	}
	r.group = g
	return r
}

func (r *fullRun) append(p storagetest.Plan) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // rather than for ever, if nothing goes on
	defer cancel()
	a := r.h.Begin(p)
	d, err := r.st.Append(ctx, a.Entry)
	if bad := r.h.End(a, d, err); bad != nil {
		r.t.Fatal(bad)
	}
	return err
}

// publish goes on until the store is full, or most bytes were taken.
func (r *fullRun) publish(most int) (full bool) {
	for n, bytes := 0, 0; bytes < most; n++ {
		topic := r.topics[n%len(r.topics)]
		err := r.append(storagetest.Plan{Batches: []storagetest.PlanBatch{
			{Partition: topic.Partition(n / 3 % 2), Sizes: []int{1000, 3000}},
			{Partition: r.topics[(n+1)%len(r.topics)].First, Sizes: []int{500}},
		}})
		switch {
		case err == nil:
			r.acked++
			bytes += 4500
		case errors.Is(err, storage.ErrNoSpace) && errors.Is(err, storage.ErrFull) && errors.Is(err, syscall.ENOSPC) && !errors.Is(err, storage.ErrIndeterminate):
			r.refused++
			return true
		default:
			r.t.Fatalf("append: %v", err)
		}
	}
	return false
}

// acknowledge moves cursors on, n times.
func (r *fullRun) acknowledge(n int) {
	for i := range n {
		p := r.topics[i%len(r.topics)].Partition(i % 2)
		b, err := r.st.Bounds(p)
		if err != nil {
			r.t.Fatal(err)
		}
		c := storage.Cursor{Group: r.group.ID, Partition: p, Floor: min(r.floor[p]+1, b.Next)}
		r.floor[p] = c.Floor
		if c.Passed, err = storagetest.Passed(r.st, &c); err != nil {
			r.t.Fatal(err)
		}
		if err := r.append(storagetest.Plan{Cursors: []storage.Cursor{c}}); err != nil {
			r.t.Fatalf("cursor %d on a full disk: %v", i, err)
		}
		r.cursors++
	}
}

// cycle fills the disk up, publishes until the store is full, has cursors go on, and frees the disk again.
func (r *fullRun) cycle(f *filler, left int64, cursors int, room func()) {
	r.t.Helper()
	f.fill(r.t, left)
	if !r.publish(64 << 20) {
		r.t.Fatal("the disk is full, and 64 MiB were taken")
	}
	if !r.st.Stats().Full {
		r.t.Error("Stats say that the disk is not full")
	}
	r.acknowledge(cursors)
	if err := r.st.StopCause(); err != nil {
		r.t.Fatal(err)
	}
	f.free(r.t)
	room()
	if r.st.Stats().Full {
		r.t.Fatal("the disk is free, and the store is still full")
	}
	if r.publish(20_000) {
		r.t.Fatal("records are refused though there is space")
	}
}

// TestFullAndFreed fills a disk and frees it, over and over, under one store: records are refused with typed errors while it is full, cursors go on beyond
// what the journal holds, and records are taken again as soon as there is space; nothing that was acknowledged is lost (G23, M14).
func TestFullAndFreed(t *testing.T) {
	t.Run("little waits in memory", func(t *testing.T) { fullAndFreed(t, tiny()) })
	t.Run("much waits in memory", func(t *testing.T) {
		o := tiny()
		o.Tuning.SpillBytes = o.MemoryBytes / 2
		fullAndFreed(t, o)
	})
}

func fullAndFreed(t *testing.T, o disk.Options) {
	synctest.Test(t, func(t *testing.T) {
		cycles := sized(t, 5, 20, 1000)
		fs := memfs.New()
		var log eventLog
		o.Events = log.note
		st, err := disk.OpenFS(fs, o)
		if err != nil {
			t.Fatal(err)
		}
		defer freed(fs, st)
		r, f := newFullRun(t, st), newFiller(t, fs)
		fs.SetCapacity(int64(4<<20 + cycles*(1<<20)))
		for i := range cycles {
			r.cycle(f, int64(i%5)*100_000, 2000, func() { time.Sleep(3 * time.Second) })
		}
		if full, again := len(log.of(storage.EventFull)), len(log.of(storage.EventRoom)); full < cycles || full != again {
			t.Errorf("told %d times that the disk is full and %d times that it is not, want %d at least", full, again, cycles)
		}
		if es := append(log.of(storage.EventStopped), log.of(storage.EventWorkError)...); len(es) > 0 {
			t.Errorf("told %v", es)
		}
		uses := slotUses(t, fs)
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.reopened(fs, fmt.Sprintf("%d cycles; %d entries acknowledged, %d refused, %d cursors moved while full, %d journal files written over", cycles, r.acked, r.refused, r.cursors, uses))
	})
}

// freed ends a store whose test may have failed while it waits for space.
func freed(fs *memfs.FS, st *disk.Store) {
	fs.SetCapacity(-1)
	st.Close(context.Background())
}

// reopened opens what is left, and prints what was lost.
func (r *fullRun) reopened(fs vfs.FS, line string) {
	r.t.Helper()
	st, err := open(fs)
	if err != nil {
		r.t.Fatal(err)
	}
	v := r.h.Check(st, storagetest.Died, 1)
	r.t.Logf("%s; lost %d; %v", line, v.Lost, v)
	for _, p := range v.Problems {
		r.t.Error(p)
	}
	if err := st.Close(r.t.Context()); err != nil {
		r.t.Error(err)
	}
}

// What cleanup removes is room for new records, without help from outside.
func TestFullDiskIsFreedByCleanup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		st, err := open(fs)
		if err != nil {
			t.Fatal(err)
		}
		defer freed(fs, st)
		r := newFullRun(t, st)
		fs.SetCapacity(5 << 20)
		for range 5 {
			if !r.publish(64 << 20) {
				t.Fatal("the disk holds 5 MiB, and 64 were taken")
			}
			r.acknowledge(100)
			for _, topic := range r.topics {
				for i := range topic.Partitions {
					b, err := st.Bounds(topic.Partition(i))
					if err == nil {
						err = st.Trim(t.Context(), topic.Partition(i), b.Next)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			time.Sleep(10 * time.Second)
			if st.Stats().Full {
				t.Fatal("all was trimmed, and the disk is still full")
			}
		}
		if r.acked < 1000 {
			t.Errorf("%d entries taken on five fillings of 5 MiB", r.acked)
		}
		if err := st.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// A directory on a full disk opens, after a close and after a kill, serves what it has, takes cursors, and refuses records until there is space.
func TestFullDiskOpens(t *testing.T) {
	for _, clean := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			fs := memfs.New()
			st, err := open(fs)
			if err != nil {
				t.Fatal(err)
			}
			r, f := newFullRun(t, st), newFiller(t, fs)
			fs.SetCapacity(4 << 20)
			r.publish(300_000)
			if clean {
				err = st.Close(t.Context())
			}
			fs2 := fs.Clone(memfs.Everything, 1)
			if !clean {
				err = st.Close(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.file, err = fs2.Open("filler", vfs.ReadWrite); err != nil {
				t.Fatal(err)
			}
			f.fill(t, 0)
			var log eventLog
			o := tiny()
			o.Events = log.note
			if r.st, err = disk.OpenFS(fs2, o); err != nil {
				t.Fatal(err)
			}
			defer freed(fs2, r.st)
			v := r.h.Fork(r.h.Mark()).Check(r.st, storagetest.Died, 1)
			for _, p := range v.Problems {
				t.Error(p)
			}
			full := r.publish(4 << 20)
			r.acknowledge(500)
			if es := log.of(storage.EventFull); !full || len(es) == 0 || !r.st.Stats().Full {
				t.Errorf("clean %v: full %v, told %v", clean, full, es)
			}
			f.free(t)
			time.Sleep(3 * time.Second)
			if r.publish(100_000) || len(log.of(storage.EventRoom)) == 0 {
				t.Errorf("clean %v: there is space, and records are refused", clean)
			}
			if err := r.st.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.reopened(fs2, fmt.Sprintf("clean %v: %d acknowledged", clean, r.acked))
		})
	}
}
