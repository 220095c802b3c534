package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// keyed appends n batches of records of the given keys in turn, with values of 100 bytes.
func (c *clerk) keyed(n int, keys int, of string) {
	c.t.Helper()
	for i := range n {
		var rs []storage.Record
		for j := range 5 {
			rs = append(rs, storage.Record{Key: fmt.Appendf(nil, "%s%d", of, (5*i+j)*7%keys), Value: bytes.Repeat([]byte{byte(i + 1)}, 100)})
		}
		c.append(rs...)
	}
}

// left tells which of the written records must be there: the newest of its key and what has none. sealed is up to where it was compacted.
func (c *clerk) newest(hold int) func(i int) bool {
	last := map[string]int{}
	for i := range c.written {
		last[string(c.written[i].Key)] = i
	}
	return func(i int) bool {
		return c.written[i].Key == nil || last[string(c.written[i].Key)] == i || i >= hold
	}
}

// readAll returns the offsets that are there.
func (c *clerk) offsets() map[int64]bool {
	c.t.Helper()
	there := map[int64]bool{}
	for from := int64(0); ; {
		rs, next, err := c.st.Read(nil, c.p, from, 9000)
		if err != nil {
			c.t.Fatal(err)
		}
		if len(rs) == 0 {
			return there
		}
		for i := range rs {
			there[rs[i].Offset] = true
		}
		from = next
	}
}

// checkNewest: every record that must be there is, and of those that need not, none is below the offset up to which everything was sealed and compacted.
func (c *clerk) checkNewest(hold, sealed int) {
	c.t.Helper()
	there, must := c.offsets(), c.newest(hold)
	for i := range c.written {
		switch o := c.written[i].Offset; {
		case must(i) && !there[o]:
			c.t.Fatalf("offset %d, of key %q, is gone", o, c.written[i].Key)
		case !must(i) && there[o] && i < sealed:
			c.t.Fatalf("offset %d, of key %q, is superseded and still there", o, c.written[i].Key)
		}
	}
	c.check(func(i int) bool { return there[c.written[i].Offset] })
}

func latestByKey(level storage.Level) storage.Strategy {
	return storage.Strategy{Level: level, Cleanup: storage.CleanupPolicy{LatestByKey: true}}
}

// Of each key the newest record stays; what has no key stays; offsets and ordinals stay. Again and again, and after a reopen.
func TestCompaction(t *testing.T) {
	for _, level := range []storage.Level{storage.DiskOnly, storage.Compressed} {
		c := newClerk(t, memfs.New(), quiet(), latestByKey(level))
		before := int64(0)
		for round := range 4 {
			c.keyed(800, 50+10*round, "k")
			c.append(storage.Record{Value: []byte("no key")}, storage.Record{Key: []byte{}, Value: []byte("an empty key")})
			sealed := len(c.written) - 1200 // the rest may be in the segment that is appended to
			before = c.st.Stats().SegmentBytes
			c.clean()
			c.checkNewest(len(c.written), sealed)
			c.reopen()
			c.checkNewest(len(c.written), sealed)
		}
		s := c.st.Stats()
		if s.SegmentBytes > before/2 {
			t.Errorf("%v: %d bytes after %d", level, s.SegmentBytes, before)
		}
		if r := c.st.Report(); len(r.Foreign) > 0 {
			t.Errorf("foreign %v", r.Foreign)
		}
	}
}

// Deleted keys: a tombstone removes what is before it at once, and goes itself when it is old enough.
func TestTombstones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet()
		o.Tuning.CheckpointEvery = -1
		s := latestByKey(storage.DiskOnly)
		s.Cleanup.TombstoneAge = time.Hour
		c := newClerk(t, memfs.New(), o, s)
		c.keyed(400, 40, "k")
		var dead []int
		for i := range 20 {
			dead = append(dead, len(c.written))
			c.append(storage.Record{Key: fmt.Appendf(nil, "k%d", i)})
		}
		c.keyed(400, 30, "other")
		has := func(want bool) {
			t.Helper()
			there := c.offsets()
			for _, i := range dead {
				if there[c.written[i].Offset] != want {
					t.Fatalf("a tombstone is there: %v", !want)
				}
			}
			for i := range dead[0] {
				if o := c.written[i].Offset; there[o] && bytes.Compare(c.written[i].Key, []byte("k20")) < 0 && len(c.written[i].Key) == 2 {
					t.Fatalf("offset %d of the deleted key %q is there", o, c.written[i].Key)
				}
			}
		}
		c.clean()
		has(true)
		time.Sleep(2 * time.Hour)
		c.keyed(400, 30, "more")
		c.clean()
		has(false)
		c.reopen()
		has(false)
	})
}

// With HoldForGroups nothing goes that the slowest group has not done.
func TestCompactionHoldsForGroups(t *testing.T) {
	s := latestByKey(storage.DiskOnly)
	s.Cleanup.HoldForGroups = true
	c := newClerk(t, memfs.New(), quiet(), s)
	c.keyed(1000, 40, "k")
	g, err := c.st.CreateGroup(t.Context(), "slow")
	if err != nil {
		t.Fatal(err)
	}
	for _, floor := range []int64{0, 1, 2500, 3000} {
		cur := storage.Cursor{Group: g.ID, Partition: c.p, Floor: floor, Passed: floor}
		if _, err := c.st.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{cur}}); err != nil {
			t.Fatal(err)
		}
		c.clean()
		c.checkNewest(int(floor), max(0, int(floor)-1000))
	}
	if len(c.offsets()) > 3000+500 {
		t.Errorf("nothing was compacted: %d records", len(c.offsets()))
	}
}

// Keys that do not fit the memory are left for the next time; a segment with more keys than fit is told as a limit, and nothing is lost.
func TestCompactionMemory(t *testing.T) {
	o := quiet()
	o.Tuning.CompactBytes = 64 << 10
	c := newClerk(t, memfs.New(), o, latestByKey(storage.DiskOnly))
	c.keyed(1500, 2500, "k")
	for range 8 {
		c.clean()
		c.checkNewest(len(c.written), 0)
	}
	if n := len(c.offsets()); n > len(c.written)*2/3 {
		t.Errorf("%d of %d records are left", n, len(c.written))
	}
	c = newClerk(t, memfs.New(), o, latestByKey(storage.DiskOnly))
	for i := range 200 {
		var rs []storage.Record
		for j := range 100 {
			rs = append(rs, storage.Record{Key: fmt.Appendf(nil, "%d", 100*i+j)})
		}
		c.append(rs...)
	}
	var limit *storage.LimitError
	if err := c.st.Clean(t.Context()); !errors.As(err, &limit) {
		t.Errorf("more keys in a segment than fit: %v", err)
	}
	c.check(allOfThem)
}

// While what a tombstone has removed cannot be rewritten, and so is still there, the tombstone stays, however old.
func TestTombstonesStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := latestByKey(storage.DiskOnly)
		s.Cleanup.TombstoneAge = time.Hour
		fs := memfs.New()
		c := newClerk(t, fs, quiet(), s)
		c.append(storage.Record{Key: []byte("dead"), Value: make([]byte, 100)})
		c.keyed(400, 40, "k")
		at := len(c.written)
		c.append(storage.Record{Key: []byte("dead")})
		c.keyed(400, 30, "other")
		c.reopen()
		first := fs.Files()[slices.IndexFunc(fs.Files(), func(name string) bool { return strings.HasPrefix(name, "seg/") })]
		if err := fs.FlipBit(first, 4096+64+10, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		var damage *storage.DamageError
		if err := c.st.Clean(t.Context()); !errors.As(err, &damage) || damage.File != first {
			t.Fatalf("clean: %v, want damage of %s", err, first)
		}
		if c.st.Stats().Work["compact"].Runs == 0 {
			t.Fatal("nothing was compacted")
		}
		if err := fs.FlipBit(first, 4096+64+10, 0); err != nil {
			t.Fatal(err)
		}
		c.reopen()
		if !c.offsets()[c.written[at].Offset] {
			t.Error("the tombstone is gone, and what it removed is not")
		}
		c.clean()
		if there := c.offsets(); there[c.written[at].Offset] || there[c.written[0].Offset] {
			t.Error("the tombstone or what it removed is still there")
		}
	})
}
