package bus

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/leatmq/leat/queue"
)

// Binding says which handler of a subscriber gets what. It is a value; the same one may be given to several.
type Binding struct {
	text    string
	pattern bool
	handler queue.Handler
}

// On binds the events of a type, which are the messages of its topic. What cannot be decoded is a dead letter at once, as queue.Topic.Consume has it.
func On[T any](t queue.Topic[T], fn func(ctx context.Context, d *queue.Delivery, v T) error) Binding {
	return Binding{text: t.Name(), handler: queue.Handle(t, fn)}
}

// Match binds the events of all topics whose names are of the pattern: words with dots between them, of which * stands for one word and # for any number of words, none too. So orders.* has
// orders.created, and orders.# has orders, orders.created and orders.eu.created. The topics may be made later. Neither stands for the word dead at the end of a name, nor for the word replies at its beginning:
// dead letters and answers are no events. A pattern that says these words gets them.
//
// A topic that has a binding of its own in the same subscriber goes there, and of several patterns the first has it.
func Match(pattern string, h queue.Handler) Binding {
	return Binding{text: pattern, pattern: true, handler: h}
}

// table is what the bindings of one subscriber come to.
type table struct {
	exact    map[string]queue.Handler
	patterns []patterned
	never    string // a topic that is of no pattern
}

type patterned struct {
	pattern pattern
	handler queue.Handler
}

// newTable judges bindings.
func newTable(g *queue.Group, bs []Binding) (*table, error) {
	t := &table{exact: map[string]queue.Handler{}, never: g.Failure.DeadLetter}
	e := &queue.ConfigError{Subject: "subscriber " + strconv.Quote(g.Name)}
	fault := func(field, have, rule string) {
		e.Faults = append(e.Faults, queue.Fault{Field: field, Have: have, Rule: rule})
	}
	if len(bs) == 0 {
		fault("bindings", "", "at least one")
	}
	if len(g.Topics) > 0 {
		fault("Topics", strings.Join(g.Topics, ", "), "empty: the bindings say them")
	}
	for _, b := range bs {
		if b.handler == nil {
			fault("handler", "", fmt.Sprintf("of %.300q must not be nil", b.text))
		}
		if !b.pattern {
			if t.exact[b.text] != nil {
				fault("bindings", strconv.Quote(b.text), "bound once")
			}
			t.exact[b.text] = b.handler
			continue
		}
		p, rule := parse(b.text)
		if rule != "" {
			fault("pattern", fmt.Sprintf("%.300q", b.text), rule)
		}
		t.patterns = append(t.patterns, patterned{p, b.handler})
	}
	if len(e.Faults) > 0 {
		return nil, e
	}
	return t, nil
}

// handler returns who gets the events of a topic, nil if nobody does.
func (t *table) handler(topic string) queue.Handler {
	if h := t.exact[topic]; h != nil {
		return h
	}
	if topic == t.never {
		return nil
	}
	for _, p := range t.patterns {
		if p.pattern.matches(topic) {
			return p.handler
		}
	}
	return nil
}

// route returns which of the topics that there are somebody gets, together with those that are named, and the handler of all of them.
func (t *table) route(there []string) ([]string, queue.Handler) {
	byTopic := make(map[string]queue.Handler, len(t.exact))
	var topics []string
	for name, h := range t.exact {
		byTopic[name] = h
		topics = append(topics, name)
	}
	for _, name := range there {
		if h := t.handler(name); h != nil && byTopic[name] == nil {
			byTopic[name] = h
			topics = append(topics, name)
		}
	}
	slices.Sort(topics)
	return topics, queue.Route(byTopic)
}
