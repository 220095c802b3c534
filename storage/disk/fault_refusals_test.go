package disk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// playRefusing asks a store for what it has to refuse, with contexts that have ended among it, between what it does; and again when it has stopped.
func playRefusing(r *faultRun) error {
	o := tiny()
	o.Tuning.Slots = 1
	if _, err := disk.OpenFS(r.fs, o); !isLimit(err) {
		r.wrong("%s: opened with one journal file: %v", r.where, err)
	}
	st, err := r.open(tiny())
	if err != nil {
		return err
	}
	for range 3 {
		if err := r.refusals(st); err != nil && r.injected() == 0 {
			r.wrong("%s: %v", r.where, err)
		}
	}
	r.stats(st.Stats())
	r.close(st)
	if err := st.Reclaim(context.Background()); err == nil {
		r.wrong("%s: a closed store waits for space", r.where)
	}
	return nil
}

// refusedAreNotThere: nothing of what was refused is in the store.
func refusedAreNotThere(r *faultRun, fs *memfs.FS, where string) {
	st, err := open(fs)
	if err != nil {
		r.wrong("%s: %v", where, err)
		return
	}
	defer st.Close(context.Background())
	for _, t := range st.Topics() {
		if t.Name != "in memory" && t.Name != "on disk" {
			r.wrong("%s: topic %s is there", where, t.Name)
		}
		for i := range t.Partitions {
			rs, err := storagetest.ReadAll(st, t.Partition(i), newRand(1, 1))
			if err != nil || len(rs) > 0 && t.Name == "in memory" || slices.ContainsFunc(rs, func(rec storage.Record) bool { return string(rec.Value) != "taken" }) {
				r.wrong("%s: %d records of %s: %v", where, len(rs), t.Name, err)
			}
		}
	}
}

func isLimit(err error) bool {
	var limit *storage.LimitError
	return errors.As(err, &limit)
}

func isStrategy(err error) bool {
	var wrong *storage.StrategyError
	return errors.As(err, &wrong)
}

func is(want error) func(error) bool {
	return func(err error) bool { return errors.Is(err, want) }
}

// refusals asks for what cannot be, and for a little that can. A store that has stopped may say that instead. It returns why what can be was not done.
func (r *faultRun) refusals(st *disk.Store) error {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	ctx := context.Background()
	volatile, durable, err := r.refusing(ctx, st)
	var stopped *storage.StoppedError
	refused := func(what string, err error, right func(error) bool) {
		r.count("refused", 1)
		if !right(err) && !errors.As(err, &stopped) {
			r.wrong("%s: %s: %v", r.where, what, err)
		}
	}
	if err == nil {
		err = putRaw(ctx, st, record(durable, "taken"), record(durable+1, "taken"))
	}
	made := err
	if err == nil {
		refused("records of both kinds in one entry", putRaw(ctx, st, record(volatile, "refused"), record(durable, "refused")), is(storage.ErrMixedDurability))
		refused("two batches of a partition", putRaw(ctx, st, record(durable, "refused"), record(durable, "refused")), func(err error) bool { return err != nil })
		refused("an entry in memory after its time", putRaw(over, st, record(volatile, "refused")), is(storage.ErrFull))
		refused("an entry after its time", putRaw(over, st, record(durable, "refused")), is(storage.ErrFull))
		refused("more than a topic in memory may have", putRaw(ctx, st, big(volatile, 90_000)), isLimit)
		refused("too much at once", putRaw(ctx, st, big(volatile, 40_000), big(volatile+1, 40_000)), isLimit)
		refused("a full topic in memory", errors.Join(putRaw(ctx, st, big(volatile, 40_000)), putRaw(ctx, st, big(volatile, 40_000))), is(storage.ErrFull))
		if err := st.Trim(ctx, volatile, bounds(st, volatile).Next); err != nil && !errors.As(err, &stopped) {
			r.wrong("%s: trimming in memory: %v", r.where, err)
		}
		e := &storage.Entry{Cursors: []storage.Cursor{{Partition: durable, Group: 1 << 30}}}
		_, err := st.Append(ctx, e)
		refused("a cursor of no group", err, is(storage.ErrNotFound))
		if g, err := st.CreateGroup(ctx, "refused"); err == nil {
			_, err = st.Append(ctx, &storage.Entry{Cursors: []storage.Cursor{{Partition: durable, Group: g.ID, Floor: 1 << 50}}})
			refused("a cursor beyond the end", err, func(err error) bool { return err != nil })
		}
	}
	const nowhere = 1 << 30
	_, err = st.Append(ctx, &storage.Entry{Batches: []storage.Batch{{Partition: nowhere, Records: []storage.Record{{Value: []byte("x")}}}}})
	refused("records of no partition", err, is(storage.ErrNotFound))
	_, err = st.Append(ctx, &storage.Entry{Batches: []storage.Batch{{Partition: nowhere, Records: []storage.Record{{Value: make([]byte, storage.MaxRecord+1)}}}}})
	refused("a record that is too large", err, isLimit)
	refused("trimming nothing", st.Trim(ctx, nowhere, 1), is(storage.ErrNotFound))
	_, err = st.Watch(nowhere, nil)
	refused("watching nothing", err, is(storage.ErrNotFound))
	_, err = st.Bounds(nowhere)
	refused("bounds of nothing", err, is(storage.ErrNotFound))
	_, err = st.Ordinal(nowhere, 1)
	refused("an ordinal of nothing", err, is(storage.ErrNotFound))
	_, err = st.OffsetAt(nowhere, time.Now())
	refused("an offset of nothing", err, is(storage.ErrNotFound))
	_, _, err = st.Read(nil, nowhere, 0, 1)
	refused("reading nothing", err, is(storage.ErrNotFound))
	wrong := storage.Strategy{Cleanup: storage.CleanupPolicy{MaxAge: -1}}
	refused("altering to what cannot be", st.AlterTopic(ctx, "refused", wrong, nil), isStrategy)
	_, err = st.CreateTopic(ctx, storage.TopicSpec{Name: "wrong", Partitions: 1, Strategy: wrong})
	refused("a topic that cannot be", err, isStrategy)
	_, err = st.CreateTopic(ctx, storage.TopicSpec{Name: "none"})
	refused("a topic without partitions", err, isLimit)
	_, err = st.CreateTopic(over, storage.TopicSpec{Name: "late", Partitions: 1})
	refused("a topic after its time", err, is(storage.ErrFull))
	refused("waiting for space after its time", st.Reclaim(over), is(context.Canceled))
	return made
}

// refusing makes the topics that refusals is about, and returns their first partitions.
func (r *faultRun) refusing(ctx context.Context, st *disk.Store) (volatile, durable storage.PartitionID, err error) {
	inMemory := storage.Strategy{Level: storage.MemoryOnly, Memory: storage.MemoryPolicy{Bytes: 64 << 10}}
	for name, s := range map[string]storage.Strategy{"in memory": inMemory, "on disk": {}} {
		topic, ok := st.Topic(name)
		if !ok {
			if topic, err = st.CreateTopic(ctx, storage.TopicSpec{Name: name, Partitions: 2, Strategy: s}); err != nil {
				return 0, 0, err
			}
		}
		if name == "on disk" {
			durable = topic.First
		} else {
			volatile = topic.First
		}
	}
	return volatile, durable, nil
}

func record(p storage.PartitionID, value string) storage.Batch {
	return storage.Batch{Partition: p, Records: []storage.Record{{Value: []byte(value)}}}
}

func big(p storage.PartitionID, size int) storage.Batch { return record(p, string(make([]byte, size))) }

// putRaw appends an entry that no history knows.
func putRaw(ctx context.Context, st *disk.Store, batches ...storage.Batch) error {
	_, err := st.Append(ctx, &storage.Entry{Batches: batches})
	return err
}

func bounds(st *disk.Store, p storage.PartitionID) storage.Bounds {
	b, _ := st.Bounds(p)
	return b
}

// TestFaultOfPlace opens stores where no directory is and none can be made, and with options that cannot be: nothing is made.
func TestFaultOfPlace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, []byte("not a directory"), 0o600))
	if _, err := disk.Open(file, disk.Options{}); err == nil {
		t.Error("a file was opened as a store")
	}
	never := filepath.Join(dir, "never")
	if _, err := disk.Open(never, disk.Options{MemoryBytes: 1}); !isLimit(err) {
		t.Errorf("opened with a byte of memory: %v", err)
	}
	if _, err := os.Stat(never); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a store that was refused has made its directory: %v", err)
	}
	st, err := disk.Open(filepath.Join(dir, "store"), disk.Options{Follower: disk.FollowerOptions{Dir: file}})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := st.WaitFollowed(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("followed into a file: %v", err)
	}
	if lag, ok := st.Lag(); !ok || lag.Err == nil {
		t.Errorf("followed into a file: %s", fmt.Sprint(lag, ok))
	}
	must(t, st.Close(t.Context()))
}
