package disk_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
	"github.com/leatmq/leat/storage/storagetest"
)

// The kill and power loops run this test binary again as a child: with childDir set it is no test, but publishes to the store in that
// directory until it is killed, and writes what it was promised to its standard output, each promise after it was given.
const (
	childDir   = "LEAT_CHILD_DIR"
	childSeed  = "LEAT_CHILD_SEED"
	childFirst = "LEAT_CHILD_FIRST" // number of the first entry
	childArmed = "LEAT_CHILD_ARMED" // where it kills itself: kind, prefix of the file, how many of these before; "ack" is a line of its output
)

// childSteps is more than a child lives for, but for one that has no reader any more.
const childSteps = 3000

func child(dir string) int {
	if err := childLife(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func childLife(dir string) error {
	seed, err := strconv.ParseUint(os.Getenv(childSeed), 10, 64)
	if err != nil {
		return err
	}
	first, err := strconv.ParseUint(os.Getenv(childFirst), 10, 64)
	if err != nil {
		return err
	}
	fs, err := osfs.Open(dir)
	if err != nil {
		return err
	}
	armed, out := arm(os.Getenv(childArmed))
	o := tiny()
	o.Tuning.RewriteEvery = 3 * time.Millisecond
	st, err := disk.OpenFS(errfs.New(fs, armed), o)
	if err != nil {
		return err
	}
	h := storagetest.Continue(st, first)
	h.LogTo(out)
	w := storagetest.NewWorkload(h, st, seed)
	w.Big, w.Removes, w.Rewrites = 24<<10, true, true
	w.Policies = []storage.SyncPolicy{storage.SyncAlways, storage.SyncOS, storage.SyncInterval(2 * time.Millisecond)}
	for range childSteps {
		if err := w.Step(context.Background()); err != nil {
			return err
		}
	}
	return st.Close(context.Background())
}

// arm returns the fault and the output with which the child kills itself at the place that spec names.
func arm(spec string) (errfs.Fault, io.Writer) {
	never := errfs.Fault{Kinds: []vfs.Kind{vfs.OpLock}}
	var kind, prefix string
	var n int
	if _, err := fmt.Sscan(spec, &kind, &prefix, &n); err != nil {
		return never, os.Stdout
	}
	if kind == "ack" {
		return never, &mortal{lines: n}
	}
	k := vfs.Kind(0)
	for k.String() != kind {
		k++
	}
	return errfs.Fault{Kinds: []vfs.Kind{k}, Prefix: prefix, Nth: n, Before: func(vfs.Op) { die() }}, os.Stdout
}

// die kills this process as the system does, with nothing run or flushed.
func die() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		p.Kill()
	}
	select {}
}

// mortal is a standard output that kills the process instead of writing one of its acknowledgements.
type mortal struct{ lines int }

func (m *mortal) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(`"End"`)) {
		if m.lines--; m.lines < 0 {
			die()
		}
	}
	return os.Stdout.Write(p)
}

// silence is how long a child may say nothing.
const silence = 2 * time.Minute

// life is a child and what it said.
type life struct {
	dir   string
	seed  uint64
	first uint64
	armed string

	started func(pid int) // nil: nobody wants to know
}

// run starts the child, calls each with the number of lines that it has written so far and a function that kills it, and returns all
// its lines when it has ended.
func (l life) run(tb testing.TB, each func(lines int, kill func())) [][]byte {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+l.dir, childSeed+"="+fmt.Sprint(l.seed), childFirst+"="+fmt.Sprint(l.first), childArmed+"="+l.armed)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	if l.started != nil {
		l.started(cmd.Process.Pid)
	}
	killed := false
	kill := func() {
		killed = true
		cmd.Process.Kill()
	}
	each(0, kill)
	stalled := time.AfterFunc(silence, func() { // it says where its goroutines are
		if cmd.Process.Signal(syscall.SIGQUIT) != nil {
			cmd.Process.Kill()
		}
	})
	var lines [][]byte
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			break // a line that was cut short promised nothing
		}
		stalled.Reset(silence)
		lines = append(lines, line)
		each(len(lines), kill)
	}
	if !stalled.Stop() {
		tb.Errorf("%+v: the child has said nothing for %v, after %d lines", l, silence, len(lines))
	}
	cmd.Wait() // it was killed, or says why not
	if stderr.Len() > 0 && !killed {
		tb.Logf("%+v: the child: %s", l, stderr.String())
	}
	return lines
}

// replay adds what a child said to the history.
func replay(tb testing.TB, h *storagetest.History, lines [][]byte) {
	for _, line := range lines {
		if err := h.Replay(line); err != nil {
			tb.Errorf("the child says %s: %v", line, err)
		}
	}
}
