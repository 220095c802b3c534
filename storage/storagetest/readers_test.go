package storagetest

import (
	"testing"

	"github.com/leatmq/leat/storage"
)

// told is a history of one partition in which entries of one record each were acknowledged at offsets, one after the other.
func told(t *testing.T, offsets ...int64) (h *History, records []storage.Record) {
	t.Helper()
	h = NewHistory()
	for _, o := range offsets {
		a := h.Begin(Plan{Batches: []PlanBatch{{Partition: 7, Sizes: []int{30}}}})
		r := &a.Entry.Batches[0].Records[0]
		r.Offset = o
		if err := h.End(a, storage.Synced, nil); err != nil {
			t.Fatal(err)
		}
		records = append(records, *r)
	}
	return h, records
}

func TestReadersAreChecked(t *testing.T) {
	h, rs := told(t, 0, 1, 2, 5)
	early := 0
	for _, test := range []struct {
		name string
		r    Reading
		bad  bool
	}{
		{"all", Reading{Records: rs, Next: 6}, false},
		{"a part", Reading{From: 1, Records: rs[1:3], Next: 3}, false},
		{"nothing", Reading{From: 6, Next: 6}, false},
		{"what is trimmed", Reading{Records: rs[2:], Next: 6, First: 2}, false},
		{"over a gap", Reading{From: 3, Records: rs[3:], Next: 6}, false},
		{"over one", Reading{Records: []storage.Record{rs[0], rs[2]}, Next: 3}, true},
		{"over the first", Reading{Records: rs[1:], Next: 6}, true},
		{"over the rest", Reading{Records: rs[:2], Next: 6}, true},
		{"back", Reading{From: 2, Records: rs[1:], Next: 6}, true},
		{"twice", Reading{Records: []storage.Record{rs[0], rs[0]}, Next: 1}, true},
		{"to go on behind itself", Reading{Records: rs, Next: 2}, true},
	} {
		test.r.Partition, test.r.Mark = 7, h.Mark()
		if err := h.Got(test.r); err != nil != test.bad {
			t.Errorf("%s: %v", test.name, err)
		}
		test.r.Mark = early
		if test.name == "over one" {
			if err := h.Got(test.r); err != nil {
				t.Errorf("over one that came meanwhile: %v", err)
			}
		}
	}
}

func TestOrderOfProducersIsChecked(t *testing.T) {
	for _, test := range []struct {
		offsets []int64
		bad     bool
	}{{[]int64{0, 1, 4, 9}, false}, {[]int64{0, 2, 1}, true}, {[]int64{3, 4, 5, 0}, true}} {
		h, _ := told(t, test.offsets...)
		c := &check{h: h}
		if c.producers(); c.Bad() != test.bad || test.bad != (c.Disordered > 0) {
			t.Errorf("offsets %v: %v", test.offsets, c.Problems)
		}
	}
}
