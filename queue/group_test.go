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
		shape  shape
		fields []string
	}{
		{"least", Group{Name: "g", Topics: []string{"t"}}, byMessage, nil},
		{"resume", Group{Name: "g", Topics: []string{"t"}, Order: ByPartition, Resume: resume}, byMessage, nil},
		{"batch", Group{Name: "g", Topics: []string{"t"}, Batch: Batch{1, 1, 1}}, byBatch, nil},
		{"empty", Group{}, byMessage, []string{"Name", "Topics"}},
		{"names", Group{Name: "a/b", Topics: []string{"", "t", "t"}}, byMessage, []string{"Name", "Topics", "Topics"}},
		{"resume by key", Group{Name: "g", Topics: []string{"t"}, Resume: resume}, byMessage, []string{"Resume"}},
		{"batch without ConsumeBatch", Group{Name: "g", Topics: []string{"t"}, Batch: Batch{Messages: 1}}, byMessage, []string{"Batch"}},
		{"negative", Group{Name: "g", Topics: []string{"t"}, Order: 9, Concurrency: -1, InFlightBytes: -1, Batch: Batch{-1, -1, -1}}, byBatch,
			[]string{"Order", "Concurrency", "InFlightBytes", "Batch.Messages", "Batch.Bytes", "Batch.Wait"}},
		{"too many", Group{Name: "g", Topics: []string{"t"}, Concurrency: MaxConcurrency + 1, Batch: Batch{Messages: MaxBatchMessages + 1}}, byBatch,
			[]string{"Concurrency", "Batch.Messages"}},
		{"lease", Group{Name: "g", Topics: []string{"t"}, Lease: time.Second}, byLease, nil},
		{"lease of a handler", Group{Name: "g", Topics: []string{"t"}, Lease: time.Second}, byMessage, []string{"Lease"}},
		{"lease of a batch handler", Group{Name: "g", Topics: []string{"t"}, Lease: time.Second}, byBatch, []string{"Lease"}},
		{"for leases", Group{Name: "g", Topics: []string{"t"}, Lease: -1, Order: ByPartition, Resume: resume, Batch: Batch{Messages: 1}}, byLease,
			[]string{"Resume", "Lease", "Batch"}},
		{"timeout", Group{Name: "g", Topics: []string{"t"}, HandlerTimeout: time.Second}, byBatch, nil},
		{"negative timeout", Group{Name: "g", Topics: []string{"t"}, HandlerTimeout: -1}, byMessage, []string{"HandlerTimeout"}},
		{"timeout of leases", Group{Name: "g", Topics: []string{"t"}, HandlerTimeout: 1}, byLease, []string{"HandlerTimeout"}},
		{"timeout with resume", Group{Name: "g", Topics: []string{"t"}, HandlerTimeout: 1, Order: ByPartition, Resume: resume}, byMessage,
			[]string{"HandlerTimeout"}},
		{"start", Group{Name: "g", Topics: []string{"t", "u"}, StartIfNew: From(at("t", 0), at("u", 0), at("t", 1))}, byMessage, nil},
		{"start elsewhere", Group{Name: "g", Topics: []string{"t"}, StartIfNew: After(at("u", 0))}, byMessage, []string{"StartIfNew"}},
		{"start twice", Group{Name: "g", Topics: []string{"t"}, StartIfNew: After(at("t", 0), at("t", 0))}, byMessage, []string{"StartIfNew"}},
		{"start nowhere", Group{Name: "g", Topics: []string{"t"}, StartIfNew: From(Position{}, at("t", -1))}, byMessage, []string{"StartIfNew", "StartIfNew"}},
	} {
		err := c.group.validate(c.shape, true)
		if got := faultFields(err); !reflect.DeepEqual(got, c.fields) {
			t.Errorf("%s: faults in %v, want %v (%v)", c.name, got, c.fields, err)
		}
	}
	if got := faultFields((Group{Name: "g", Topics: []string{"t"}}).validate(byMessage, false)); len(got) != 1 || got[0] != "handler" {
		t.Errorf("without a handler: faults in %v", got)
	}
}

func TestGroupDefaults(t *testing.T) {
	topics := []string{"t"}
	g := Group{Name: "g", Topics: topics}.withDefaults(byBatch)
	want := Group{Name: "g", Topics: []string{"t"}, Concurrency: runtime.GOMAXPROCS(0), InFlightBytes: 64 << 20,
		Batch: Batch{100, 1 << 20, 10 * time.Millisecond}}
	if !reflect.DeepEqual(g, want) {
		t.Errorf("got %+v, want %+v", g, want)
	}
	topics[0] = "changed"
	if g.Topics[0] != "t" {
		t.Error("the caller's slice is shared")
	}
	if g := (Group{}).withDefaults(byMessage); g.Batch != (Batch{}) || g.Lease != 0 {
		t.Errorf("Batch and Lease of Consume are %+v and %v, want zero", g.Batch, g.Lease)
	}
	if g := (Group{}).withDefaults(byLease); g.Batch != (Batch{}) || g.Lease != 30*time.Second {
		t.Errorf("Batch and Lease of Deliveries are %+v and %v, want zero and 30s", g.Batch, g.Lease)
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
