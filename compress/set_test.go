package compress_test

import (
	"testing"

	"github.com/leatmq/leat/compress"
)

func TestSet(t *testing.T) {
	every, err := compress.NewSet()
	if err != nil {
		t.Fatal(err)
	}
	two, err := compress.NewSet(compress.Zstd(compress.Best), compress.Snappy())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		set  compress.Set
		want map[compress.ID]bool
	}{
		"zero": {compress.Set{}, map[compress.ID]bool{1: true, 2: true, 3: true, 4: true}},
		"all":  {every, map[compress.ID]bool{1: true, 2: true, 3: true, 4: true}},
		"two":  {two, map[compress.ID]bool{2: true, 4: true}},
	} {
		for id := range compress.ID(255) {
			c, ok := test.set.ByID(id)
			if ok != test.want[id] || ok && c.ID() != id {
				t.Errorf("%s: ByID(%d) = %v, %v", name, id, c, ok)
			}
		}
	}
	if _, err := compress.NewSet(compress.Snappy(), compress.Snappy()); err == nil {
		t.Error("a set with one codec twice was made")
	}
	if _, err := compress.NewSet(unknown{compress.Snappy()}); err == nil {
		t.Error("a set with an unknown codec was made")
	}
}

type unknown struct{ compress.Codec }

func (unknown) ID() compress.ID { return 77 }
