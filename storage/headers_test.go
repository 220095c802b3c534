package storage_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/leatmq/leat/storage"
)

type pair struct {
	key   string
	value []byte
}

func pairs(h storage.Headers) (all []pair) {
	for k, v := range h.All() {
		all = append(all, pair{k, v})
	}
	return all
}

func equal(a, b pair) bool { return a.key == b.key && bytes.Equal(a.value, b.value) }

func TestHeadersKeepPairsInOrder(t *testing.T) {
	want := []pair{{"b", []byte("2")}, {"a", []byte{}}, {"b", []byte("2")}, {"", []byte("no key")}, {"long", bytes.Repeat([]byte("x"), 300)}}
	var h storage.Headers
	for i, p := range want {
		if h.Len() != i {
			t.Errorf("%d pairs counted as %d", i, h.Len())
		}
		h = storage.AppendHeader(h, p.key, p.value)
	}
	if err := h.Check(); err != nil {
		t.Error(err)
	}
	if got := pairs(h); !slices.EqualFunc(got, want, equal) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range h.All() {
		break // All must bear it
	}
}

// A value that All yields is a part of the list, but appending to it does not write into the list.
func TestHeaderValuesAreClipped(t *testing.T) {
	h := storage.AppendHeader(storage.AppendHeader(nil, "a", []byte("1")), "b", []byte("2"))
	before := slices.Clone(h)
	for _, v := range h.All() {
		_ = append(v, 0xff)
	}
	if !bytes.Equal(h, before) {
		t.Errorf("%q became %q", before, h)
	}
}

func TestMalformedHeaders(t *testing.T) {
	good := storage.AppendHeader(nil, "key", []byte("value"))
	tests := map[string]struct {
		h     storage.Headers
		pairs int
	}{
		"a key without a value": {good[:4], 0},
		"a value cut short":     {good[:len(good)-1], 0},
		"half a pair behind":    {slices.Concat(good, good[:5]), 1},
		"an endless length":     {slices.Concat(good, bytes.Repeat([]byte{0xff}, 11)), 1},
		"a length beyond":       {storage.Headers{0, 200, 1}, 0},
		"a length too large":    {storage.Headers{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'x'}, 0},
	}
	for name, test := range tests {
		if err := test.h.Check(); !errors.Is(err, storage.ErrHeaders) {
			t.Errorf("%s: Check returned %v", name, err)
		}
		if n, all := test.h.Len(), pairs(test.h); n != test.pairs || len(all) != test.pairs {
			t.Errorf("%s: Len is %d, All yields %d, want %d", name, n, len(all), test.pairs)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte(storage.AppendHeader(storage.AppendHeader(nil, "key", []byte("value")), "", nil)))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		h := storage.Headers(b)
		all := pairs(h)
		if h.Len() != len(all) {
			t.Fatalf("Len is %d, All yields %d", h.Len(), len(all))
		}
		var again storage.Headers
		for _, p := range all {
			again = storage.AppendHeader(again, p.key, p.value)
		}
		if err := again.Check(); err != nil || !slices.EqualFunc(pairs(again), all, equal) {
			t.Fatalf("%q became %q, %v", all, pairs(again), err)
		}
		if whole := h.Check() == nil; !whole && len(again) >= len(b) && bytes.HasPrefix(again, b) {
			t.Fatalf("%x is whole, and Check says it is not", b)
		}
	})
}
