package timers

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
)

// watched is an index whose owner stores what becomes of messages with chosen keys in a topic of its own.
type watched struct {
	*rig
	beside storage.Topic
	log    []string
}

func watch(t *testing.T) *watched {
	w := &watched{rig: newRig(t, newLogged(t), 8)}
	var err error
	if w.beside, err = ensure(ctx, w.store, storage.TopicSpec{Name: "beside", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	w.alter = func(m *Message, to ID) *Aside {
		text := "cancelled " + m.ID.String()
		if to != (ID{}) {
			text = "moved " + m.ID.String() + " to " + to.String()
		}
		if _, ok := w.store.Topic("beside"); !ok {
			w.log = append(w.log, text+" alone")
			return nil
		}
		return &Aside{w.beside.First, storage.Record{Value: []byte(text)}, func(_ int64, err error) {
			if err != nil {
				text = "not " + text
			}
			w.log = append(w.log, text)
		}}
	}
	w.leave = func(ms []Message) func(error) {
		w.log = append(w.log, "leaving "+ms[0].ID.String())
		return func(err error) {
			if len(w.delivered()) == 0 || err != nil || ms[0].Record.Value == nil {
				w.Errorf("a message left with %v", err)
			}
			w.log = append(w.log, "left")
		}
	}
	w.open()
	return w
}

// stored lists what is beside.
func (w *watched) stored() (texts []string) {
	rs, _, err := w.store.Read(nil, w.beside.First, 0, 1<<20)
	if err != nil {
		w.Fatal(err)
	}
	for i := range rs {
		texts = append(texts, string(rs[i].Value))
	}
	return texts
}

// chosen delays message 0, which has a chosen key.
func (w *watched) chosen(due int64) ID {
	ids, err := w.publish(0, due)
	if err != nil || ids[0].Nonce == 0 {
		w.Fatal(ids, err)
	}
	return ids[0]
}

// TestAsides wants the end and the move of a message with a chosen key told, and what its owner says stored in the same entry.
func TestAsides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t)
		a := w.chosen(after(time.Hour))
		b, err := w.index.Move(ctx, a, after(2*time.Hour))
		if err != nil || !b.Same(a) {
			t.Fatal(b, err)
		}
		if err := w.index.Cancel(ctx, b); err != nil {
			t.Fatal(err)
		}
		want := []string{"moved " + a.String() + " to " + b.String(), "cancelled " + b.String()}
		if got := w.stored(); !slices.Equal(got, want) || !slices.Equal(w.log, want) {
			t.Errorf("%q and told %q, want %q", got, w.log, want)
		}
		if n := len(w.store.changes[len(w.store.changes)-1].entry.Batches); n != 2 {
			t.Errorf("the last entry has %d batches, want both in one", n)
		}
		w.log = nil
		c := w.chosen(after(time.Hour))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if want := []string{"leaving " + c.String(), "left"}; !slices.Equal(w.log, want) {
			t.Errorf("told %q, want %q", w.log, want)
		}
		w.close()
	})
}

// TestAsidesOfWhatIsGone deletes what a record was to be stored in after it was asked for: the timer is cancelled all the same.
func TestAsidesOfWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t)
		a := w.chosen(after(time.Hour))
		w.store.refuse = func(e *storage.Entry) error {
			if len(e.Batches) < 2 || e.Batches[1].Partition != w.beside.First {
				return nil
			}
			return errors.Join(storage.ErrNotFound, w.store.DeleteTopic(ctx, "beside"))
		}
		if err := w.index.Cancel(ctx, a); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(w.log, ", "); got != "not cancelled "+a.String()+", cancelled "+a.String()+" alone" {
			t.Errorf("told %q", got)
		}
		if n := w.pending(); n != 0 {
			t.Errorf("%d pending", n)
		}
		w.close()
	})
}
