package bus

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no string
	}{
		{"orders", "orders", "order orders.created a.orders"},
		{"orders.*", "orders.created orders.eu", "orders orders.eu.created payments.created orders.dead"},
		{"*.created", "orders.created payments.created", "created orders.eu.created"},
		{"orders.#", "orders orders.created orders.eu.created", "order payments.orders orders.dead orders.eu.dead"},
		{"#", "orders orders.created a.b.c.d", "orders.dead dead replies.main replies"},
		{"#.created", "created orders.created orders.eu.created", "orders.created.eu orders"},
		{"orders.*.#", "orders.eu orders.eu.created", "orders"},
		{"orders.#.created", "orders.created orders.eu.created orders.eu.north.created", "orders.eu orders.created.eu"},
		{"#.eu.#", "eu a.eu eu.b a.eu.b a.b.eu.c.d", "a.b"},
		{"#.#", "a a.b", ""},
		{"*.*", "a.b", "a a.b.c"},
		{"#.a.#.b.#", "a.b x.a.y.b.z a.a.b.b", "b.a a"},
		{"*.dead", "orders.dead", "orders.created dead orders.eu.dead"},
		{"replies.#", "replies.main replies", "orders"},
	} {
		p, rule := parse(c.pattern)
		if rule != "" {
			t.Errorf("%s: %s", c.pattern, rule)
			continue
		}
		for _, name := range strings.Fields(c.yes) {
			if !p.matches(name) {
				t.Errorf("%s does not match %s", c.pattern, name)
			}
		}
		for _, name := range strings.Fields(c.no) {
			if p.matches(name) {
				t.Errorf("%s matches %s", c.pattern, name)
			}
		}
	}
	for _, bad := range []string{"", ".", "a..b", "a.", ".a", "a*", "**", "##.a", "a b", "ä", "a.#b"} {
		if _, rule := parse(bad); rule == "" {
			t.Errorf("%q is a pattern", bad)
		}
	}
}

// obviously is the definition, which may take for ever.
func obviously(p, words []string) bool {
	switch {
	case len(p) == 0:
		return len(words) == 0
	case p[0] == some:
		return obviously(p[1:], words) || len(words) > 0 && obviously(p, words[1:])
	case len(words) == 0:
		return false
	}
	return (p[0] == one || p[0] == words[0]) && obviously(p[1:], words[1:])
}

func TestMatchIsTheDefinition(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	some := func(of []string) []string {
		words := make([]string, rng.IntN(7))
		for i := range words {
			words[i] = of[rng.IntN(len(of))]
		}
		return words
	}
	matched := 0
	for range 50_000 {
		p, words := some([]string{"a", "b", "*", "#", "#"}), some([]string{"a", "b"})
		want := obviously(p, words)
		if got := match(p, words); got != want {
			t.Fatalf("%q against %q: %v, want %v", p, words, got, want)
		}
		if want {
			matched++
		}
	}
	if matched < 5000 {
		t.Errorf("only %d matched", matched)
	}
}

// A pattern of many # takes no time to speak of.
func TestMatchIsQuick(t *testing.T) {
	p, _ := parse(strings.Repeat("#.a.", 60) + "z")
	if p.matches(strings.Repeat("a.", 120) + "a") {
		t.Error("matches without a z")
	}
}
