package queue

import (
	"context"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestGroupFaults(t *testing.T) {
	resume := func(context.Context, string, int) (Position, error) { return Position{}, nil }
	at := func(topic string, partition int) Position { return PositionAt(topic, partition, 5) }
	for _, c := range []struct {
		name   string
		group  Group
		batch  bool
		fields []string
	}{
		{"least", Group{Name: "g", Topics: []string{"t"}}, false, nil},
		{"resume", Group{Name: "g", Topics: []string{"t"}, Order: ByPartition, Resume: resume}, false, nil},
		{"batch", Group{Name: "g", Topics: []string{"t"}, Batch: Batch{1, 1, 1}}, true, nil},
		{"empty", Group{}, false, []string{"Name", "Topics"}},
		{"names", Group{Name: "a/b", Topics: []string{"", "t", "t"}}, false, []string{"Name", "Topics", "Topics"}},
		{"resume by key", Group{Name: "g", Topics: []string{"t"}, Resume: resume}, false, []string{"Resume"}},
		{"batch without ConsumeBatch", Group{Name: "g", Topics: []string{"t"}, Batch: Batch{Messages: 1}}, false, []string{"Batch"}},
		{"negative", Group{Name: "g", Topics: []string{"t"}, Order: 9, Concurrency: -1, InFlightBytes: -1, Batch: Batch{-1, -1, -1}}, true,
			[]string{"Order", "Concurrency", "InFlightBytes", "Batch.Messages", "Batch.Bytes", "Batch.Wait"}},
		{"too many", Group{Name: "g", Topics: []string{"t"}, Concurrency: MaxConcurrency + 1, Batch: Batch{Messages: MaxBatchMessages + 1}}, true,
			[]string{"Concurrency", "Batch.Messages"}},
		{"start", Group{Name: "g", Topics: []string{"t", "u"}, StartIfNew: From(at("t", 0), at("u", 0), at("t", 1))}, false, nil},
		{"start elsewhere", Group{Name: "g", Topics: []string{"t"}, StartIfNew: After(at("u", 0))}, false, []string{"StartIfNew"}},
		{"start twice", Group{Name: "g", Topics: []string{"t"}, StartIfNew: After(at("t", 0), at("t", 0))}, false, []string{"StartIfNew"}},
		{"start nowhere", Group{Name: "g", Topics: []string{"t"}, StartIfNew: From(Position{}, at("t", -1))}, false, []string{"StartIfNew", "StartIfNew"}},
	} {
		err := c.group.validate(c.batch, true)
		if got := faultFields(err); !reflect.DeepEqual(got, c.fields) {
			t.Errorf("%s: faults in %v, want %v (%v)", c.name, got, c.fields, err)
		}
	}
	if got := faultFields((Group{Name: "g", Topics: []string{"t"}}).validate(false, false)); len(got) != 1 || got[0] != "handler" {
		t.Errorf("without a handler: faults in %v", got)
	}
}

func TestGroupDefaults(t *testing.T) {
	topics := []string{"t"}
	g := Group{Name: "g", Topics: topics}.withDefaults(true)
	want := Group{Name: "g", Topics: []string{"t"}, Concurrency: runtime.GOMAXPROCS(0), InFlightBytes: 64 << 20,
		Batch: Batch{100, 1 << 20, 10 * time.Millisecond}}
	if !reflect.DeepEqual(g, want) {
		t.Errorf("got %+v, want %+v", g, want)
	}
	topics[0] = "changed"
	if g.Topics[0] != "t" {
		t.Error("the caller's slice is shared")
	}
	if g := (Group{}).withDefaults(false); g.Batch != (Batch{}) {
		t.Errorf("Batch without ConsumeBatch is %+v, want zero", g.Batch)
	}
}

func TestRangeFaults(t *testing.T) {
	for _, c := range []struct {
		r      Range
		fields []string
	}{
		{Range{Topic: "t"}, nil},
		{Range{Topic: "t", Partitions: []int{0, 2}, From: From(PositionAt("t", 2, 7)), Follow: true}, nil},
		{Range{Partitions: []int{-1, 1, 1}, From: From(PositionAt("u", 0, 0))}, []string{"Topic", "Partitions", "Partitions", "From"}},
	} {
		err := c.r.validate()
		if got := faultFields(err); !reflect.DeepEqual(got, c.fields) {
			t.Errorf("%+v: faults in %v, want %v (%v)", c.r, got, c.fields, err)
		}
	}
}

func TestStart(t *testing.T) {
	ps, when := []Position{PositionAt("t", 0, 1)}, time.Unix(1, 0)
	for _, c := range []struct {
		s    Start
		kind StartKind
		t    time.Time
		ps   []Position
	}{
		{Start{}, StartEarliest, time.Time{}, nil},
		{Earliest(), StartEarliest, time.Time{}, nil},
		{Latest(), StartLatest, time.Time{}, nil},
		{Since(when), StartSince, when, nil},
		{From(ps...), StartFrom, time.Time{}, ps},
		{After(ps...), StartAfter, time.Time{}, ps},
	} {
		if kind, when, ps := c.s.Resolve(); kind != c.kind || when != c.t || !reflect.DeepEqual(ps, c.ps) {
			t.Errorf("got %v %v %v, want %v %v %v", kind, when, ps, c.kind, c.t, c.ps)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	err := &ConfigError{Subject: `topic "t"`, Faults: []Fault{{"Partitions", "1", "8", "is fixed"}, {"Name", `""`, "", "empty"}, {Field: "X", Rule: "y"}}}
	if got, want := err.Error(), `queue: topic "t": Partitions is 1, not 8: is fixed; Name "": empty; X: y`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for i, want := range []string{"ByKey", "ByPartition", "Unordered", "Order(3)"} {
		if got := Order(i).String(); got != want {
			t.Errorf("Order %d is %q, want %q", i, got, want)
		}
	}
	if got := (&StuckError{Handlers: 3}).Error(); !strings.Contains(got, "3 handlers") {
		t.Error(got)
	}
}

func TestRetryDelay(t *testing.T) {
	want := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
		1600 * time.Millisecond, 3200 * time.Millisecond, 6400 * time.Millisecond, 12800 * time.Millisecond,
		25600 * time.Millisecond, 51200 * time.Millisecond, time.Minute, time.Minute}
	for i, w := range want {
		if got := retryDelay(i + 1); got != w {
			t.Errorf("after attempt %d: %v, want %v", i+1, got, w)
		}
	}
	if got := retryDelay(1 << 30); got != time.Minute {
		t.Errorf("after attempt 1<<30: %v, want 1m", got)
	}
}

func TestEventsFilled(t *testing.T) {
	v := reflect.ValueOf(Events{}.filled())
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			t.Errorf("Events.%s is nil when filled", v.Type().Field(i).Name)
			continue
		}
		args := make([]reflect.Value, v.Field(i).Type().NumIn())
		for j := range args {
			args[j] = reflect.Zero(v.Field(i).Type().In(j))
		}
		v.Field(i).Call(args) // does nothing
	}
	called := false
	Events{Stopped: func(error) { called = true }}.filled().Stopped(nil)
	if !called {
		t.Error("filled replaced a function that was there")
	}
}
