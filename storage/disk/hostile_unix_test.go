//go:build unix

package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// plants are what somebody may have put in place of a file or a directory. outside is a directory that nothing may touch.
var plants = map[string]func(name, outside string) error{
	"a link to a file outside":      func(name, outside string) error { return os.Symlink(filepath.Join(outside, "file"), name) },
	"a link to a directory outside": func(name, outside string) error { return os.Symlink(outside, name) },
	"a link to nothing":             func(name, outside string) error { return os.Symlink(filepath.Join(outside, "new"), name) },
	"a link to itself":              func(name, _ string) error { return os.Symlink(filepath.Base(name), name) },
	"a second name of a file outside": func(name, outside string) error {
		return os.Link(filepath.Join(outside, "file"), name)
	},
	"a FIFO":            func(name, _ string) error { return syscall.Mkfifo(name, 0o600) },
	"a socket":          plantSocket,
	"an empty file":     func(name, _ string) error { return os.WriteFile(name, nil, 0o600) },
	"a file of letters": func(name, _ string) error { return os.WriteFile(name, bytes.Repeat([]byte("letters\n"), 9000), 0o600) },
	"a sparse giant": func(name, _ string) error {
		return errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, 1<<40))
	},
	"an empty directory": func(name, _ string) error { return os.Mkdir(name, 0o700) },
	"a full directory": func(name, _ string) error {
		return errors.Join(os.MkdirAll(filepath.Join(name, "a", "b"), 0o700), os.WriteFile(filepath.Join(name, "c"), []byte("c"), 0o600))
	},
}

// outsideContent is large enough for any of our files.
var outsideContent = bytes.Repeat([]byte("outside\n"), 32<<10)

func plantSocket(name, _ string) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}

// TestHostileDirectory puts everything that a file system can hold in the place of every file and directory of a store: it is refused with an error, or the store
// works and says what is wrong; nothing hangs, nothing is read or changed outside, memory stays bounded.
func TestHostileDirectory(t *testing.T) {
	a, cases := newTally(), 0
	places := []string{
		"LOCK", "journal", "journal/00", "journal/01", "journal/02", "checkpoint-a", "checkpoint-b", "checkpoint-c", "seg", "seg/00000000",
		"seg/00000000/0000000000000001", "seg/00000000/00000000000000ff", "seg/00000007", "aside", "UNFINISHED",
	}
	for _, place := range places {
		for _, what := range slices.Sorted(maps.Keys(plants)) {
			plant := plants[what]
			for _, killed := range []bool{false, true} {
				if cases++; cases%sized(t, 11, 1, 1) != 0 {
					continue
				}
				a.hostile(t, place, what, plant, killed)
			}
		}
	}
	a.end(t, "hostile directories", fmt.Sprintf("%d: %d refused, %d opened", a.get("cases"), a.get("refused"), a.get("opened")), "cases", "refused", "opened")
}

func (a *tally) hostile(t *testing.T, place, what string, plant func(name, outside string) error, killed bool) {
	where := fmt.Sprintf("%s in place of %s, killed %v", what, place, killed)
	dir, err := os.MkdirTemp("", "leat") // short, for the sake of sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	outside, name := t.TempDir(), filepath.Join(dir, place)
	unpack(t, minute(t, killed), dir)
	if err := os.WriteFile(filepath.Join(outside, "file"), outsideContent, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(name), os.MkdirAll(filepath.Dir(name), 0o700), plant(name, outside)); err != nil {
		t.Fatal(where, err)
	}
	a.count("cases", 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.visit(dir, where)
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal(where, "hangs")
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
		a.wrong("%s: %d bytes allocated", where, got)
	}
	b, err := os.ReadFile(filepath.Join(outside, "file"))
	infos, listErr := os.ReadDir(outside)
	if err := errors.Join(err, listErr); err != nil || !bytes.Equal(b, outsideContent) || len(infos) != 1 {
		a.wrong("%s: outside are %d bytes, %v, %v", where, len(b), infos, err)
	}
}

// visit does with a directory what one does with a store.
func (a *tally) visit(dir, where string) {
	ctx := context.Background()
	if st, err := disk.OpenReadOnly(dir, tiny()); err == nil {
		a.use(st, where+", to be read")
		a.closes(st, where)
	} else {
		a.typed(err, where+", to be read")
	}
	if _, err := disk.Salvage(dir, disk.SalvageOptions{Store: tiny()}); err != nil {
		a.typed(err, where+", salvage")
	}
	st, err := disk.Open(dir, tiny())
	if err != nil {
		a.count("refused", 1)
		a.typed(err, where)
		return
	}
	a.count("opened", 1)
	a.use(st, where)
	if _, err := st.CreateTopic(ctx, storage.TopicSpec{Name: "new", Partitions: 1}); err != nil && st.StopCause() == nil {
		a.wrong("%s: new topic: %v", where, err)
	}
	a.closes(st, where)
}

func (a *tally) closes(st *disk.Store, where string) {
	if err := st.Close(context.Background()); err != nil && st.StopCause() == nil {
		a.typed(err, where+", close")
	}
}

// use reads and appends.
func (a *tally) use(st *disk.Store, where string) {
	for _, topic := range st.Topics() {
		for i := range topic.Partitions {
			if _, _, err := around(st, topic.Partition(i)); err != nil {
				a.typed(err, where+", read")
			}
			e := &storage.Entry{Batches: []storage.Batch{{Partition: topic.Partition(i), Records: []storage.Record{{Value: []byte("v")}}}}}
			if _, err := st.Append(context.Background(), e); err != nil && !errors.Is(err, storage.ErrReadOnly) {
				a.typed(err, where+", append")
			}
		}
	}
}

// typed checks that an error says what kind of trouble it is.
func (a *tally) typed(err error, where string) {
	var damage *storage.DamageError
	var stopped *storage.StoppedError
	var path *fs.PathError
	switch {
	case errors.As(err, &damage), errors.As(err, &stopped), errors.Is(err, storage.ErrFormat), errors.Is(err, storage.ErrUnfinished):
	case errors.Is(err, vfs.ErrNotRegular), errors.As(err, &path):
	default:
		a.wrong("%s: %v", where, err)
	}
}

// unpack writes a store to a directory of the system.
func unpack(t *testing.T, from interface {
	Files() []string
	Contents(string) ([]byte, error)
}, dir string) {
	t.Helper()
	for _, name := range from.Files() {
		b, err := from.Contents(name)
		to := filepath.Join(dir, name)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}
