package queue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestJudge(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	for _, c := range []struct {
		name string
		errs []error
		want []bool // failed
	}{
		{"nil: all done", nil, []bool{false, false, false}},
		{"one each", []error{a, nil, b}, []bool{true, false, true}},
		{"all nil", []error{nil, nil, nil}, []bool{false, false, false}},
		{"empty, not nil", []error{}, []bool{true, true, true}},
		{"too few", []error{nil, nil}, []bool{true, true, true}},
		{"too many", []error{nil, nil, nil, nil}, []bool{true, true, true}},
	} {
		failures := make([]error, 3)
		judge(failures, c.errs)
		for i, want := range c.want {
			if got := failures[i] != nil; got != want {
				t.Errorf("%s: message %d failed is %v, want %v", c.name, i, got, want)
			}
		}
	}
}

func TestHoldLanes(t *testing.T) {
	const fail, done, held = 'F', '.', 'h'
	type m struct {
		topic     string
		partition int
		key       []byte
	}
	k := func(s string) []byte { return []byte(s) }
	for _, c := range []struct {
		name         string
		order        Order
		ms           []m
		result, want string
	}{
		{"same key", ByKey, []m{{"t", 0, k("a")}, {"t", 0, k("a")}, {"t", 0, k("a")}}, ".F.", ".Fh"},
		{"other key", ByKey, []m{{"t", 0, k("a")}, {"t", 0, k("b")}, {"t", 0, k("a")}}, "F..", "F.h"},
		{"same key, other partition or topic", ByKey, []m{{"t", 0, k("a")}, {"t", 1, k("a")}, {"u", 0, k("a")}}, "F..", "F.."},
		{"no key", ByKey, []m{{"t", 0, nil}, {"t", 0, nil}}, "F.", "F."},
		{"empty key", ByKey, []m{{"t", 0, k("")}, {"t", 0, k("")}, {"t", 0, nil}}, "F..", "Fh."},
		{"same partition", ByPartition, []m{{"t", 0, k("a")}, {"t", 0, k("b")}, {"t", 0, nil}}, ".F.", ".Fh"},
		{"other partition", ByPartition, []m{{"t", 0, nil}, {"t", 1, nil}, {"u", 0, nil}, {"t", 0, nil}}, "F...", "F..h"},
		{"unordered", Unordered, []m{{"t", 0, k("a")}, {"t", 0, k("a")}}, "F.", "F."},
		{"own failure behind a failure", ByKey, []m{{"t", 0, k("a")}, {"t", 0, k("a")}}, "FF", "FF"},
		{"two lanes", ByKey, []m{{"t", 0, k("a")}, {"t", 0, k("b")}, {"t", 0, k("a")}, {"t", 0, k("b")}}, "FF..", "FFhh"},
	} {
		var hs []Handover
		failures := make([]error, len(c.ms))
		for i, m := range c.ms {
			hs = append(hs, Handover{Record: Record{Message: Message{Topic: m.topic, Key: m.key}, Position: PositionAt(m.topic, m.partition, int64(i))}})
			if c.result[i] == fail {
				failures[i] = errors.New("failed")
			}
		}
		holdLanes(c.order, hs, failures)
		got := ""
		for _, err := range failures {
			switch err {
			case nil:
				got += string(done)
			case errHeld:
				got += string(held)
			default:
				got += string(fail)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s became %s, want %s", c.name, c.result, got, c.want)
		}
	}
}

func TestConsumeBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSliceEngine()
		var failed []string
		b := open(t, e, Options{Events: Events{Failed: func(f FailedEvent) { failed = append(failed, f.Position.String()) }}})
		publish(t, b, "a", "b", "c", "d", "e")
		g := group
		g.Order, g.Batch.Messages = ByPartition, 3
		var sizes []int
		ctx, cancel := context.WithCancel(t.Context())
		wait := inBackground(func() error {
			return b.ConsumeBatch(ctx, g, func(_ context.Context, ds []*Delivery) []error {
				sizes = append(sizes, len(ds))
				errs := make([]error, len(ds))
				for i, d := range ds {
					if string(d.Value) == "b" && d.Attempt == 1 {
						errs[i] = errors.New("first")
					}
				}
				return errs
			})
		})
		time.Sleep(time.Second)
		synctest.Wait()
		if want := []int{3, 3, 1}; !slices.Equal(sizes, want) {
			t.Errorf("batches of %v, want %v", sizes, want)
		}
		if want := (ReceiveLimits{Bytes: 1 << 20, Linger: 10 * time.Millisecond}); e.limits != want {
			t.Errorf("received within %+v, want %+v", e.limits, want)
		}
		// a done, b failed, c behind it given back; then d, e and c; then b.
		want := []Outcome{SettleDone, SettleRetry, SettleRelease, SettleDone, SettleDone, SettleDone, SettleDone}
		if !slices.Equal(e.outcomes(), want) {
			t.Errorf("settled %v, want %v", e.outcomes(), want)
		}
		if want := []string{"t/0@1.1"}; !slices.Equal(failed, want) {
			t.Errorf("told of failures at %v, want %v: what is held is none", failed, want)
		}
		cancel()
		if err := wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestBatchPanicFailsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSliceEngine()
		b := open(t, e, Options{})
		publish(t, b, "a", "b", "c")
		calls := 0
		ctx, cancel := context.WithCancel(t.Context())
		wait := inBackground(func() error {
			return b.ConsumeBatch(ctx, group, func(context.Context, []*Delivery) []error {
				if calls++; calls == 1 {
					panic("boom")
				}
				return nil
			})
		})
		time.Sleep(time.Second)
		synctest.Wait()
		want := []Outcome{SettleRetry, SettleRetry, SettleRetry, SettleDone, SettleDone, SettleDone}
		if !slices.Equal(e.outcomes(), want) {
			t.Errorf("settled %v, want %v", e.outcomes(), want)
		}
		cancel()
		if err := wait(); err != nil {
			t.Error(err)
		}
	})
}
