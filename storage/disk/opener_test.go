package disk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// openerDir is the variable with which this test binary is a second opener in a process of its own, and says how it went.
const openerDir = "LEAT_OPENER_DIR"

func opener(dir string) int {
	fmt.Println(secondOpen(dir))
	return 0
}

// secondOpen opens a directory, to write and to read, and says what came of it.
func secondOpen(dir string) string {
	st, err := disk.Open(dir, tiny())
	if err == nil {
		err = st.Close(context.Background())
		return fmt.Sprint("opened, ", err)
	}
	_, readErr := disk.OpenReadOnly(dir, tiny())
	for _, err := range []error{err, readErr} {
		var held *vfs.HeldError
		if !errors.Is(err, storage.ErrInUse) || !errors.As(err, &held) {
			return fmt.Sprint("failed: ", err)
		}
	}
	return fmt.Sprint("refused, ", err)
}

// TestSecondOpener opens a directory that has an owner, in this process or in another, whose lock file is there or was deleted: it is refused at once, from this
// process and from another, and the owner does not notice. When the owner was killed, the next open succeeds, and nothing is lost (G25, S6, M18).
func TestSecondOpener(t *testing.T) {
	a := newTally()
	for round := range sized(t, 6, 20, 500) {
		dir, h := filepath.Join(t.TempDir(), "store"), storagetest.NewHistory()
		where := fmt.Sprint("round ", round)
		second := func(owner int) {
			if round%2 == 1 && os.Remove(filepath.Join(dir, vfs.LockName)) == nil { // Windows refuses, and that is as good
				a.count("lock files deleted", 1)
			}
			for who, got := range map[string]string{"this process": secondOpen(dir), "another process": a.opener(dir)} {
				named := strings.Contains(got, fmt.Sprintf("process %d", owner)) || round%2 == 1
				if !strings.HasPrefix(got, "refused, ") || !named {
					a.wrong("%s: %s: %s, want it refused for process %d", where, who, got, owner)
				}
				a.count("refused", 1)
			}
		}
		if round%3 == 0 {
			st, err := disk.Open(dir, tiny())
			must(t, err)
			must(t, run(st, h, uint64(round), 10))
			second(os.Getpid())
			must(t, run(st, h, uint64(round)<<8, 10))
			must(t, st.Close(t.Context()))
		} else {
			l := life{dir: dir, seed: uint64(round)}
			lines := l.owned(t, second)
			replay(t, h, lines)
			a.count("killed", 1)
		}
		st, err := disk.Open(dir, tiny())
		must(t, err)
		a.judge(h.Check(st, storagetest.Died, 1), where)
		must(t, st.Close(t.Context()))
		if got := a.opener(dir); got != "opened, <nil>" {
			a.wrong("%s: nobody has it, and another process: %s", where, got)
		}
		a.count("acknowledged", h.Acked())
	}
	line := fmt.Sprintf("%d opens refused, %d lock files deleted, %d owners killed, %d entries acknowledged", a.get("refused"), a.get("lock files deleted"), a.get("killed"), a.get("acknowledged"))
	a.end(t, "second opener", line, "refused", "killed", "acknowledged")
}

// owned is run with an owner that is killed when second has returned, which is called with its process while it is alive: it does not get far beyond what is
// read of what it says.
func (l life) owned(t *testing.T, second func(owner int)) [][]byte {
	owner := 0
	l.started = func(pid int) { owner = pid }
	return l.run(t, func(lines int, kill func()) {
		if lines == 20 {
			second(owner)
			kill()
		}
	})
}

// opener is secondOpen in another process.
func (a *tally) opener(dir string) string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), openerDir+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Sprint("failed: ", err, string(out))
	}
	return strings.TrimSpace(string(out))
}
