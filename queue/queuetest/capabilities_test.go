package queuetest

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

var update = flag.Bool("update", false, "write queue/CAPABILITIES.md anew")

// TestCapabilityTable holds the document against what the engines of this module claim.
func TestCapabilityTable(t *testing.T) {
	dir := t.TempDir()
	var all []queue.Capabilities
	for _, e := range []struct {
		name string
		open func() (*queue.Broker, error)
	}{
		{"in memory", func() (*queue.Broker, error) { return embedded.InMemory(embedded.Options{}) }},
		{"on disk", func() (*queue.Broker, error) { return embedded.Open(dir, embedded.Options{}) }},
		{"on disk, to be read", func() (*queue.Broker, error) { return embedded.OpenReadOnly(dir, embedded.Options{}) }},
	} {
		b, err := e.open()
		if err != nil {
			t.Fatal(err)
		}
		c := b.Engine().Capabilities()
		c.Name = e.name
		all = append(all, c)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	const file = "../CAPABILITIES.md"
	text := "# What the engines can do\n\n" +
		"Made of what they claim by `go test ./queue/queuetest -run TestCapabilityTable -update`, and held by `queuetest.TestEngine`: what is claimed works, what is not is refused\n" +
		"with `ErrUnsupported` before anything happens. The engine of package `queue/embedded`:\n\n" + CapabilityTable(all...)
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ReplaceAll(string(have), "\r\n", "\n") != text {
		t.Errorf("%s is stale: write it anew by -update. It should be:\n%s", file, text)
	}
}

func TestCapabilityTableTellsGrades(t *testing.T) {
	got := CapabilityTable(queue.Capabilities{Name: "other", MaxBytes: 7, Features: map[queue.Feature]queue.Grade{
		queue.CanLease: {Emulated: true, Limit: "no sooner than a second"},
		queue.CanRead:  {Limit: "one partition at a time"},
		queue.CanShare: {},
	}})
	for _, line := range []string{
		"| lease | `Deliveries` | emulated: no sooner than a second |",
		"| read without a group | `Read` | yes: one partition at a time |",
		"| share partitions | `Group.Order`: `Unordered` | yes |",
		"| marks | `Tx.Mark`, `Delivery.Mark` | no |",
		"| the largest message | `TopicConfig.MaxBytes` | 7 bytes |",
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("%s is not in the table:\n%s", line, got)
		}
	}
}

// TestFeaturesAreAllKnown: whoever adds a feature to package queue says here what asks for it.
func TestFeaturesAreAllKnown(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../engine.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := v.Type.(*ast.Ident); ok && typ.Name == "Feature" {
			declared = append(declared, strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`))
		}
		return false
	})
	var known []string
	for _, f := range features() {
		known = append(known, string(f.Feature))
	}
	slices.Sort(declared)
	slices.Sort(known)
	if !slices.Equal(declared, known) {
		t.Errorf("features() has %q, engine.go has %q", known, declared)
	}
}
