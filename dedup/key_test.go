package dedup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"
)

func TestKeyOfTellsFieldsApart(t *testing.T) {
	lists := [][]string{
		{}, {""}, {"", ""}, {"ab", "c"}, {"a", "bc"}, {"abc"}, {"", "abc"}, {"abc", ""}, {"a", "b", "c"}, {"\x01a"}, {"\x00"}, {"a\x01b"}, {"a", "b"},
		{string(make([]byte, 127))}, {string(make([]byte, 128))}, {string(make([]byte, 127)), ""}, {string(make([]byte, shortFields))},
		{string(make([]byte, shortFields-1)), ""}, {string(make([]byte, 1<<20))},
	}
	seen := map[Key]int{}
	for i, list := range lists {
		var fields [][]byte
		for _, field := range list {
			fields = append(fields, []byte(field))
		}
		k := KeyOf(fields...)
		if before, ok := seen[k]; ok {
			t.Errorf("lists %d and %d have the same key", before, i)
		}
		seen[k] = i
	}
	if KeyOf(nil) != KeyOf([]byte{}) {
		t.Error("a nil field is not an empty one")
	}
}

// TestKeyOfIsFixed: keys are stored, so they must not change.
func TestKeyOfIsFixed(t *testing.T) {
	for want, k := range map[string]Key{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855":     KeyOf(),
		Key(sha256.Sum256([]byte("\x06orders\x02\x00\xff\x05books"))).String(): KeyOf([]byte("orders"), []byte{0, 0xff}, []byte("books")),
	} {
		if k.String() != want {
			t.Errorf("key %s, want %s", k, want)
		}
	}
}

func TestKeyOfAllocates(t *testing.T) {
	topic, key, value := []byte("orders"), []byte("customer 17"), make([]byte, shortFields-40)
	if n := testing.AllocsPerRun(100, func() { KeyOf(topic, key, value) }); n > 0 {
		t.Errorf("%v allocations for a short message, want 0", n)
	}
	value = make([]byte, 1<<16)
	if n := testing.AllocsPerRun(100, func() { KeyOf(topic, key, value) }); n > 1 {
		t.Errorf("%v allocations for a long message, want 1", n)
	}
}

// FuzzKeyFields makes two lists of fields out of the same and other bytes: what goes into the sum tells them apart, and is read back as the list.
func FuzzKeyFields(f *testing.F) {
	f.Add([]byte("abc"), []byte{1, 2}, []byte("abc"), []byte{2, 1})
	f.Add([]byte("abc"), []byte{3}, []byte("abc"), []byte{3, 0})
	f.Add([]byte("\x01a\x01b"), []byte{4}, []byte("ab"), []byte{1, 1})
	f.Add(make([]byte, 300), []byte{200, 100}, make([]byte, 300), []byte{100, 200})
	f.Fuzz(func(t *testing.T, one, oneCuts, two, twoCuts []byte) {
		a, b := cut(one, oneCuts), cut(two, twoCuts)
		coded, other := appendFields(nil, a), appendFields(nil, b)
		same := slices.EqualFunc(a, b, bytes.Equal)
		if same != bytes.Equal(coded, other) {
			t.Errorf("%q and %q: the same list is %v, the same bytes is %v", a, b, same, !same)
		}
		if same != (KeyOf(a...) == KeyOf(b...)) {
			t.Errorf("%q and %q: the same list is %v, the same key is %v", a, b, same, !same)
		}
		if back := readFields(t, coded); !slices.EqualFunc(a, back, bytes.Equal) {
			t.Errorf("%q came back as %q", a, back)
		}
		if len(coded) > fieldsSize(a) {
			t.Errorf("%d bytes, said to be at most %d", len(coded), fieldsSize(a))
		}
		if len(coded) <= shortFields && KeyOf(a...) != sha256.Sum256(coded) {
			t.Error("a key that is not the sum of the fields")
		}
	})
}

// cut cuts p into fields of the lengths in cuts; what is left is no field.
func cut(p, cuts []byte) [][]byte {
	var fields [][]byte
	for _, n := range cuts {
		n := min(int(n), len(p))
		fields, p = append(fields, p[:n]), p[n:]
	}
	return fields
}

func readFields(t *testing.T, p []byte) [][]byte {
	var fields [][]byte
	for len(p) > 0 {
		size, n := binary.Uvarint(p)
		if n <= 0 || size > uint64(len(p)-n) {
			t.Fatalf("a field of %d bytes in %q", size, p)
		}
		fields, p = append(fields, p[n:n+int(size)]), p[n+int(size):]
	}
	return fields
}
