package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/queue"
)

func TestReadEndsAtWhatWasThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 3)
		fill(t, b, 3, 2000, 0)
		last := map[int]int64{}
		n := 0
		for r, err := range b.Read(t.Context(), queue.Range{Topic: "t", Partitions: []int{0, 2}}) {
			if err != nil {
				t.Fatal(err)
			}
			offset, _ := r.Position.Offset()
			p := r.Position.Partition()
			if before, seen := last[p]; seen && offset != before+1 || p == 1 {
				t.Fatalf("%s after offset %d", r.Position, before)
			}
			last[p] = offset
			if n++; n == 1 {
				fill(t, b, 3, 10, 0) // not there when Read began
			}
		}
		if n != 4000 {
			t.Errorf("read %d records, want 4000", n)
		}
		for range b.Read(t.Context(), queue.Range{Topic: "t"}) {
			break // early
		}
	})
}

func TestReadFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 2)
		fill(t, b, 2, 1, 0)
		ctx, stop := context.WithCancel(t.Context())
		var got []string
		ended := make(chan error)
		go func() {
			for r, err := range b.Read(ctx, queue.Range{Topic: "t", From: queue.Latest(), Follow: true}) {
				if err != nil {
					ended <- err
					return
				}
				got = append(got, fmt.Sprintf("%d:%s", r.Position.Partition(), r.Value))
			}
			ended <- nil
		}()
		synctest.Wait()
		for range 3 {
			fill(t, b, 2, 2, 0)
			time.Sleep(time.Second)
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		slices.Sort(got)
		if want := []string{"0:0", "0:0", "0:0", "0:1", "0:1", "0:1", "1:0", "1:0", "1:0", "1:1", "1:1", "1:1"}; !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	})
}

func TestReadErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory(t, 2)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for name, c := range map[string]struct {
			ctx  context.Context
			r    queue.Range
			want error
		}{
			"topic":     {t.Context(), queue.Range{Topic: "none"}, queue.ErrNotFound},
			"partition": {t.Context(), queue.Range{Topic: "t", Partitions: []int{2}}, queue.ErrNotFound},
			"position":  {t.Context(), queue.Range{Topic: "t", From: queue.After(queue.PositionAt("t", 0, 0))}, queue.ErrNotFound},
			"no such":   {t.Context(), queue.Range{Topic: "t", From: queue.From(queue.PositionAt("t", 2, 0))}, queue.ErrNotFound},
			"ctx":       {ended, queue.Range{Topic: "t"}, context.Canceled},
		} {
			var errs []error
			for _, err := range b.Read(c.ctx, c.r) {
				errs = append(errs, err)
			}
			if len(errs) != 1 || !errors.Is(errs[0], c.want) {
				t.Errorf("%s: %v, want %v once", name, errs, c.want)
			}
		}
		followed := make(chan error)
		go func() {
			for _, err := range b.Read(t.Context(), queue.Range{Topic: "t", Follow: true}) {
				followed <- err
			}
		}()
		synctest.Wait()
		b.Close()
		if err := <-followed; !errors.Is(err, queue.ErrClosed) {
			t.Errorf("following while the broker closes: %v", err)
		}
	})
}

// TestReadBorrowed reads a topic out of segments into one buffer and one record: what it allocates does not grow with what it reads.
func TestReadBorrowed(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	const messages = 20_000
	ensure(t, b, "t", 1)
	fill(t, b, 1, messages, 0)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var only *queue.Record
	var want []byte
	allocs := testing.AllocsPerRun(3, func() {
		n := 0
		for r, err := range b.Read(t.Context(), queue.Range{Topic: "t", Borrowed: true}) {
			want = strconv.AppendInt(want[:0], int64(n), 10)
			if err != nil || !bytes.Equal(r.Value, want) || n > 0 && r != only {
				t.Fatalf("record %d: %+v, %v", n, r, err)
			}
			only = r
			n++
		}
		if n != messages {
			t.Fatalf("%d records, want %d", n, messages)
		}
	})
	if allocs > messages/10 {
		t.Errorf("reading %d records makes %.0f allocations", messages, allocs)
	}
}
