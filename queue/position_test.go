package queue

import (
	"math"
	"testing"
)

func TestPositionText(t *testing.T) {
	for _, c := range []struct {
		p    Position
		want string
	}{
		{Position{}, ""},
		{PositionAt("orders", 3, 42), "orders/3@42"},
		{PositionAt("orders", 0, 0), "orders/0@0"},
		{NewPosition("a.b-c_d", 65535, 0xbeef, math.MaxInt64), "a.b-c_d/65535@9223372036854775807.beef"},
		{NewPosition("odd/7@1.2", 1, math.MaxUint64, 2), "odd/7@1.2/1@2.ffffffffffffffff"},
	} {
		text, err := c.p.MarshalText()
		if err != nil || string(text) != c.want || c.p.String() != c.want {
			t.Errorf("text %q, %v, string %q, want %q", text, err, c.p, c.want)
		}
		back := PositionAt("other", 9, 9)
		if err := back.UnmarshalText(text); err != nil || back != c.p {
			t.Errorf("%q read back as %q, %v", c.want, back, err)
		}
	}
}

func TestPositionTextRefused(t *testing.T) {
	for _, s := range []string{
		"orders", "orders/3", "orders/3@", "/3@42", "orders/-1@42", "orders/3@-42", "orders/03@42", "orders/3@+42",
		"orders/3@42.", "orders/3@42.0", "orders/3@42.BEEF", "orders/3@42.0f", "orders/3@42.1.2", "orders/3@42 ",
		"orders/4294967299@42", "orders/3@9223372036854775808", "orders/3@42.10000000000000000", "/0@0",
	} {
		p := PositionAt("kept", 1, 1)
		if err := p.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q was read as %q, want an error: every position has one text", s, p)
		}
		if p != PositionAt("kept", 1, 1) {
			t.Errorf("%q changed the position", s)
		}
	}
	for _, p := range []Position{PositionAt("t", -1, 0), PositionAt("t", 0, -1), PositionAt("", 0, 1), PositionAt("t", math.MaxInt, 0)} {
		if text, err := p.MarshalText(); err == nil {
			t.Errorf("%q was written, want an error: it could not be read back", text)
		}
	}
}

func TestPositionCovers(t *testing.T) {
	at := func(inc uint64, offset int64) Position { return NewPosition("t", 1, inc, offset) }
	for _, c := range []struct {
		name string
		p, q Position
		want bool
	}{
		{"itself", at(7, 5), at(7, 5), true},
		{"before", at(7, 5), at(7, 4), true},
		{"after", at(7, 5), at(7, 6), false},
		{"other incarnation", at(7, 5), at(8, 4), false},
		{"by hand", at(0, 5), at(8, 4), true},
		{"of by hand", at(8, 5), at(0, 4), true},
		{"other partition", at(7, 5), NewPosition("t", 2, 7, 4), false},
		{"other topic", at(7, 5), NewPosition("u", 1, 7, 4), false},
		{"zero covers", Position{}, at(7, 5), false},
		{"zero covered", at(7, 5), Position{}, false},
		{"zero and zero", Position{}, Position{}, false},
	} {
		if got := c.p.Covers(c.q); got != c.want {
			t.Errorf("%s: %q covers %q = %v, want %v", c.name, c.p, c.q, got, c.want)
		}
	}
}

func TestPositionParts(t *testing.T) {
	p := NewPosition("t", 4, 9, 11)
	if offset, ok := p.Offset(); p.Topic() != "t" || p.Partition() != 4 || p.Incarnation() != 9 || offset != 11 || !ok {
		t.Errorf("parts of %q are wrong", p)
	}
	if _, ok := (Position{}).Offset(); ok {
		t.Error("the zero Position has an offset")
	}
	if p := PositionAt("t", 1<<32, 1); p.Partition() != -1 {
		t.Errorf("partition 1<<32 became %d, want -1: never another partition", p.Partition())
	}
}

func FuzzPositionText(f *testing.F) {
	f.Add("orders/3@42.beef")
	f.Add("orders/3@42")
	f.Add("")
	f.Add("a/0@0/0@0.1")
	f.Fuzz(func(t *testing.T, s string) {
		var p Position
		if p.UnmarshalText([]byte(s)) != nil {
			return
		}
		text, err := p.MarshalText()
		if err != nil || string(text) != s {
			t.Fatalf("%q was read, and written back as %q, %v", s, text, err)
		}
	})
}
