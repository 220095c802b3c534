package timers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/mem"
)

// logged is a store that remembers what changed it, one after the other. What a crash leaves of a store is what a prefix of that makes: rebuilt makes it.
type logged struct {
	storage.Store
	mu      sync.Mutex
	changes []change                                       // guarded by mu
	cut     int                                            // guarded by mu; the store stops after so many; 0: it does not
	late    time.Duration                                  // guarded by mu; how long an append to runs takes
	refuse  func(e *storage.Entry) error                   // guarded by mu; nil: nothing is refused
	keep    bool                                           // guarded by mu; nothing is trimmed: it fails
	stored  func(e *storage.Entry)                         // guarded by mu; called when e is stored and its append has not returned; nil: nothing is
	reading func(p storage.PartitionID)                    // guarded by mu; called before a ReadInto; nil: nothing is
	runs    storage.PartitionID                            // guarded by mu; the first that is for runs
	hidden  func(p storage.PartitionID, offset int64) bool // set before it is used; what was given up, since it was damaged; nil: nothing
	lives   map[string]uint64                              // of topics, the same after a rebuild
}

// change is one of: a topic made, an entry appended, a partition trimmed.
type change struct {
	topic     *storage.TopicSpec
	entry     *storage.Entry
	partition storage.PartitionID
	first     int64
}

var errCrashed = &storage.StoppedError{Cause: errors.New("crashed")}

func newLogged(t testing.TB) *logged {
	s, err := mem.Open(mem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := &logged{Store: s, lives: map[string]uint64{}, runs: 1 << 30}
	return l
}

// rebuilt is what is left after the first n changes.
func (l *logged) rebuilt(t testing.TB, n int) *logged {
	l.mu.Lock()
	changes := slices.Clone(l.changes[:n])
	l.mu.Unlock()
	r := newLogged(t)
	r.lives = l.lives
	for _, c := range changes {
		var err error
		switch {
		case c.topic != nil:
			_, err = r.CreateTopic(context.Background(), *c.topic)
		case c.entry != nil:
			_, err = r.Append(context.Background(), c.entry)
		default:
			err = r.Trim(context.Background(), c.partition, c.first)
		}
		if err != nil {
			t.Fatalf("a change that was made cannot be made again: %v", err)
		}
	}
	return r
}

// slow has appends to runs take as long as that.
func (l *logged) slow(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late = d
}

// fill has what is appended to a target (0) or to runs (1) refused, or nothing (2).
func (l *logged) fill(target storage.PartitionID, what int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = nil
	if what == 2 {
		return
	}
	l.refuse = func(e *storage.Entry) error {
		for _, b := range e.Batches {
			if what == 0 && b.Partition == target || what == 1 && b.Partition >= l.runs {
				return storage.ErrFull
			}
		}
		return nil
	}
}

// read has f called before each ReadInto; nil: nothing is.
func (l *logged) read(f func(p storage.PartitionID)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = f
}

// length counts the changes.
func (l *logged) length() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.changes)
}

func (l *logged) crashed() bool { return l.cut > 0 && len(l.changes) >= l.cut }

func (l *logged) CreateTopic(ctx context.Context, s storage.TopicSpec) (storage.Topic, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.crashed() {
		return storage.Topic{}, errCrashed
	}
	t, err := l.Store.CreateTopic(ctx, s)
	if err == nil {
		l.changes = append(l.changes, change{topic: &s})
		if l.lives[s.Name] == 0 {
			l.lives[s.Name] = t.Incarnation
		}
		t.Incarnation = l.lives[s.Name]
		if strings.HasSuffix(s.Name, RunsSuffix) {
			l.runs = t.First
		}
	}
	return t, err
}

func (l *logged) Topic(name string) (storage.Topic, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.Store.Topic(name)
	t.Incarnation = l.lives[name]
	return t, ok
}

func (l *logged) Append(ctx context.Context, e *storage.Entry) (storage.Durability, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(e.Batches) > 0 && e.Batches[0].Partition >= l.runs && l.late > 0 {
		d := l.late
		l.mu.Unlock()
		<-time.After(d)
		l.mu.Lock()
	}
	if l.crashed() {
		return 0, errCrashed
	}
	if l.refuse != nil {
		if err := l.refuse(e); err != nil {
			return 0, err
		}
	}
	d, err := l.Store.Append(ctx, e)
	if err == nil {
		l.changes = append(l.changes, change{entry: cloned(e)})
		if l.stored != nil {
			l.stored(e)
		}
	}
	return d, err
}

func cloned(e *storage.Entry) *storage.Entry {
	c := &storage.Entry{}
	for _, b := range e.Batches {
		n := storage.Batch{Partition: b.Partition}
		for _, r := range b.Records {
			r.Key, r.Value, r.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), slices.Clone(r.Headers)
			n.Records = append(n.Records, r)
		}
		c.Batches = append(c.Batches, n)
	}
	return c
}

func (l *logged) Read(dst []storage.Record, p storage.PartitionID, from int64, maxBytes int) ([]storage.Record, int64, error) {
	before := len(dst)
	rs, next, err := l.Store.Read(dst, p, from, maxBytes)
	if err != nil || l.hidden == nil {
		return rs, next, err
	}
	kept := slices.DeleteFunc(rs[before:], func(r storage.Record) bool { return l.hidden(p, r.Offset) })
	if len(kept) == 0 && len(rs) > before { // reads go on behind it
		return l.Read(dst, p, next, maxBytes)
	}
	return rs[:before+len(kept)], next, nil
}

func (l *logged) ReadInto(dst []storage.Record, buf *[]byte, p storage.PartitionID, from int64, maxBytes int) ([]storage.Record, int64, error) {
	l.mu.Lock()
	reading := l.reading
	l.mu.Unlock()
	if reading != nil {
		reading(p)
	}
	return l.Store.ReadInto(dst, buf, p, from, maxBytes)
}

func (l *logged) Trim(ctx context.Context, p storage.PartitionID, first int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.crashed() {
		return errCrashed
	}
	if l.keep {
		return storage.ErrNoSpace
	}
	err := l.Store.Trim(ctx, p, first)
	if err == nil {
		l.changes = append(l.changes, change{partition: p, first: first})
	}
	return err
}

// count is how many records a partition has.
func (l *logged) count(p storage.PartitionID) int {
	n := 0
	for from := int64(0); ; {
		rs, next, err := l.Read(nil, p, from, 1<<20)
		if err != nil {
			panic(fmt.Sprint("reading: ", err))
		}
		if len(rs) == 0 {
			return n
		}
		n, from = n+len(rs), next
	}
}
