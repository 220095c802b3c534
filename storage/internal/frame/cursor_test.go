package frame_test

import (
	"encoding/binary"
	"math"
	"reflect"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"pgregory.net/rapid"
)

func drawCursor(t *rapid.T) storage.Cursor {
	c := storage.Cursor{
		Group:     storage.GroupID(rapid.Uint32().Draw(t, "group")),
		Partition: storage.PartitionID(rapid.Uint32().Draw(t, "partition")),
		Floor:     rapid.Int64Range(0, math.MaxInt64).Draw(t, "floor"),
		Passed:    rapid.Int64Range(0, math.MaxInt64).Draw(t, "passed"),
	}
	near := rapid.OneOf(rapid.Int64Range(1, 5), rapid.Int64Range(1, 1<<40))
	at := c.Floor
	for range rapid.IntRange(0, 10).Draw(t, "done") {
		gap, n := near.Draw(t, "gap"), near.Draw(t, "length")
		if at > math.MaxInt64-gap-n {
			break
		}
		c.Done = append(c.Done, storage.Range{From: at + gap, To: at + gap + n})
		at += gap + n
	}
	at = c.Floor
	for i := range rapid.IntRange(0, 10).Draw(t, "failed") {
		gap := near.Draw(t, "distance") - 1
		if i > 0 {
			gap++
		}
		if at > math.MaxInt64-gap {
			break
		}
		at += gap
		c.Failed = append(c.Failed, storage.Failure{
			Offset: at, Attempts: rapid.Uint32().Draw(t, "attempts"), Due: rapid.Int64().Draw(t, "due"),
			Note: rapid.OneOf(rapid.Just(""), rapid.StringN(0, -1, storage.MaxNote)).Draw(t, "note"),
		})
	}
	return c
}

func TestCursorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawCursor(t)
		prefix := rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "dst")
		body := frame.AppendCursor(prefix, &want)[len(prefix):]
		got, err := frame.DecodeCursor(body, uint32(want.Partition))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
		for n := range body {
			if _, err := frame.DecodeCursor(body[:n], 0); err != frame.ErrField {
				t.Fatalf("the first %d of %d bytes: %v, want %v", n, len(body), err, frame.ErrField)
			}
		}
	})
}

func TestCursorExtremes(t *testing.T) {
	const top = math.MaxInt64
	for name, want := range map[string]storage.Cursor{
		"zero":        {},
		"all at once": {Group: math.MaxUint32, Partition: math.MaxUint32, Floor: top, Passed: top},
		"range to the last offset": {
			Floor: top - 5, Done: []storage.Range{{From: top - 4, To: top - 3}, {From: top - 2, To: top}},
			Failed: []storage.Failure{{Offset: top, Attempts: math.MaxUint32, Due: math.MaxInt64}},
		},
		"failed at the floor":   {Floor: 9, Failed: []storage.Failure{{Offset: 9, Attempts: 1, Due: math.MinInt64}, {Offset: 10, Attempts: 0, Due: -1}}},
		"one range of 2^63 - 2": {Done: []storage.Range{{From: 1, To: top}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := frame.DecodeCursor(frame.AppendCursor(nil, &want), uint32(want.Partition))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

// fields is a body of bytes and unsigned varints.
func fields(form byte, numbers ...uint64) []byte {
	p := []byte{form}
	for _, n := range numbers {
		p = binary.AppendUvarint(p, n)
	}
	return p
}

func TestCursorBodies(t *testing.T) {
	const top = math.MaxInt64
	tests := []struct {
		name string
		body []byte
		want error
	}{
		{"sound", fields(1, 5, 10, 10, 1, 1, 2, 1, 0, 1, 0), nil},
		{"empty", nil, frame.ErrField},
		{"form 0", fields(0, 5, 10, 10, 0, 0), frame.ErrField},
		{"next form", fields(3, 5, 10, 10, 0, 0), frame.ErrVersion},
		{"next form, of another shape", []byte{3}, frame.ErrVersion},
		{"a note", append(fields(2, 5, 10, 10, 0, 1, 0, 1, 0, 2), "ab"...), nil},
		{"a note and none", append(append(fields(2, 5, 10, 10, 0, 2, 0, 1, 0, 2), "ab"...), 1, 1, 0, 0), nil},
		{"notes of nothing, as in form 1", fields(2, 5, 10, 10, 0, 1, 0, 1, 0, 0), frame.ErrField},
		{"no failures, as in form 1", fields(2, 5, 10, 10, 0, 0), frame.ErrField},
		{"a note cut short", append(fields(2, 5, 10, 10, 0, 1, 0, 1, 0, 3), "ab"...), frame.ErrField},
		{"a note too long", append(fields(2, 5, 10, 10, 0, 1, 0, 1, 0, storage.MaxNote+1), make([]byte, storage.MaxNote+1)...), frame.ErrField},
		{"the longest note", append(fields(2, 5, 10, 10, 0, 1, 0, 1, 0, storage.MaxNote), make([]byte, storage.MaxNote)...), nil},
		{"group above 2^32", fields(1, 1<<32, 10, 10, 0, 0), frame.ErrField},
		{"floor above 2^63", fields(1, 5, top+1, 10, 0, 0), frame.ErrField},
		{"passed above 2^63", fields(1, 5, 10, top+1, 0, 0), frame.ErrField},
		{"range at the floor", fields(1, 5, 10, 10, 1, 0, 2, 0), frame.ErrField},
		{"range of nothing", fields(1, 5, 10, 10, 1, 1, 0, 0), frame.ErrField},
		{"range behind 2^63", fields(1, 5, 10, 10, 1, top-9, 1, 0), frame.ErrField},
		{"range ends behind 2^63", fields(1, 5, 10, 10, 1, 1, top-10, 0), frame.ErrField},
		{"range ends at 2^63-1", fields(1, 5, 10, 10, 1, 1, top-11, 0), nil},
		{"range of 2^63", fields(1, 5, 10, 10, 1, 1, top+1, 0), frame.ErrField},
		{"ranges touch", fields(1, 5, 10, 10, 2, 1, 1, 0, 1, 0), frame.ErrField},
		{"fewer ranges than said", fields(1, 5, 10, 10, 2, 1, 1, 0), frame.ErrField},
		{"2^63 ranges", fields(1, 5, 10, 10, top, 1, 1, 0), frame.ErrField},
		{"2^64-1 ranges", fields(1, 5, 10, 10, math.MaxUint64, 1, 1, 0), frame.ErrField},
		{"failed twice", fields(1, 5, 10, 10, 0, 2, 0, 1, 0, 0, 1, 0), frame.ErrField},
		{"failed behind 2^63", fields(1, 5, 10, 10, 0, 1, top-9, 1, 0), frame.ErrField},
		{"failed at 2^63-1", fields(1, 5, 10, 10, 0, 1, top-10, 1, 0), nil},
		{"2^32 attempts", fields(1, 5, 10, 10, 0, 1, 0, 1<<32, 0), frame.ErrField},
		{"2^63 failures", fields(1, 5, 10, 10, 0, top, 0, 1, 0), frame.ErrField},
		{"a byte too many", fields(1, 5, 10, 10, 0, 0, 0), frame.ErrField},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := frame.DecodeCursor(test.body, 3)
			if err != test.want {
				t.Fatalf("got %+v, %v, want %v", c, err, test.want)
			}
			if err != nil && !reflect.DeepEqual(c, storage.Cursor{}) {
				t.Errorf("got %+v along with %v, want the zero cursor", c, err)
			}
		})
	}
}

// TestCountsAreBounded: a body that says it has more ranges or failures than its bytes can hold makes no room for them.
func TestCountsAreBounded(t *testing.T) {
	filler := make([]byte, 64<<10)
	for name, counts := range map[string][]uint64{"done": {1 << 25}, "failed": {0, 1 << 25}} {
		t.Run(name, func(t *testing.T) {
			body := append(fields(1, append([]uint64{5, 10, 10}, counts...)...), filler...)
			bounded(t, body, 16, func() {
				if _, err := frame.DecodeCursor(body, 0); err != frame.ErrField {
					t.Errorf("got %v, want %v", err, frame.ErrField)
				}
			})
		})
	}
}
