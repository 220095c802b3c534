package queue

import (
	"errors"
	"testing"
)

// TestAdminOfAnEngineThatCannot: what the engine has no interface for is refused before anything happens.
func TestAdminOfAnEngineThatCannot(t *testing.T) {
	b, err := New(newSliceEngine(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, ctx := b.Admin(), t.Context()
	_, topics := a.Topics(ctx)
	_, topic := a.Topic(ctx, "t")
	_, purge := a.Purge(ctx, "t")
	_, groups := a.Groups(ctx)
	_, group := a.Group(ctx, "g")
	for what, err := range map[string]error{
		"Topics": topics, "Topic": topic, "Purge": purge, "DeleteTopic": a.DeleteTopic(ctx, "t"),
		"Groups": groups, "Group": group, "DeleteGroup": a.DeleteGroup(ctx, "g"),
	} {
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v, want ErrUnsupported", what, err)
		}
	}
}
