package storage_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/leatmq/leat/storage"
)

// TestNamesForPeople: what is printed of events, levels, rules and refused strategies.
func TestNamesForPeople(t *testing.T) {
	for want, value := range map[string]any{
		`damage, topic "orders", partition 3: it stops there: bad sum`: storage.Event{
			Kind: storage.EventDamage, Topic: "orders", Partition: 3, Text: "it stops there", Err: errors.New("bad sum"),
		},
		"full":                   storage.Event{Kind: storage.EventFull},
		"background work failed": storage.EventWorkError,
		"event 0":                storage.EventKind(0),
		"event 200":              storage.EventKind(200),
		"compressed":             storage.Compressed,
		"level 9":                storage.Level(9),
		"RefuseNew":              storage.RefuseNew,
		"DropOldest":             storage.DropOldest,
		"Overflow(7)":            storage.Overflow(7),
		"storage: strategy: Level: one of the four":                   &storage.StrategyError{Field: "Level", Rule: "one of the four"},
		`storage: strategy of topic "orders": Level: one of the four`: &storage.StrategyError{Topic: "orders", Field: "Level", Rule: "one of the four"},
	} {
		if got := fmt.Sprint(value); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
