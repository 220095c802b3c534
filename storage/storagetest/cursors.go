package storagetest

import (
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
)

func testCursors(t *testing.T, s *suite) {
	st := s.open()
	topic := s.topic(st, "t", 2, storage.SyncAlways)
	p, q := topic.First, topic.Partition(1)
	g, other := s.group(st, "g"), s.group(st, "other")
	var offsets []int64
	for range 10 {
		offsets = append(offsets, s.append(st, p, values("x")...)[0].Offset)
	}
	set := func(c storage.Cursor) {
		t.Helper()
		if _, err := st.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{c}}); err != nil {
			t.Fatalf("cursor %+v: %v", c, err)
		}
	}
	check := func(want storage.Cursor) {
		t.Helper()
		got, ok := st.Cursor(want.Group, want.Partition)
		if !ok || !sameCursor(&got, &want) {
			t.Errorf("cursor %+v, %v; want %+v", got, ok, want)
		}
	}
	full := func() storage.Cursor {
		return storage.Cursor{
			Group: g, Partition: p, Floor: offsets[2], Passed: 4,
			Done:   []storage.Range{{From: offsets[4], To: offsets[5]}, {From: offsets[8], To: offsets[9]}},
			Failed: []storage.Failure{{Offset: offsets[2], Attempts: 3, Due: 1 << 60, Note: "\x00why"}, {Offset: offsets[6], Attempts: 1<<32 - 1}},
		}
	}
	set(storage.Cursor{Group: g, Partition: p})
	check(storage.Cursor{Group: g, Partition: p})
	given := full()
	set(given)
	given.Done[0], given.Failed[0] = storage.Range{}, storage.Failure{}
	check(full())
	got, _ := st.Cursor(g, p)
	got.Done[0], got.Failed[0] = storage.Range{}, storage.Failure{}
	check(full())
	for _, k := range []struct {
		g storage.GroupID
		p storage.PartitionID
	}{{g, q}, {other, p}} {
		if c, ok := st.Cursor(k.g, k.p); ok {
			t.Errorf("group %d has cursor %+v on partition %d", k.g, c, k.p)
		}
	}
	behind := storage.Cursor{Group: other, Partition: p, Floor: offsets[9] + 1, Passed: 10}
	set(behind)
	back := storage.Cursor{Group: g, Partition: p, Floor: offsets[1], Passed: 1} // absolute: it may go back, too
	set(back)
	check(back)
	set(full())
	check(full())
	check(behind)
	if s.Volatile {
		return
	}
	s.close(st)
	st = s.open()
	check(full())
	check(behind)
}

func testCursorIsChecked(t *testing.T, s *suite) {
	st := s.open()
	p := s.topic(st, "t", 1, storage.SyncAlways).First
	g := s.group(st, "g")
	s.append(st, p, values("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")...)
	b, err := st.Bounds(p)
	if err != nil {
		t.Fatal(err)
	}
	type r = storage.Range
	type f = storage.Failure
	for what, c := range map[string]storage.Cursor{
		"floor below 0":        {Floor: -1},
		"floor beyond the end": {Floor: b.Next + 1},
		"done beyond the end":  {Done: []r{{From: 5, To: b.Next + 1}}},
		"done below the floor": {Floor: 3, Done: []r{{From: 1, To: 2}}},
		"done at the floor":    {Floor: 3, Done: []r{{From: 3, To: 4}}},
		"done twice":           {Done: []r{{From: 2, To: 4}, {From: 3, To: 5}}},
		"done touching":        {Done: []r{{From: 2, To: 4}, {From: 4, To: 5}}},
		"done descending":      {Done: []r{{From: 6, To: 7}, {From: 2, To: 3}}},
		"done empty":           {Done: []r{{From: 2, To: 2}}},
		"failed below floor":   {Floor: 3, Failed: []f{{Offset: 2, Attempts: 1}}},
		"failed beyond":        {Failed: []f{{Offset: b.Next, Attempts: 1}}},
		"failed descending":    {Failed: []f{{Offset: 4, Attempts: 1}, {Offset: 3, Attempts: 1}}},
		"note too long":        {Failed: []f{{Offset: 4, Attempts: 1, Note: strings.Repeat("x", storage.MaxNote+1)}}},
		"failed twice":         {Failed: []f{{Offset: 4, Attempts: 1}, {Offset: 4, Attempts: 1}}},
	} {
		c.Group, c.Partition = g, p
		if _, err := st.Append(t.Context(), &storage.Entry{Cursors: []storage.Cursor{c}}); err == nil {
			t.Errorf("%s: stored", what)
		}
	}
	if c, ok := st.Cursor(g, p); ok {
		t.Errorf("cursor %+v, after refusals only", c)
	}
}
