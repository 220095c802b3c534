package queue

import (
	"errors"
	"math"
	"slices"
	"testing"
)

func TestPin(t *testing.T) {
	if n, ok := (Pin{}).N(); ok {
		t.Errorf("the zero Pin names partition %d, want none", n)
	}
	for _, n := range []int{0, 1, 65535} {
		if got, ok := PinTo(n).N(); got != n || !ok {
			t.Errorf("PinTo(%d).N() = %d, %v", n, got, ok)
		}
	}
	for _, n := range []int{-1, math.MinInt, math.MaxInt} {
		if got, ok := PinTo(n).N(); got >= 0 || !ok {
			t.Errorf("PinTo(%d).N() = %d, %v, want a partition that cannot be", n, got, ok)
		}
	}
}

func TestHeaders(t *testing.T) {
	base := make(Headers, 0, 8).With("tenant", "a")
	one, two := base.With("source", "x"), base.With("source", "y")
	if got := one.Get("source"); got != "x" {
		t.Errorf(`Get = %q, want "x": With must copy`, got)
	}
	if got := two.Get("tenant") + two.Get("source") + two.Get("absent"); got != "ay" {
		t.Errorf(`got %q, want "ay"`, got)
	}
	if got := (Headers{{"k", []byte("1")}, {"k", []byte("2")}}).Get("k"); got != "1" {
		t.Errorf("Get = %q, want the first", got)
	}
}

func TestMessageCheck(t *testing.T) {
	many := slices.Repeat(Headers{{Key: "k"}}, MaxHeaders)
	for _, c := range []struct {
		name string
		m    Message
		ok   bool
		is   error // nil: a *ConfigError
	}{
		{"zero", Message{}, true, nil},
		{"at the limit", Message{Key: make([]byte, 30), Value: make([]byte, 70)}, true, nil},
		{"key, value and headers count", Message{Key: make([]byte, 30), Value: make([]byte, 69), Headers: Headers{{Key: "kk"}}}, false, ErrTooLarge},
		{"64 headers", Message{Headers: many}, true, nil},
		{"65 headers", Message{Headers: many.With("k", "")}, false, ErrTooLarge},
		{"empty header key", Message{Headers: Headers{{}}}, false, nil},
		{"reserved header", Message{Headers: Headers{{Key: "leat-origin"}}}, false, nil},
		{"nearly reserved header", Message{Headers: Headers{{Key: "leat"}}}, true, nil},
		{"pinned", Message{Partition: PinTo(3)}, true, nil},
		{"pinned below 0", Message{Partition: PinTo(-3)}, false, nil},
	} {
		err := c.m.check(100)
		var config *ConfigError
		switch {
		case c.ok:
			if err != nil {
				t.Errorf("%s: %v, want nil", c.name, err)
			}
		case c.is != nil:
			if !errors.Is(err, c.is) {
				t.Errorf("%s: %v, want %v", c.name, err, c.is)
			}
		case !errors.As(err, &config):
			t.Errorf("%s: %v, want a *ConfigError", c.name, err)
		}
	}
	big := Message{Headers: Headers{{Key: "k", Value: make([]byte, MaxHeaderBytes)}}}
	if err := big.check(0); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d bytes of headers: %v, want ErrTooLarge", MaxHeaderBytes+1, err)
	}
	worst := Message{Headers: Headers{{Key: "leat-x"}, {}}, Partition: PinTo(-1)}
	var config *ConfigError
	if err := worst.check(0); !errors.As(err, &config) || len(config.Faults) != 3 {
		t.Errorf("%v: want all three faults at once", err)
	}
}

func TestDurabilityString(t *testing.T) {
	for d, want := range map[Durability]string{0: "none", Memory: "Memory", OS: "OS", Interval: "Interval", Synced: "Synced", 9: "Durability(9)"} {
		if got := d.String(); got != want {
			t.Errorf("Durability %d: %q, want %q", uint8(d), got, want)
		}
	}
	if Memory >= OS || OS >= Interval || Interval >= Synced {
		t.Error("durabilities must grow")
	}
}
