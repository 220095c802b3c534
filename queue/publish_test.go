package queue

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"
)

// discardEngine stores nothing, and hands the same message out for ever.
type discardEngine struct {
	*sliceEngine
	record Record
}

func (e *discardEngine) Publish(context.Context, []Message, []Receipt) error { return nil }
func (e *discardEngine) Join(context.Context, Membership) (Member, error)    { return e, nil }
func (e *discardEngine) Settle(context.Context, []Settlement)                {}
func (e *discardEngine) Leave(context.Context) error                         { return nil }

func (e *discardEngine) Receive(ctx context.Context, dst []Handover, _ ReceiveLimits) (int, error) {
	for i := range dst {
		dst[i] = Handover{Record: e.record, Attempt: 1}
	}
	return len(dst), ctx.Err()
}

func newDiscardEngine() *discardEngine {
	return &discardEngine{newSliceEngine(), Record{Message: Message{Topic: "t", Value: make([]byte, 1024)}, Position: PositionAt("t", 0, 1)}}
}

func TestPublish(t *testing.T) {
	e := newSliceEngine()
	b := open(t, e, Options{})
	r, err := b.Publish(t.Context(), Message{Topic: "t", Value: []byte("v")})
	if want := (Receipt{Position: NewPosition("t", 0, 1, 0), Durability: Memory}); r != want || err != nil {
		t.Errorf("got %+v, %v, want %+v", r, err, want)
	}
	rs, err := b.PublishBatch(t.Context(), Message{Topic: "t"}, Message{Topic: "u"})
	if want := []Receipt{{Position: NewPosition("t", 0, 1, 1), Durability: Memory}, {Position: NewPosition("u", 0, 1, 2), Durability: Memory}}; !reflect.DeepEqual(rs, want) || err != nil {
		t.Errorf("got %+v, %v, want %+v", rs, err, want)
	}
	if rs, err := b.PublishBatch(t.Context()); len(rs) != 0 || err != nil {
		t.Errorf("an empty batch: %v, %v", rs, err)
	}
	if got := b.Stats().Topics[0].Published; got != 3 {
		t.Errorf("the engine's Stats say %d published, want 3", got)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := b.Publish(t.Context(), Message{Topic: "t"}); !errors.Is(err, ErrClosed) || r != (Receipt{}) {
		t.Errorf("after Close: %+v, %v, want ErrClosed", r, err)
	}
}

func TestPublishRefusesBeforeTheEngine(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	e := newSliceEngine()
	delete(e.caps.Features, CanBatch)
	b := open(t, e, Options{})
	big := Message{Topic: "t", Value: make([]byte, e.caps.MaxBytes+1)}
	for _, c := range []struct {
		name string
		call func() error
		want []error
	}{
		{"ended", func() error { _, err := b.Publish(ended, Message{Topic: "t"}); return err }, []error{ErrFull, context.Canceled}},
		{"late", func() error { _, err := b.PublishBatch(late, Message{Topic: "t"}); return err }, []error{ErrFull, context.DeadlineExceeded}},
		{"large", func() error { _, err := b.Publish(t.Context(), big); return err }, []error{ErrTooLarge}},
		{"batch of one", func() error { _, err := b.PublishBatch(t.Context(), big); return err }, []error{ErrTooLarge}},
		{"batch", func() error { _, err := b.PublishBatch(t.Context(), Message{}, Message{}); return err }, []error{ErrUnsupported}},
	} {
		for _, want := range c.want {
			if err := c.call(); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", c.name, err, want)
			}
		}
	}
	e.caps.Features[CanBatch] = Grade{}
	if _, err := b.PublishBatch(t.Context(), Message{Topic: "t"}, big); !errors.Is(err, ErrTooLarge) {
		t.Errorf("the second is large: %v, want ErrTooLarge", err)
	}
	if e.nextOffset != 0 {
		t.Errorf("%d messages reached the engine", e.nextOffset)
	}
}

func TestPublishAllocations(t *testing.T) {
	b := open(t, newDiscardEngine(), Options{})
	ctx := t.Context()
	m := Message{Topic: "t", Key: []byte("k"), Value: make([]byte, 1024), Headers: Headers{}.With("a", "b")}
	if n := testing.AllocsPerRun(1000, func() { _, _ = b.Publish(ctx, m) }); n > 0 {
		t.Errorf("Publish allocates %v times a message, want never", n)
	}
}

func TestPublishKeepsNoBytes(t *testing.T) {
	b := open(t, newDiscardEngine(), Options{})
	if _, err := b.Publish(t.Context(), Message{Topic: "t", Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	if s := b.singles.Get().(*single); !reflect.DeepEqual(*s, single{}) {
		t.Errorf("the pool keeps %+v", *s)
	}
}

func TestEnsureTopic(t *testing.T) {
	e := newSliceEngine()
	b := open(t, e, Options{})
	if err := b.EnsureTopic(t.Context(), "t", TopicConfig{Partitions: 8}); err != nil {
		t.Fatal(err)
	}
	if want := (TopicConfig{Partitions: 8, Durability: Synced, MaxBytes: 1 << 20, Dedup: Dedup{}.WithDefaults()}); e.ensured != want {
		t.Errorf("the engine got %+v, want the defaults filled in: %+v", e.ensured, want)
	}
	var config *ConfigError
	if err := b.EnsureTopic(t.Context(), "", TopicConfig{}); !errors.As(err, &config) {
		t.Errorf("without a name: %v, want a *ConfigError", err)
	}
	b.Close()
	if err := b.EnsureTopic(t.Context(), "t", TopicConfig{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

func TestRead(t *testing.T) {
	e := newSliceEngine()
	b := open(t, e, Options{})
	publish(t, b, "a", "b", "c")
	var got string
	for r, err := range b.Read(t.Context(), Range{Topic: "t"}) {
		if err != nil {
			t.Fatal(err)
		}
		got += string(r.Value)
		if got == "ab" {
			break
		}
	}
	if got != "ab" {
		t.Errorf("read %q, want %q", got, "ab")
	}
	readErr := func(r Range) (last error) {
		for _, err := range b.Read(t.Context(), r) {
			last = err
		}
		return last
	}
	var config *ConfigError
	if err := readErr(Range{}); !errors.As(err, &config) {
		t.Errorf("without a topic: %v, want a *ConfigError", err)
	}
	delete(e.caps.Features, CanRead)
	if err := readErr(Range{Topic: "t"}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("an engine that cannot: %v, want ErrUnsupported", err)
	}
	e.caps.Features[CanRead] = Grade{}
	b.Close()
	if err := readErr(Range{Topic: "t"}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

func TestNewRefuses(t *testing.T) {
	var config *ConfigError
	if _, err := New(nil, Options{DrainTime: -1}); !errors.As(err, &config) || len(config.Faults) != 2 {
		t.Errorf("no engine, negative DrainTime: %v, want both faults", err)
	}
	e := newSliceEngine()
	if _, err := New(e, Options{Needs: []Feature{CanBatch, CanCountAttempts}}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a need that is not met: %v, want ErrUnsupported", err)
	}
	b := open(t, e, Options{Needs: []Feature{CanBatch}})
	if b.Engine() != Engine(e) {
		t.Error("Engine is not what New was given")
	}
}

// waitingEngine can tell when groups are idle: they always are.
type waitingEngine struct {
	*sliceEngine
	asked []string
}

func (e *waitingEngine) WaitIdle(_ context.Context, groups ...string) error {
	e.asked = groups
	return nil
}

func TestWaitIdle(t *testing.T) {
	e := &waitingEngine{sliceEngine: newSliceEngine()}
	b := open(t, e, Options{})
	if err := b.WaitIdle(t.Context(), "g", "h"); err != nil || !reflect.DeepEqual(e.asked, []string{"g", "h"}) {
		t.Errorf("asked the engine for %v, %v", e.asked, err)
	}
	var config *ConfigError
	if err := b.WaitIdle(t.Context()); !errors.As(err, &config) {
		t.Errorf("for no group: %v, want a *ConfigError", err)
	}
	if err := b.WaitIdle(t.Context(), "a/b"); !errors.As(err, &config) {
		t.Errorf("for a group that cannot be: %v, want a *ConfigError", err)
	}
	if err := open(t, newSliceEngine(), Options{}).WaitIdle(t.Context(), "g"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("an engine that cannot: %v, want ErrUnsupported", err)
	}
	b.Close()
	if err := b.WaitIdle(t.Context(), "g"); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}
