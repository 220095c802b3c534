package disk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/osfs"
)

// FollowerOptions say where a store is followed to. The zero value is nowhere.
type FollowerOptions struct {
	// Dir is the second directory: missing, empty, or one into which this store was followed before. It becomes a store directory of its own. On another
	// disk, it is what is left when the first one is gone: see Restore.
	Dir string
	// PinBytes bounds how much of the journal is kept for a follower that falls behind. Beyond that it reads what it lacks from segments. 0: a quarter of
	// Tuning.JournalBytes.
	PinBytes int64

	fs vfs.FS // for tests; else Dir
}

func (o *FollowerOptions) on() bool { return o.Dir != "" || o.fs != nil }

// Lag is how far a follower is behind its store.
type Lag struct {
	Frames int64         // of the journal that are durable and not copied; at least as many as there are entries. -1: unknown, until it runs
	Bytes  int64         // of the journal, at most
	Time   time.Duration // since the oldest of them, at most
	Err    error         // why it does not run, nil if it does
}

// follower copies, in the background, whatever is durable in a store to a second directory: whole entries in their order, records with their offsets and times, cursors, topics,
// groups and whatever else changes, but for what is about files. It never holds the store up: what fails in the second directory is tried again, and
// told in Stats, in Lag and by an event.
type follower struct {
	st  *Store
	opt Options // of the second store
	ctx context.Context
	cut context.CancelFunc // ends what may take long: the store is closing

	quit, done chan struct{}
	changed    sync.Cond // of mu: copied or err changed

	mu    sync.Mutex
	at    trail     // guarded by mu: up to where the second directory has everything, durable; the zero trail if that is not known
	since time.Time // guarded by mu; not before it, the oldest entry that is not copied became durable; zero: there is none
	err   error     // guarded by mu
}

const (
	followWork  = "follower"
	parcelBytes = 1 << 20
	firstRetry  = time.Second
	lastRetry   = time.Minute
	drainTime   = 10 * time.Second // how long a close waits for the follower
)

// errNotRunning is the Lag.Err of a follower that has not begun yet.
var errNotRunning = errors.New("storage: the follower has not begun yet")

func newFollower(st *Store) *follower {
	o := st.opt
	o.Follower.PinBytes = max(o.Follower.PinBytes, 0)
	fill(&o.Follower.PinBytes, o.Tuning.JournalBytes/4)
	o.Events, o.Promote, o.following = nil, false, true
	o.MemoryBytes = max(minMemory, o.MemoryBytes/4)
	o.Tuning.SpillBytes = min(o.Tuning.SpillBytes, o.MemoryBytes/4)
	o.Tuning.CleanEvery, o.ScrubEvery = -1, 0
	f := &follower{st: st, opt: o, quit: make(chan struct{}), done: make(chan struct{}), err: errNotRunning}
	f.ctx, f.cut = context.WithCancel(context.Background())
	f.changed.L = &f.mu
	st.journal.further = make(chan struct{}, 1)
	st.ring.hold(1, o.Follower.PinBytes, true) // all that is there, until it is known what is needed
	return f
}

// run follows until quit is closed.
func (f *follower) run() {
	defer close(f.done)
	retry := firstRetry
	for {
		began := time.Now()
		err := f.follow()
		f.st.ring.letGo()
		f.stopped(err)
		if err == nil || f.ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastRetry {
			retry = firstRetry
		}
		timer := time.NewTimer(retry)
		select {
		case <-timer.C:
		case <-f.ctx.Done():
			timer.Stop()
			return
		}
		retry = min(2*retry, lastRetry)
	}
}

// follow opens the second directory and copies until something fails, or quit is closed: then err is nil.
func (f *follower) follow() (err error) {
	fsys, err := f.open()
	if err != nil {
		return err
	}
	l, err := lockDir(fsys)
	if err != nil {
		return errors.Join(err, f.close(fsys))
	}
	defer func() { err = errors.Join(err, l.Close(), f.close(fsys)) }()
	for {
		second, t, err := f.connect(owned{fsys})
		if err != nil {
			return err
		}
		f.started(t)
		err = errors.Join(f.copy(t, second), second.Close(context.Background()))
		if !errors.Is(err, errBehind) || f.ctx.Err() != nil {
			return err
		}
	}
}

func (f *follower) open() (vfs.FS, error) {
	if o := &f.opt.Follower; o.fs != nil {
		return o.fs, nil
	}
	fsys, err := osfs.Open(f.opt.Follower.Dir)
	if err != nil {
		return nil, fmt.Errorf("storage: following: %w", err)
	}
	return fsys, nil
}

func (f *follower) close(fsys vfs.FS) error {
	if c, ok := fsys.(lock); ok && f.opt.Follower.fs == nil {
		return c.Close()
	}
	return nil
}

// connect opens the second store and finds where in the journal it has to go on. If the journal does not go back that far, what is missing is read from
// segments first.
func (f *follower) connect(fsys vfs.FS) (*Store, *trail, error) {
	for {
		second, t, err := f.resume(fsys)
		if !errors.Is(err, errBehind) {
			return second, t, err
		}
		x := &resync{st: f.st, to: fsys, opt: f.opt, read: f.caughtUp}
		if _, err := x.run(f.ctx); err != nil {
			return nil, nil, err
		}
	}
}

// caughtUp notes bytes that were read from segments.
func (f *follower) caughtUp(ctx context.Context, bytes int64) error {
	f.st.works.note(followWork, func(w *storage.Work) { w.Done += bytes })
	return ctx.Err()
}

// resume opens the second store if there is one that the journal can carry on.
func (f *follower) resume(fsys vfs.FS) (*Store, *trail, error) {
	if err := refuseUnfinished(fsys); errors.Is(err, storage.ErrUnfinished) {
		return nil, nil, errBehind
	} else if err != nil {
		return nil, nil, err
	}
	c, _, err := newestCheckpoint(fsys)
	switch {
	case err != nil:
		return nil, nil, err
	case c == nil:
		return nil, nil, errBehind
	case c.followed == 0 || c.id != f.st.journal.id:
		return nil, nil, fmt.Errorf("%w: the store in it is not one that follows this one", storage.ErrNotEmpty)
	}
	second, err := OpenFS(fsys, f.opt.second())
	if err != nil {
		return nil, nil, err
	}
	place := second.keeper.life
	t, err := (*trail)(nil), errBehind
	if place.Life == f.st.keeper.life.Life {
		t, err = f.st.follow(place.LSN, f.opt.Follower.PinBytes)
	}
	if err != nil {
		return nil, nil, errors.Join(err, second.Close(context.Background()))
	}
	return second, t, nil
}

// second is the options of the second store.
func (o Options) second() Options {
	o.Follower = FollowerOptions{}
	return o
}

// copy copies what becomes durable until quit is closed and nothing is left, or something fails.
func (f *follower) copy(t *trail, second *Store) error {
	var p parcel
	for closing := false; ; {
		p.reset()
		newest := time.Time{}
		// At least an entry, also while the second store has no journal file yet, since there was no space for one: it is made when something is to go there.
		n, err := t.next(max(1, min(parcelBytes, second.ring.capacity()/2)), func(frames []trailed, raw []byte) {
			for i := range frames {
				h := &frames[i].h
				if local(h.Kind) || f.st.unsaved(h) {
					continue
				}
				if h.Kind == frame.Batch {
					newest = time.Unix(0, h.Time)
				}
				p.add(h, raw[frames[i].at:frames[i].at+h.Size()])
			}
		})
		if err != nil {
			return err
		}
		if len(p.frames) > 0 {
			p.place = frame.Place{Life: f.st.keeper.life.Life, LSN: t.lsn}
			if err := second.ingest(&p); err != nil {
				return err
			}
		}
		f.progress(t, int64(n), int64(len(p.raw)), newest)
		if n > 0 {
			continue
		}
		if closing {
			return nil
		}
		select {
		case <-f.st.journal.further:
			f.behind()
		case <-f.quit:
			closing = true
		}
	}
}

// progress notes what was copied.
func (f *follower) progress(t *trail, entries, bytes int64, newest time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = *t
	frames, left := t.behind()
	switch {
	case frames == 0:
		f.since = time.Time{}
	case !newest.IsZero():
		f.since = newest
	}
	f.changed.Broadcast()
	f.st.works.note(followWork, func(w *storage.Work) { w.Runs, w.Done, w.Backlog = w.Runs+entries, w.Done+bytes, left })
}

// behind notes that more is durable.
func (f *follower) behind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since.IsZero() {
		f.since = time.Now()
	}
}

func (f *follower) started(t *trail) {
	f.mu.Lock()
	again := f.err != nil && f.err != errNotRunning
	f.at, f.err = *t, nil
	f.mu.Unlock()
	f.st.works.note(followWork, func(w *storage.Work) { w.Running, w.LastError = true, nil })
	if again {
		f.st.lookout.tell(storage.Event{Kind: storage.EventFollower, Text: "the store is followed again"})
	}
}

// stopped notes why the follower does not run; err is nil if it has come to its end. Who waits is told when Stats has it.
func (f *follower) stopped(err error) {
	failed := err != nil && f.ctx.Err() == nil
	f.st.works.running(followWork, false)
	if failed {
		f.st.works.failed(followWork, err, time.Now())
	}
	f.mu.Lock()
	known := f.err != nil && f.err != errNotRunning
	if err != nil {
		f.err = err
	} else {
		f.err = storage.ErrClosed
	}
	f.changed.Broadcast()
	f.mu.Unlock()
	if failed && !known {
		f.st.lookout.tell(storage.Event{Kind: storage.EventFollower, Err: err, Text: "the store is not followed; it is tried again"})
	}
}

// Lag tells how far the follower is behind; ok is false if the store has none.
func (st *Store) Lag() (l Lag, ok bool) {
	f := st.follower
	if f == nil {
		return Lag{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l = Lag{Frames: -1, Err: f.err}
	if f.at.st != nil {
		l.Frames, l.Bytes = f.at.behind()
	}
	if l.Frames != 0 && !f.since.IsZero() {
		l.Time = time.Since(f.since)
	}
	return l, true
}

// WaitFollowed waits until everything that was committed before the call, whatever its policy, is durable in the second directory. It returns why that is not so if the follower does not
// run, or stops, and storage.ErrNotFound if the store has none.
func (st *Store) WaitFollowed(ctx context.Context) error {
	f := st.follower
	if f == nil {
		return fmt.Errorf("%w: the store has no follower", storage.ErrNotFound)
	}
	c, release, err := st.capture(ctx)
	if err != nil {
		return err
	}
	release()
	limit := c.applied
	defer context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})()
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.at.st != nil && (f.at.lsn >= limit || f.at.idle(limit)):
			return nil
		case f.err != nil && f.err != errNotRunning:
			return f.err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		f.changed.Wait()
	}
}

// end has the follower copy what is left, if it runs, and waits for it, but not for ever.
func (f *follower) end() {
	close(f.quit)
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
		f.st.works.failed(followWork, errors.New("storage: the follower did not come to its end"), time.Now())
	}
}
