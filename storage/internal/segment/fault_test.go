package segment_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// faultWay is what happens at an operation, or where a caller is asked.
type faultWay struct {
	name   string
	meets  func(vfs.Kind) bool // nil: every one; where a caller is asked is of the kind asking
	always bool                // from then on
	err    error               // that the operation fails with; nil: it does not
	want   error               // that the step returns; nil: err
	does   func(*faultCall, vfs.Op)
}

// asking stands for a caller's function that is called.
const asking vfs.Kind = 255

// errEnough is what a caller's function fails with.
var errEnough = errors.New("that is enough")

func kindsOf(all ...vfs.Kind) func(vfs.Kind) bool {
	return func(k vfs.Kind) bool { return slices.Contains(all, k) }
}

var faultWays = []faultWay{
	{name: "EIO once", err: syscall.EIO, meets: func(k vfs.Kind) bool { return k != asking }},
	{name: "EIO for ever", err: syscall.EIO, meets: func(k vfs.Kind) bool { return k != asking }, always: true},
	{name: "EINTR once", err: syscall.EINTR, meets: func(k vfs.Kind) bool { return k != asking }},
	{name: "EMFILE once", err: syscall.EMFILE, meets: kindsOf(vfs.OpOpen, vfs.OpCreate, vfs.OpList, vfs.OpSyncDir)},
	{name: "EMFILE for ever", err: syscall.EMFILE, meets: kindsOf(vfs.OpOpen, vfs.OpCreate, vfs.OpList, vfs.OpSyncDir), always: true},
	{name: "ENOSPC once", err: syscall.ENOSPC, meets: vfs.Kind.Changes},
	{name: "the caller's error", err: errEnough, meets: kindsOf(asking)},
	{name: "the context ends", want: context.Canceled, does: func(c *faultCall, _ vfs.Op) { c.cancel() }},
	{name: "the directory is closed", want: storage.ErrClosed, meets: func(k vfs.Kind) bool { return k != vfs.OpClose }, does: (*faultCall).close},
	{name: "the segment is discarded", want: segment.ErrDiscarded, meets: func(k vfs.Kind) bool { return k != vfs.OpClose }, does: (*faultCall).discard},
	{name: "a sync takes the cache back", want: syscall.EIO, meets: kindsOf(vfs.OpSyncData), does: func(c *faultCall, _ vfs.Op) { c.fs.FailSync(memfs.CacheReverts) }},
	{name: "what is written is damaged", want: errRotten, meets: kindsOf(vfs.OpSize, vfs.OpRead), does: (*faultCall).rot},
}

// errRotten stands for the error of a rewriting that does not read back.
var errRotten = errors.New("reads back as something else")

// faultCall is a step under way.
type faultCall struct {
	*store
	start  *faultStart
	meta   segment.Meta
	g      *segment.Segment // of meta, until the step needs it no more
	ctx    context.Context
	cancel context.CancelFunc
	closed chan struct{} // when a Close has ended

	way  *faultWay
	k    int // which operation
	met  int // how many there were that it may happen at
	all  int // how many there were
	hits int
	// expects is what the step is to fail with.
	expects error
}

// ask is what a caller's functions begin with.
func (c *faultCall) ask() error { return c.op(vfs.Op{Kind: asking}) }

func (c *faultCall) pace(context.Context, int) error { return c.ask() }

// pacing waits for nothing, but ends with its context.
func (c *faultCall) pacing(ctx context.Context, _ int) error { return errors.Join(c.ask(), ctx.Err()) }

// op counts an operation, and has happen what is to happen.
func (c *faultCall) op(op vfs.Op) error {
	c.all++
	if c.way == nil || c.way.meets != nil && !c.way.meets(op.Kind) {
		return nil
	}
	if c.met++; c.met != c.k && !(c.way.always && c.met > c.k) {
		return nil
	}
	c.hits++
	if c.way.does != nil {
		way := c.way
		c.way = nil // what it does is not counted
		way.does(c, op)
	}
	return c.err()
}

func (c *faultCall) err() error {
	if c.way == nil {
		return nil
	}
	return c.way.err
}

// close closes the directory, and comes back as soon as nothing can be begun any more.
func (c *faultCall) close(vfs.Op) {
	dir, nothing := c.dir, c.dir.Open(partition, segment.Meta{})
	c.closed = make(chan struct{})
	c.fs.OnOp(nil) // what the other goroutine does is not counted
	go func() {
		defer close(c.closed)
		dir.Close()
	}()
	for !errors.Is(nothing.Sync(), storage.ErrClosed) {
		runtime.Gosched()
	}
}

func (c *faultCall) discard(vfs.Op) { _, _ = c.dir.Discard(c.g) }

// rot turns a bit over in the file that a step makes.
func (c *faultCall) rot(op vfs.Op) {
	if b, err := c.fs.Contents(op.Name); err == nil && len(b) > 4200 && strings.HasSuffix(op.Name, newFile) {
		must(c.t, c.fs.FlipBit(op.Name, int64(4096+c.k*97%(len(b)-4096)), 2))
		return
	}
	c.hits = -1 // it is not for this one
}

// faultStart is segments, the first with something wrong in it.
type faultStart struct {
	name  string
	fs    *memfs.FS
	metas []segment.Meta
	unto  int               // the one that it is wrong with
	lines map[string]string // how each reads without a fault
}

// faultStep is what is done with a segment. do returns what came of it in words: when nothing fails, the same must come of it.
type faultStep struct {
	name    string
	changes bool // the directory
	removes bool // the segment
	soft    bool // what cannot be read is damage for it
	of      func(segment.Meta) bool
	do      func(c *faultCall) (string, error)
}

// TestFaultInSegments has something happen at the k-th operation of each thing that can be done with a segment, damaged or not, for every k: what was to be done
// says so or is done as ever; when nothing fails any more, it is done as ever; and what was in the segment is there as before.
func TestFaultInSegments(t *testing.T) {
	total := map[string]int{}
	for _, start := range faultStarts(t) {
		for i := range faultSteps {
			step := &faultSteps[i]
			for n, m := range start.metas {
				if n != start.unto || step.of != nil && !step.of(m) {
					continue
				}
				total["steps"]++
				f := &faultLoop{t: t, start: start, step: step, meta: m, total: total}
				f.every()
			}
		}
	}
	t.Logf("fault loop of segments: %d runs of %d steps with %d ways to fail; %d failed, %d went on", total["runs"], total["steps"], len(faultWays), total["failed"], total["went on"])
	for _, way := range faultWays {
		if total[way.name] == 0 {
			t.Errorf("%s: never", way.name)
		}
	}
}

// faultLoop is a step with everything that may happen in it.
type faultLoop struct {
	t     *testing.T
	start *faultStart
	step  *faultStep
	meta  segment.Meta
	total map[string]int
}

func (f *faultLoop) every() {
	most, stride := 1, 60 // of the first operations, and behind them
	switch os.Getenv("LEAT_LOOPS") {
	case "ci":
		most, stride = 6, 12
	case "full":
		most, stride = 1<<20, 1
	}
	c := f.begin(nil, 0)
	want, err := f.step.do(c)
	if err != nil {
		f.t.Fatalf("%s, %s: %v", f.start.name, f.step.name, err)
	}
	f.end(c)
	stride = max(1, min(stride, c.all/most))
	for i := range faultWays {
		way := &faultWays[i]
		for k := 1 + (f.total["steps"]+i)%stride; ; k += stride {
			c := f.begin(way, k)
			f.one(c, way, want)
			f.end(c)
			if c.met < k {
				break
			}
		}
	}
}

func (f *faultLoop) begin(way *faultWay, k int) *faultCall {
	fs := f.start.fs
	if f.step.changes || way != nil && way.does != nil {
		fs = fs.Clone(memfs.Everything, 1)
	}
	c := &faultCall{store: &store{t: f.t, fs: fs, dir: segment.NewDir(fs, identity, 1)}, start: f.start, meta: f.meta, way: way, k: k}
	c.ctx, c.cancel = context.WithCancel(f.t.Context())
	c.g = c.dir.Open(partition, f.meta)
	if way != nil {
		if c.expects = way.want; c.expects == nil {
			c.expects = way.err
		}
	}
	fs.OnOp(c.op)
	return c
}

func (f *faultLoop) end(c *faultCall) {
	c.way = nil
	c.fs.OnOp(nil)
	c.cancel()
	if c.closed != nil {
		<-c.closed
	}
	c.dir.Close()
}

// one lets one thing happen.
func (f *faultLoop) one(c *faultCall, way *faultWay, want string) {
	got, err := f.step.do(c)
	if c.hits <= 0 {
		return
	}
	f.total["runs"]++
	f.total[way.name]++
	where := fmt.Sprintf("%s, %s, %s at %d", f.start.name, f.step.name, way.name, c.k)
	isRotten := c.expects == errRotten && err != nil && strings.Contains(err.Error(), errRotten.Error())
	var damage *storage.DamageError
	switch {
	case err != nil:
		f.total["failed"]++
		if !errors.Is(err, c.expects) && !isRotten || errors.As(err, &damage) && f.start.name == "whole" {
			f.t.Errorf("%s: got %v, want %v", where, err, c.expects)
		}
	default:
		f.total["went on"]++
		if got != want && !f.step.soft && c.expects != errRotten {
			f.t.Errorf("%s: nothing failed, and\n%s\nwithout a fault\n%s", where, got, want)
		}
	}
	f.again(c, want, where)
}

// again does it again, now that nothing fails, with the same files.
func (f *faultLoop) again(c *faultCall, want, where string) {
	c.way = nil
	if c.closed != nil {
		<-c.closed
	}
	c.dir.Close()
	if f.step.removes {
		return
	}
	c.hits = 0
	c.dir = segment.NewDir(c.fs, identity, 0)
	c.g = c.dir.Open(partition, f.meta)
	if f.step.changes { // then the segment must read as before
		if got, err := stepRead(c); err != nil || !strings.HasPrefix(got, f.start.read(c)) {
			f.t.Errorf("%s: afterwards\n%s, %v\nwant\n%s", where, got, err, f.start.read(c))
		}
		return
	}
	c.ctx, c.cancel = context.WithCancel(f.t.Context())
	if got, err := f.step.do(c); err != nil || got != want {
		f.t.Errorf("%s: done again\n%s, %v\nwithout a fault\n%s", where, got, err, want)
	}
}

// read is what the segment reads as without a fault.
func (s *faultStart) read(c *faultCall) string {
	name := fmt.Sprint(c.meta.File)
	if _, ok := s.lines[name]; !ok {
		clean := &faultCall{store: &store{t: c.t, fs: s.fs, dir: segment.NewDir(s.fs, identity, 0)}, start: s, meta: c.meta}
		clean.g = clean.dir.Open(partition, c.meta)
		line, err := stepRead(clean)
		must(c.t, errors.Join(err, clean.dir.Close()))
		s.lines = maps.Clone(s.lines)
		if s.lines == nil {
			s.lines = map[string]string{}
		}
		s.lines[name] = line
	}
	return s.lines[name]
}
