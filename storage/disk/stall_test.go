package disk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// A disk that does not answer is told of after StallAfter, with the file, and again when it answers; one that is only slow is not. Appends and Close
// honour their contexts meanwhile, and what was appended is there when it goes on (G26, M17).
func TestStallIsTold(t *testing.T) {
	kinds, prefixes := []vfs.Kind{vfs.OpWrite, vfs.OpSyncData}, []string{"journal/", "seg/", "checkpoint-"}
	fixed := []time.Duration{10 * time.Millisecond, time.Second, 4 * time.Second, 7 * time.Second, time.Hour}
	rng := newRand(17, 17)
	for i := range sized(t, 30, 204, 5004) {
		kind, prefix := kinds[i%2], prefixes[i/2%3]
		lasts := time.Duration(1+rng.IntN(4000)) * time.Millisecond
		switch {
		case i/6 < len(fixed):
			lasts = fixed[i/6]
		case rng.IntN(2) == 0:
			lasts = 7*time.Second + time.Duration(rng.Int64N(int64(50*time.Minute)))
		}
		t.Run(fmt.Sprintf("%v of %s for %v", kind, prefix, lasts), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { stall(t, kind, prefix, lasts) })
		})
	}
}

func stall(t *testing.T, kind vfs.Kind, prefix string, lasts time.Duration) {
	var log eventLog
	var armed atomic.Bool
	fs := errfs.New(memfs.New(), errfs.Fault{Kinds: []vfs.Kind{kind}, Prefix: prefix, Always: true, Before: func(vfs.Op) {
		if armed.CompareAndSwap(true, false) {
			time.Sleep(lasts)
		}
	}})
	o := tiny()
	o.Events, o.Tuning.CheckpointEvery = log.note, time.Second
	st, err := disk.OpenFS(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	p := turnTopic(t, st, storage.SyncAlways, "t")
	entry := func() *storage.Entry {
		return &storage.Entry{Batches: []storage.Batch{{Partition: p, Records: []storage.Record{{Value: make([]byte, 20<<10)}}}}}
	}
	armed.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	records := int64(2) // one of an unknown outcome is there in the end
	for range 2 {
		if _, err = st.Append(ctx, entry()); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("append on a stalled disk: %v", err)
		}
		if errors.Is(err, storage.ErrFull) {
			records--
		}
	}
	if took := time.Since(began); took > 200*time.Millisecond {
		t.Errorf("the appends returned after %v, their context ended after 100 ms", took)
	}
	time.Sleep(3 * time.Second) // a checkpoint comes
	if lasts == time.Hour {
		closing, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := st.Close(closing); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close of a stalled store: %v", err)
		}
	}
	time.Sleep(2 * time.Hour)
	stalled, moving := log.of(storage.EventStalled), log.of(storage.EventMoving)
	if want := lasts > 5*time.Second; want != (len(stalled) == 1) || len(stalled) != len(moving) {
		t.Errorf("stalled for %v: told %v, %v", lasts, stalled, moving)
	}
	for _, e := range stalled {
		// What a spill appends to is named by its partition.
		if at := e.At.Sub(began); at > 12*time.Second || !strings.Contains(e.Text, prefix) && !strings.Contains(e.Text, "partition 0") {
			t.Errorf("after %v: %v", at, e)
		}
	}
	if lasts < time.Hour {
		if b, err := st.Bounds(p); err != nil || b.Records != records {
			t.Errorf("%d records, %v; want %d", b.Records, err, records)
		}
	}
	if err := st.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if es := log.of(storage.EventStopped); len(es) > 0 || fs.Injected() == 0 {
		t.Errorf("told %v", es)
	}
}
