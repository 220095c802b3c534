package leat_test

import (
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// spec says which package and type serves each name of the architecture document that the library was commissioned from, as far
// as it is built. A reader who knows the document finds each one here.
var spec = map[string]string{
	"BackpressureController": "backpressure.Controller",
	"DeduplicationManager":   "dedup.Filter",
	"IdempotentConsumer":     "dedup.Idempotent",
	"IdempotencyStorage":     "dedup.Store",

	"MessageCompressor":    "queue/compressed.Compressor",
	"Compression.Strategy": "compress.Selector",
	"Compression.Monitor":  "compress.Stats",

	"BatchProcessor": "queue/batch.Processor",
	"BatchConfig":    "queue/batch.Config",
	"BatchQueue":     "queue/batch.Processor.Add",
	"BatchExecutor":  "queue/batch.Func",
	"BatchMonitor":   "queue/batch.Stats",

	"Message":           "queue.Message",
	"Topic":             "queue.TopicConfig",
	"Partition":         "queue.Pin",
	"Broker":            "queue.Broker",
	"Producer":          "queue.Broker.Publish",
	"Consumer":          "queue.Broker.Consume",
	"ConsumerGroup":     "queue.Group",
	"MessageStorage":    "storage.Store",
	"memory store":      "storage/mem.Store",
	"disk store":        "storage/disk.Store",
	"StorageStrategy":   "storage.Strategy",
	"SyncPolicy":        "storage.SyncPolicy",
	"Level":             "storage.Level",
	"CompressionPolicy": "storage.CompressionPolicy",
	"CleanupPolicy":     "storage.CleanupPolicy",
	"backup store":      "storage/disk.Store.Snapshot",
	"compressed store":  "storage.CompressionPolicy",
	"AckStore":          "storage.Cursor",
	"MessageAck":        "queue.Settlement",
	"in-memory backend": "queue/embedded.InMemory",
	"Algorithms":        "compress.Set",
	"EventBus":          "queue/bus.Bus",
	"MessageSerializer": "queue.Codec",
	"RetryManager":      "queue.Failure",
	"DeadLetterQueue":   "queue.DeadLetters",
	"RetryConfig":       "retry.Policy",
	"RetryProcessor":    "retry.Runner",
	"ProcessWithRetry":  "retry.Do",
}

func TestSpecNames(t *testing.T) {
	declared := map[string]bool{}
	forEach(t, (*pkg).library, func(_ *testing.T, p *pkg) {
		for s := range p.sources {
			for name := range s.declared {
				declared[p.dir+"."+name] = true
			}
		}
	})
	for _, name := range slices.Sorted(maps.Keys(spec)) {
		if !declared[spec[name]] {
			t.Errorf("%s is said to be %s, which does not exist", name, spec[name])
			continue
		}
		t.Logf("%-18s %s", name, spec[name])
	}
}

// declared yields the exported names of s: functions, types, and methods as Type.Method.
func (s *source) declared(yield func(string) bool) {
	for _, decl := range s.syntax.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = receiver(d) + "." + name
			}
			if !yield(name) {
				return
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if x, ok := spec.(*ast.TypeSpec); ok && !yield(x.Name.Name) {
					return
				}
			}
		}
	}
}

// testNames yields the tests, examples, benchmarks and fuzz targets of p.
func (p *pkg) testNames(yield func(string) bool) {
	for s := range p.tests {
		for name := range s.declared {
			for _, kind := range []string{"Test", "Example", "Benchmark", "Fuzz"} {
				if strings.HasPrefix(name, kind) && !yield(name) {
					return
				}
			}
		}
	}
}
