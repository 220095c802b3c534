package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// grown makes a store with a topic that was given two partitions when there was another behind it, and a group that has come to one of them. It returns where it is, as a close and as a kill would leave
// it, and the topic.
func grown(t *testing.T) (closed, killed string, orders storage.Topic) {
	t.Helper()
	closed, killed = filepath.Join(t.TempDir(), "closed"), filepath.Join(t.TempDir(), "killed")
	ctx := t.Context()
	st, err := disk.Open(closed, small())
	ok(t, err)
	orders, err = st.CreateTopic(ctx, storage.TopicSpec{Name: "orders", Partitions: 2})
	ok(t, err)
	appendEach := func(from, to int) {
		for n := from; n < to; n++ {
			for i := range 2 {
				r := storage.Record{Value: fmt.Appendf(nil, "order %d of %d", i, n)}
				_, err := st.Append(ctx, &storage.Entry{Batches: []storage.Batch{{Partition: orders.Partition(n), Records: []storage.Record{r}}}})
				ok(t, err)
			}
		}
	}
	appendEach(0, 2)
	_, err = st.CreateTopic(ctx, storage.TopicSpec{Name: "logs", Partitions: 1})
	ok(t, err)
	orders, err = st.GrowTopic(ctx, "orders", 4)
	ok(t, err)
	appendEach(2, 4)
	billing, err := st.CreateGroup(ctx, "billing")
	ok(t, err)
	_, err = st.Append(ctx, &storage.Entry{Cursors: []storage.Cursor{{Group: billing.ID, Partition: orders.Partition(3), Floor: 1, Passed: 1}}})
	ok(t, err)
	ok(t, os.CopyFS(killed, os.DirFS(closed)))
	ok(t, st.Close(context.Background()))
	return closed, killed, orders
}

const ordersOfTwo = "orders/2  0  TIME  \"order 0 of 2\"\norders/2  1  TIME  \"order 1 of 2\"\n"

// TestGrownIsRead: partitions that a topic was given are told of under their numbers in it, whatever lies between them and the first.
func TestGrownIsRead(t *testing.T) {
	closed, killed, _ := grown(t)
	for _, dir := range []string{closed, killed} {
		var i inspection
		decode(t, fine(t, "inspect", "-json", dir), &i)
		if len(i.Topics) != 2 || i.Topics[0].Partitions != 4 || len(i.Topics[0].Parts) != 4 || i.Topics[0].Records != 8 || len(i.Topics[1].Parts) != 1 || i.Topics[1].Records != 0 {
			t.Fatalf("%s: inspect: got %+v", filepath.Base(dir), i.Topics)
		}
		for n, p := range i.Topics[0].Parts {
			if p.Partition != n || p.First != 0 || p.Next != 2 {
				t.Errorf("%s: inspect: partition %d is %+v", filepath.Base(dir), n, p)
			}
		}
		if c := i.Groups[0].Cursors; len(c) != 1 || c[0].Topic != "orders" || c[0].Partition != 3 || c[0].Lag != 1 {
			t.Errorf("%s: inspect: the group is %+v", filepath.Base(dir), c)
		}
		if out := fine(t, "inspect", dir); !strings.Contains(out, "billing  orders  3          1") {
			t.Errorf("%s: inspect: got\n%s", filepath.Base(dir), out)
		}
		same(t, "dump of one", stable(fine(t, "dump", "-topic", "orders", "-partition", "2", dir), dir), ordersOfTwo)
		if out := fine(t, "dump", dir); strings.Count(out, "\n") != 8 {
			t.Errorf("%s: dump: got\n%s", filepath.Base(dir), out)
		}
		if code, _, errs := leat("dump", "-topic", "orders", "-partition", "4", dir); code != exitFailed || !strings.Contains(errs, "it has 0 to 3") {
			t.Errorf("%s: dump of a partition that is not there: exit %d, %q", filepath.Base(dir), code, errs)
		}
		if out := fine(t, "verify", dir); !strings.Contains(out, "no damage") {
			t.Errorf("%s: verify: got\n%s", filepath.Base(dir), out)
		}
	}
}

// TestGrownIsCopied: what is restored of a snapshot has all partitions, and can be given more.
func TestGrownIsCopied(t *testing.T) {
	closed, killed, orders := grown(t)
	for _, dir := range []string{closed, killed} {
		top := t.TempDir()
		backup, again := filepath.Join(top, "backup"), filepath.Join(top, "again")
		want := fine(t, "dump", dir)
		fine(t, "snapshot", dir, backup)
		fine(t, "restore", backup, again)
		for _, copied := range []string{backup, again} {
			if got := fine(t, "dump", copied); got != want {
				t.Errorf("%s of %s: got\n%swant\n%s", filepath.Base(copied), filepath.Base(dir), got, want)
			}
			fine(t, "verify", copied)
		}
		st, err := disk.Open(again, small())
		ok(t, err)
		topic, err := st.GrowTopic(t.Context(), "orders", 5)
		if err != nil || topic.Partition(3) != orders.Partition(3) || topic.Partition(4) <= topic.Partition(3) {
			t.Errorf("%s: restored: %+v, %v", filepath.Base(dir), topic, err)
		}
		ok(t, st.Close(context.Background()))
	}
}

// TestGrownIsRepaired: damage in a partition that a topic was given is named with its number in it, mended from a copy, and what is whole is rebuilt.
func TestGrownIsRepaired(t *testing.T) {
	dir, _, orders := grown(t)
	top := t.TempDir()
	backup, rebuilt := filepath.Join(top, "backup"), filepath.Join(top, "rebuilt")
	want := fine(t, "dump", dir)
	ok(t, os.CopyFS(backup, os.DirFS(dir)))
	found, err := filepath.Glob(filepath.Join(dir, "seg", fmt.Sprintf("%08x", uint32(orders.Partition(3))), "*"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	flip(t, found[0], 4096+70)
	if code, out, _ := leat("verify", dir); code != exitFailed || !strings.Contains(out, `topic "orders", partition 3, offsets 0 to 1: 1 record`) {
		t.Errorf("verify: exit %d, got\n%s", code, out)
	}
	if out := fine(t, "mend", dir, backup); strings.Count(out, "mended: ") != 1 {
		t.Errorf("mend: got\n%s", out)
	}
	if got := fine(t, "dump", dir); got != want {
		t.Errorf("mended: got\n%swant\n%s", got, want)
	}
	fine(t, "compact", dir)
	leat("rebuild", dir, rebuilt)
	if got := fine(t, "dump", rebuilt); got != want {
		t.Errorf("rebuilt: got\n%swant\n%s", got, want)
	}
}
