package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

func TestNoteRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := note{
			started: rapid.Bool().Draw(t, "started"), crashes: rapid.Uint32().Draw(t, "crashes"), first: rapid.Int64().Draw(t, "first"),
			cause: rapid.StringN(0, -1, 2*maxCause).Draw(t, "cause"),
		}
		s := n.encode()
		if len(s) > storage.MaxNote {
			t.Fatalf("%d bytes, %d allowed", len(s), storage.MaxNote)
		}
		got := decodeNote(s)
		if !strings.HasPrefix(n.cause, got.cause) || len(n.cause) <= maxCause && got.cause != n.cause {
			t.Fatalf("cause %q, want %q", got.cause, n.cause)
		}
		if n.cause = got.cause; got != n {
			t.Fatalf("got %+v, want %+v", got, n)
		}
		for i := range s {
			decodeNote(s[:i]) // does not panic
		}
		if got := decodeNote("\x02" + s[1:]); got != (note{}) {
			t.Fatalf("of another form: %+v", got)
		}
	})
}

func TestMarksAndSuspicions(t *testing.T) {
	failed := []storage.Failure{{Offset: 3, Attempts: 2, Note: note{first: 7, cause: "x"}.encode()}, {Offset: 9, Attempts: 1}}
	p := track{flying: []int64{1, 3, 12}}
	marked := p.mark(failed)
	var offsets []int64
	for _, f := range marked {
		offsets = append(offsets, f.Offset)
	}
	if want := []int64{1, 3, 9, 12}; !reflect.DeepEqual(offsets, want) {
		t.Fatalf("failures of %v, want %v", offsets, want)
	}
	left, found := suspected(marked, false)
	if !found || len(left) != 2 || decodeNote(left[0].Note).crashes != 0 {
		t.Errorf("after a close: %+v, %v, want the two that failed, without suspicion", left, found)
	}
	left, found = suspected(marked, true)
	crashes := map[int64]uint32{}
	for _, f := range left {
		crashes[f.Offset] = decodeNote(f.Note).crashes
		if decodeNote(f.Note).started {
			t.Errorf("offset %d is marked still", f.Offset)
		}
	}
	if want := map[int64]uint32{1: 1, 3: 1, 9: 0, 12: 1}; !found || !reflect.DeepEqual(crashes, want) {
		t.Errorf("after a death: %v, want %v", crashes, want)
	}
	if n := decodeNote(left[1].Note); n.first != 7 || n.cause != "x" || left[1].Attempts != 2 {
		t.Errorf("what was known is %+v", left[1])
	}
	if _, found = suspected(left, true); found {
		t.Error("a mark counts twice")
	}
}

// TestSuspectsRunAlone has a cursor that names suspects among many messages.
func TestSuspectsRunAlone(t *testing.T) {
	for _, order := range []queue.Order{queue.ByKey, queue.ByPartition, queue.Unordered} {
		t.Run(order.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { suspectsAlone(t, order) })
		})
	}
}

func suspectsAlone(t *testing.T, order queue.Order) {
	b, err := InMemory(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx := t.Context()
	if err := b.EnsureTopic(ctx, "t", queue.TopicConfig{Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if _, err := b.Publish(ctx, queue.Message{Topic: "t", Key: fmt.Append(nil, i%8), Partition: queue.PinTo(i % 2)}); err != nil {
			t.Fatal(err)
		}
	}
	e := b.Engine().(*engine)
	g, err := e.store.CreateGroup(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	suspects := map[int64]bool{1: true, 2: true, 5: true, 11: true}
	var entry storage.Entry
	top, _ := e.store.Topic("t")
	for n := range 2 {
		c := storage.Cursor{Group: g.ID, Partition: top.Partition(n)}
		for offset := range int64(20) {
			if suspects[offset] {
				c.Failed = append(c.Failed, storage.Failure{Offset: offset, Note: note{crashes: 2}.encode()})
			}
		}
		entry.Cursors = append(entry.Cursors, c)
	}
	if _, err := e.store.Append(ctx, &entry); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	running, all, done := 0, 0, 0
	seen := map[int64]int{}
	cctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		err := b.ConsumeBatch(cctx, queue.Group{Name: "g", Topics: []string{"t"}, Order: order, Concurrency: 8, Batch: queue.Batch{Messages: 3}},
			func(_ context.Context, ds []*queue.Delivery) []error {
				offset, _ := ds[0].Position.Offset()
				suspect := suspects[offset]
				mu.Lock()
				all++
				if suspect {
					running++
				}
				if running > 1 {
					t.Error("two suspects at once")
				}
				for _, d := range ds {
					o, _ := d.Position.Offset()
					seen[o]++
					if suspects[o] && len(ds) > 1 {
						t.Errorf("a suspect came together with %d others", len(ds)-1)
					}
				}
				done += len(ds)
				mu.Unlock()
				time.Sleep(50 * time.Millisecond)
				mu.Lock()
				if suspect {
					running--
				}
				mu.Unlock()
				return nil
			})
		if err != nil {
			t.Error(err)
		}
	})
	if err := b.WaitIdle(ctx, "g"); err != nil {
		t.Fatal(err)
	}
	stop()
	wg.Wait()
	if done != 40 {
		t.Errorf("%d messages, want 40", done)
	}
}

const poisonDir = "LEAT_POISON_DIR"

// TestPoison has a message kill the process each time that it is worked on, at once or after a while. It is known after few deaths, and nobody else is suspected as often.
func TestPoison(t *testing.T) {
	if dir := os.Getenv(poisonDir); dir != "" {
		bePoisoned(t, dir, os.Getenv("LEAT_POISON_SLOW") != "")
		return
	}
	if testing.Short() {
		t.Skip("it starts processes")
	}
	for _, slow := range []string{"", "slow"} {
		t.Run("slow="+slow, func(t *testing.T) {
			dir := t.TempDir()
			setUpPoison(t, filepath.Join(dir, "q"))
			deaths := 0
			for ; ; deaths++ {
				if deaths > maxDeaths+1 {
					t.Fatalf("the process died %d times", deaths)
				}
				cmd := exec.Command(os.Args[0], "-test.run=^TestPoison$")
				cmd.Env = append(os.Environ(), poisonDir+"="+dir, "LEAT_POISON_SLOW="+slow)
				out, err := cmd.CombinedOutput()
				if err == nil {
					break
				}
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.ExitCode() != poisoned {
					t.Fatalf("%v: %s", err, out)
				}
			}
			want := maxDeaths
			if slow == "" {
				want++ // of the first death nobody could know what was in flight
			}
			if deaths != want {
				t.Errorf("the process died %d times, want %d", deaths, want)
			}
			poison(t, filepath.Join(dir, "q"))
			b, err := os.ReadFile(filepath.Join(dir, "done"))
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, v := range strings.Fields(string(b)) {
				seen[v] = true
			}
			if len(seen) != poisonMessages-1 {
				t.Errorf("%d messages were done, want all %d but the poison", len(seen), poisonMessages-1)
			}
		})
	}
}

const (
	poisonMessages = 60
	poisoned       = 77 // exit code
	maxDeaths      = 3
)

func setUpPoison(t *testing.T, dir string) {
	b, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.EnsureTopic(t.Context(), "t", queue.TopicConfig{Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	for i := range poisonMessages {
		if _, err := b.Publish(t.Context(), queue.Message{Topic: "t", Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// poison wants the message to be the one dead letter.
func poison(t *testing.T, dir string) {
	b, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	n := 0
	for l, err := range b.DeadLetters("t.dead").All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; string(l.Value) != "20" || l.Crashes != maxDeaths || l.Attempts != 0 {
			t.Errorf("dead letter of %s, %d crashes, %d attempts, because: %s", l.Value, l.Crashes, l.Attempts, l.Error)
		}
	}
	if n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
}

// bePoisoned is the process that dies of message 20, until that has been the cause of so many deaths.
func bePoisoned(t *testing.T, dir string, slow bool) {
	b, err := Open(filepath.Join(dir, "q"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	done, err := os.OpenFile(filepath.Join(dir, "done"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		g := queue.Group{Name: "g", Topics: []string{"t"}, Concurrency: 4}
		err := b.Consume(ctx, g, func(_ context.Context, d *queue.Delivery) error {
			if string(d.Value) == "20" {
				if slow {
					time.Sleep(100 * time.Millisecond)
				}
				os.Exit(poisoned)
			}
			if slow {
				time.Sleep(20 * time.Millisecond)
			}
			fmt.Fprintln(done, string(d.Value))
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	for b.WaitIdle(ctx, "g") != nil {
	}
	stop()
	wg.Wait()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}
