package queue

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "orders", "Orders.v2_eu-west", "_x", "leat", "a..b", "-", "0", strings.Repeat("n", MaxNameBytes)} {
		if rule := badName(name); rule != "" {
			t.Errorf("%q is refused: %s", name, rule)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", `a\b`, "a b", "ö", "a\x00", "leat.cursors", "__x", strings.Repeat("n", MaxNameBytes+1)} {
		if badName(name) == "" {
			t.Errorf("%q is taken, want it refused", name)
		}
	}
}

func TestTopicDefaults(t *testing.T) {
	want := TopicConfig{Partitions: 1, Durability: Synced, MaxBytes: 1 << 20, Dedup: Dedup{Window: 10 * time.Minute, IDs: 1_000_000}}
	if got := (TopicConfig{}).withDefaults(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if off := (Dedup{Off: true}); off.WithDefaults() != off {
		t.Errorf("with Off: %+v", off.WithDefaults())
	}
	if got := (TopicConfig{Durability: Interval}).withDefaults().SyncEvery; got != time.Second {
		t.Errorf("SyncEvery of Interval is %v, want 1s", got)
	}
}

func TestTopicFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		config TopicConfig
		fields []string
	}{
		{"ok", TopicConfig{}, nil},
		{"ok", TopicConfig{Partitions: MaxPartitions, Durability: Interval, SyncEvery: 1, MaxBytes: 2 << 20}, nil},
		{"no/slash", TopicConfig{Partitions: -1, Durability: 9, SyncEvery: 1, MaxBytes: -1}, []string{"Name", "Partitions", "Durability", "SyncEvery", "MaxBytes"}},
		{"t", TopicConfig{Partitions: MaxPartitions + 1, Durability: Interval, SyncEvery: -1, MaxBytes: 2<<20 + 1}, []string{"Partitions", "SyncEvery", "MaxBytes"}},
		{"t", TopicConfig{SyncEvery: 1}, []string{"SyncEvery"}},
		{"t", TopicConfig{Retention: Retention{Age: -1, Bytes: -1, Records: -1, WhenDone: true, LatestByKey: true}},
			[]string{"Retention.Age", "Retention.Bytes", "Retention.Records", "Retention.LatestByKey"}},
		{"ok", TopicConfig{Dedup: Dedup{Window: time.Second, IDs: 1 << 24}}, nil},
		{"ok", TopicConfig{Dedup: Dedup{Off: true}}, nil},
		{"t", TopicConfig{Dedup: Dedup{Window: time.Millisecond, IDs: -1}}, []string{"Dedup.Window", "Dedup.IDs"}},
		{"t", TopicConfig{Dedup: Dedup{Window: 31 * 24 * time.Hour, IDs: 1<<24 + 1}}, []string{"Dedup.Window", "Dedup.IDs"}},
		{"t", TopicConfig{Dedup: Dedup{Window: time.Hour, IDs: 1, Off: true}}, []string{"Dedup.Window", "Dedup.IDs"}},
	} {
		err := validateTopic(c.name, c.config.withDefaults(), 2<<20)
		if got := faultFields(err); !reflect.DeepEqual(got, c.fields) {
			t.Errorf("%q %+v: faults in %v, want %v (%v)", c.name, c.config, got, c.fields, err)
		}
	}
}

// faultFields returns the fields that err, a *ConfigError or nil, names.
func faultFields(err error) []string {
	var config *ConfigError
	if !errors.As(err, &config) {
		return nil
	}
	var fields []string
	for _, f := range config.Faults {
		fields = append(fields, f.Field)
	}
	return fields
}

func TestDifferencesNamesEveryField(t *testing.T) {
	have := TopicConfig{}.withDefaults()
	if fs := Differences(have, have); fs != nil {
		t.Errorf("the same configuration differs: %v", fs)
	}
	fields := 0
	var change func(prefix string, at func(*TopicConfig) reflect.Value)
	change = func(prefix string, at func(*TopicConfig) reflect.Value) {
		want := have
		typ := at(&want).Type()
		for i := range typ.NumField() {
			want, field := have, prefix+typ.Field(i).Name
			switch f := at(&want).Field(i); f.Kind() {
			case reflect.Int, reflect.Int64:
				f.SetInt(f.Int() + 1)
			case reflect.Float64:
				f.SetFloat(f.Float() + 1)
			case reflect.Uint8:
				f.SetUint(f.Uint() - 1)
			case reflect.Bool:
				f.SetBool(!f.Bool())
			case reflect.Struct:
				change(field+".", func(c *TopicConfig) reflect.Value { return at(c).Field(i) })
				continue
			}
			fields++
			fs := Differences(have, want)
			if len(fs) != 1 || fs[0].Field != field || fs[0].Have == fs[0].Want {
				t.Errorf("%s differs, and the faults are %v", field, fs)
			}
		}
	}
	change("", func(c *TopicConfig) reflect.Value { return reflect.ValueOf(c).Elem() })
	if fields != 17 {
		t.Errorf("%d fields were changed", fields)
	}
}

func TestRetentionInWords(t *testing.T) {
	for want, r := range map[string]Retention{
		"everything":                   {},
		"1h0m0s, 5 bytes, 7 records":   {Age: time.Hour, Bytes: 5, Records: 7},
		"until done":                   {WhenDone: true},
		"1m0s, the latest of each key": {Age: time.Minute, LatestByKey: true},
	} {
		if got := r.String(); got != want {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
}

// TestTopicFeatures: what an engine cannot do with a topic is refused before it is asked.
func TestTopicFeatures(t *testing.T) {
	for _, c := range []struct {
		config TopicConfig
		want   []Feature
	}{
		{TopicConfig{}, nil},
		{TopicConfig{Durability: Memory}, []Feature{CanStoreInMemory}},
		{TopicConfig{Retention: Retention{Age: 1, WhenDone: true}}, []Feature{CanRetain, CanRemoveDone}},
		{TopicConfig{Retention: Retention{Bytes: 1}}, []Feature{CanRetain}},
		{TopicConfig{Retention: Retention{Records: 1, LatestByKey: true}, Durability: Memory}, []Feature{CanRetain, CanKeepLatest, CanStoreInMemory}},
	} {
		if got := c.config.features(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v needs %v, want %v", c.config, got, c.want)
		}
	}
}
