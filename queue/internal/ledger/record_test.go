package ledger

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
)

func example() Record {
	return Record{
		Covered: []Cover{{0, 17}, {3, 1 << 40}},
		Entries: []Entry{
			{ID: Of("a"), Born: 1_700_000_000_123e6, Offset: 16},
			{ID: Of("b"), Born: 1_700_000_000_122e6, Offset: 1<<40 - 1, Partition: 3},
			{ID: Of(""), Born: -1e6, Partition: 1<<31 - 1, Offset: 1<<63 - 1},
		},
	}
}

func TestRecordComesBack(t *testing.T) {
	var got Record
	for _, want := range []Record{{}, example()} {
		b := want.Append([]byte("before"))[6:]
		if err := got.Decode(b); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Covered, want.Covered) || !slices.Equal(got.Entries, want.Entries) {
			t.Errorf("%+v, want %+v", got, want)
		}
		for n := range b {
			if err := got.Decode(b[:n]); !errors.Is(err, ErrFormat) {
				t.Errorf("%d of %d bytes: %v", n, len(b), err)
			}
		}
		if err := got.Decode(append(b, 0)); !errors.Is(err, ErrFormat) {
			t.Errorf("a byte too many: %v", err)
		}
	}
	if err := got.Decode([]byte{2, 0, 0}); !errors.Is(err, ErrFormat) {
		t.Errorf("another version: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	r := example()
	f.Add(r.Append(nil))
	f.Add([]byte{1, 0, 0})
	f.Add([]byte{1, 255, 255, 3, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again Record
		if err := r.Decode(b); err != nil {
			if len(r.Covered)+len(r.Entries) > 0 {
				t.Error("half a record")
			}
			return
		}
		if cap(r.Entries) > len(b) || cap(r.Covered) > len(b)+8 {
			t.Errorf("room for %d and %d out of %d bytes", cap(r.Covered), cap(r.Entries), len(b))
		}
		if err := again.Decode(r.Append(nil)); err != nil || !reflect.DeepEqual(r.Entries, again.Entries) || !slices.Equal(r.Covered, again.Covered) {
			t.Errorf("%+v comes back as %+v, %v", r, again, err)
		}
		if short := r.Append(nil); len(short) > len(b) && !bytes.Equal(short, b) {
			t.Errorf("%d bytes become %d", len(b), len(short))
		}
	})
}
