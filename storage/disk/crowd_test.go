package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// TestCrowdedDirectory puts very many files of others beside those of a store, with names that are ours, nearly ours, and strange: the store opens, reports
// them and leaves them alone.
func TestCrowdedDirectory(t *testing.T) {
	n := sized(t, 2000, 100_000, 100_000)
	strange := []string{"seg/%d", "seg/00000000/%d", "seg/00000001/%016x.bak", "seg/00000000/%016X~", "journal/%06d", "journal/x%d", "%d.tmp", "checkpoint-%d"}
	for _, killed := range []bool{false, true} {
		fs := minute(t, killed)
		want, err := everything(fs.Clone(memfs.Everything, 1))
		if err != nil {
			t.Fatal(err)
		}
		planted := map[string]string{}
		for i := range n {
			name := fmt.Sprintf(strange[i%len(strange)], 10_000+i)
			planted[name] = fmt.Sprint("of somebody else ", i)
			if err := fs.SetContents(name, []byte(planted[name])); err != nil {
				t.Fatal(err)
			}
		}
		st, err := open(fs)
		if err != nil {
			t.Fatal(err)
		}
		a := newTally()
		if holes := a.serves(st, want, "crowded"); len(holes) > 0 || len(a.problems) > 0 {
			t.Error(holes, a.problems)
		}
		a.appends(st, want, "crowded")
		foreign := st.Report().Foreign
		if killed && !slices.ContainsFunc(foreign, func(name string) bool { return strings.HasPrefix(name, "seg/00000000/") }) {
			t.Errorf("%d names are reported, none of segments", len(foreign))
		}
		if err := st.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for name, content := range planted {
			if b, err := fs.Contents(name); err != nil || string(b) != content {
				t.Fatalf("%s is %q, %v", name, b, err)
			}
		}
		t.Logf("killed %v: %d files of others, %d reported", killed, n, len(foreign))
	}
}

// TestForeignFiles puts files of somebody else under the names of ours, one at a time: they keep their content, under another name if need be.
func TestForeignFiles(t *testing.T) {
	letters := bytes.Repeat([]byte("letters\n"), 20<<10)
	for _, name := range []string{"checkpoint-a", "checkpoint-b", "checkpoint-c", "journal/00", "journal/01", "journal/02", "seg/00000000/0000000000000001"} {
		for what, fs := range map[string]*memfs.FS{"new": memfs.New(), "closed": minute(t, false), "killed": minute(t, true)} {
			for _, dir := range []string{"journal", "seg", "seg/00000000"} {
				if err := fs.Mkdir(dir); err != nil {
					t.Fatal(err)
				}
			}
			if err := fs.SetContents(name, letters); err != nil {
				t.Fatal(err)
			}
			st, err := open(fs)
			var damage *storage.DamageError
			if err != nil && !errors.As(err, &damage) {
				t.Errorf("%s, %s: %v", what, name, err)
			}
			if err == nil {
				if _, err := st.CreateTopic(t.Context(), storage.TopicSpec{Name: "new", Partitions: 1}); err != nil {
					t.Errorf("%s, %s: %v", what, name, err)
				}
				st.Close(t.Context())
			}
			kept := 0
			for _, file := range fs.Files() {
				if b, err := fs.Contents(file); err == nil && bytes.Equal(b, letters) {
					kept++
				}
			}
			if kept != 1 {
				t.Errorf("%s, %s: the file is there %d times", what, name, kept)
			}
		}
	}
}
