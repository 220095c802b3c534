package disk

import (
	"hash/fnv"
	"testing"
)

// Keys that share a hash are told apart by the other one, and where they are not alone, nothing is said of them.
func TestKeysThatShareAHash(t *testing.T) {
	l := newLatest(1 << 20)
	l.hashes = func(key []byte) (uint64, uint64) {
		h := fnv.New64()
		h.Write(key)
		return uint64(len(key)), h.Sum64()
	}
	for i, key := range []string{"a", "bb", "a", "ccc", "ddd", "ccc", "ccc"} {
		if !l.note([]byte(key), int64(i)) {
			t.Fatal("no room")
		}
	}
	for _, test := range []struct {
		key    string
		offset int64
		want   bool
	}{
		{"a", 0, true}, {"a", 1, true}, {"a", 2, false}, {"b", 0, false}, {"bb", 0, true}, {"bb", 1, false},
		{"ccc", 3, false}, {"ccc", 5, false}, {"ddd", 3, false}, {"eee", 0, false}, {"unknown", 0, false},
	} {
		if got := l.superseded([]byte(test.key), test.offset); got != test.want {
			t.Errorf("%s at %d is superseded: %v", test.key, test.offset, got)
		}
	}
}

func TestLatestIsBounded(t *testing.T) {
	l := newLatest(10 * latestBytes)
	for i := range 10 {
		if !l.note([]byte{byte(i)}, int64(i)) {
			t.Fatalf("no room for key %d", i)
		}
	}
	if l.note([]byte{99}, 10) || !l.note([]byte{5}, 11) || len(l.by) != 10 {
		t.Errorf("an eleventh key was taken, or a known one was not; there are %d", len(l.by))
	}
}
