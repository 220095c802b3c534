package leat_test

import (
	"go/ast"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// imports says which of our packages a package may import: one floor stands on another, nothing points up. A row ending in /...
// is for all below it; the longest row that fits a package counts. A package without a row has no place yet.
var imports = map[string][]string{
	"compress":                  {},
	"compress/compresstest":     {"compress"},
	"backpressure":              {},
	"retry":                     {},
	"retry/breaker":             {"retry"},
	"storage":                   {"compress"},
	"storage/internal/vfs":      {},
	"storage/internal/vfs/...":  {"storage/internal/vfs"},
	"storage/internal/frame":    {"compress", "storage"},
	"storage/internal/segment":  {"compress", "storage", "storage/internal/frame", "storage/internal/vfs"},
	"storage/internal/core":     {"storage", "storage/internal/frame"},
	"storage/blob":              {"storage", "storage/internal/vfs", "storage/internal/vfs/osfs"},
	"storage/disk":              {"storage", "storage/internal/..."},
	"storage/disk/disktest":     {"storage", "storage/blob", "storage/disk", "storage/internal/vfs", "storage/internal/vfs/memfs"},
	"storage/disk/internal/...": {"storage", "storage/internal/..."},
	"storage/mem":               {"storage", "storage/internal/core"},
	"storage/storagetest":       {"storage"},
	"storage/mutants":           {},
	"storage/branches":          {},
	"queue":                     {"backpressure", "retry"},
	"queue/bus":                 {"queue", "retry"},
	"queue/codec":               {"compress"},
	"queue/codec/codectest":     {"queue", "retry"},
	"queue/internal/...":        {"queue"},
	"queue/internal/timers":     {"storage"},
	"queue/batch":               {"backpressure", "retry"},
	"queue/claimcheck":          {"queue", "queue/embedded", "retry", "storage", "storage/blob"},
	"queue/compressed":          {"compress", "queue", "retry"},
	"queue/embedded":            {"backpressure", "dedup", "queue", "queue/internal/...", "storage", "storage/disk", "storage/mem"},
	"queue/queuetest":           {"backpressure", "queue", "queue/embedded", "retry", "storage", "storage/disk", "storage/disk/disktest"},
	"dedup":                     {},
	"dedup/deduptest":           {"dedup"},
	"cmd/leat":                  {"storage", "storage/disk"},
	"examples/...":              {"queue", "queue/embedded"},
	"examples/bus":              {"queue", "queue/bus", "queue/codec", "queue/embedded", "retry"},
	"examples/backpressure":     {"backpressure", "queue", "queue/embedded"},
	"examples/idempotent":       {"dedup", "queue", "queue/embedded"},
	"examples/retries":          {"queue", "queue/embedded", "retry"},
	"examples/typed":            {"queue", "queue/codec", "queue/embedded"},
	"examples/largefiles":       {"queue", "queue/claimcheck", "queue/embedded"},
	"examples/storage":          {"queue", "queue/embedded", "storage", "storage/disk"},
}

// importsOfTests says what the tests of a package may import beyond its row and itself.
var importsOfTests = map[string][]string{
	".":                {"queue", "queue/embedded"},
	"storage/...":      {"compress", "compress/...", "storage/..."},
	"storage/disk":     {"compress", "compress/...", "queue", "queue/embedded", "retry", "storage/..."}, // crash sweeps of what stands on it
	"compress":         {"compress/compresstest"},
	"dedup":            {"dedup/deduptest"},
	"queue":            {"queue/codec", "queue/embedded"},
	"queue/bus":        {"backpressure", "queue/..."},
	"queue/codec":      {"compress", "queue", "queue/codec/codectest", "queue/compressed"},
	"queue/...":        {"compress", "dedup/...", "queue/...", "retry", "storage/..."},
	"examples/...":     {},
	"queue/compressed": {"compress/compresstest", "queue/embedded", "queue/queuetest"},
}

// thirdParty says what the root module's tests, and packages that are for tests, may import from elsewhere. Nothing else may.
var thirdParty = []string{"go.uber.org/goleak", "pgregory.net/rapid", "github.com/anishathalye/porcupine"}

// thirdPartyOf says what a package is made of: modules, of which it may import any package.
var thirdPartyOf = map[string][]string{
	"backpressure": {"github.com/hashicorp/golang-lru/v2", "golang.org/x/time"},
	"compress":     {"github.com/klauspost/compress"},
	"queue":        {"golang.org/x/time"},
	"dedup":        {"github.com/bits-and-blooms/bloom/v3"},
}

// forbidden says what no library package may import, and why.
var forbidden = map[string]string{
	"C":              "no cgo",
	"unsafe":         "no unsafe",
	"encoding/gob":   "no decoder that builds types from stored data",
	"expvar":         "no globals",
	"flag":           "flags belong to programs",
	"log":            "the library is silent but for the *slog.Logger it was given",
	"net/http/pprof": "no globals",
	"os/signal":      "signals belong to programs",
	"os/exec":        "the library starts no process",
	"testing":        "tests stay in tests",
}

// sealed says what of the operating system no package of the storage engine may import but internal/vfs. The error numbers of
// syscall are free, to be compared with.
var sealed = []string{"os", "io/ioutil", "path/filepath", "golang.org/x/sys/unix", "golang.org/x/sys/windows"}

func TestImportTable(t *testing.T) {
	forEach(t, everything, func(t *testing.T, p *pkg) {
		row, ok := longestRow(imports, p.dir)
		if !ok && p.dir != "." {
			t.Errorf("%s has no row in the import table: where does it stand?", p.dir)
		}
		more, _ := longestRow(importsOfTests, p.dir)
		forTests := append(slices.Concat(row, more), p.dir)
		for _, s := range p.files {
			allowed := row
			if s.test {
				allowed = forTests
			}
			for _, name := range s.imports() {
				ours, ok := strings.CutPrefix(name, module+"/")
				if ok && !fitsAny(allowed, ours) {
					t.Errorf("%s imports %s, which is not in the row of %s", s.path, ours, p.dir)
				}
			}
		}
	})
}

// TestImportTableHasNoCircles holds the table itself, of which the compiler sees only what is used.
func TestImportTableHasNoCircles(t *testing.T) {
	var visit func(row string, way []string)
	visit = func(row string, way []string) {
		if slices.Contains(way, row) {
			t.Fatalf("circle: %s", strings.Join(append(way, row), " -> "))
		}
		for _, to := range imports[row] {
			for _, next := range slices.Sorted(maps.Keys(imports)) {
				if next != row && (fits(to, next) || fits(next, to)) {
					visit(next, append(slices.Clone(way), row))
				}
			}
		}
	}
	for row := range imports {
		visit(row, nil)
	}
}

func TestThirdPartyImports(t *testing.T) {
	forEach(t, everything, func(t *testing.T, p *pkg) {
		for _, s := range p.files {
			for _, name := range s.imports() {
				host, _, _ := strings.Cut(name, "/")
				if !strings.Contains(host, ".") || name == module || strings.HasPrefix(name, module+"/") {
					continue
				}
				made := func(of string) bool { return name == of || strings.HasPrefix(name, of+"/") }
				if slices.ContainsFunc(thirdPartyOf[p.dir], made) {
					continue
				}
				if !(s.test || p.forTests()) || !slices.Contains(thirdParty, name) {
					t.Errorf("%s imports %s", s.path, name)
				}
			}
		}
	})
}

func TestForbiddenImports(t *testing.T) {
	forEach(t, (*pkg).library, func(t *testing.T, p *pkg) {
		for s := range p.sources {
			for _, name := range s.imports() {
				why, ok := forbidden[name]
				if ok && !(p.forTests() && name == "testing") {
					t.Errorf("%s imports %s: %s", s.path, name, why)
				}
			}
		}
	})
}

// TestOnlyVFSTouchesTheSystem: whatever else of the storage engine touched a file would do so unseen by the crash and fault loops.
func TestOnlyVFSTouchesTheSystem(t *testing.T) {
	storage := func(p *pkg) bool {
		return p.library() && fits("storage/...", p.dir+"/") && !fits("storage/internal/vfs/...", p.dir)
	}
	forEach(t, storage, func(t *testing.T, p *pkg) {
		for s := range p.sources {
			for _, name := range s.imports() {
				if slices.Contains(sealed, name) {
					t.Errorf("%s imports %s: files are reached through storage/internal/vfs", s.path, name)
				}
			}
			ast.Inspect(s.syntax, func(n ast.Node) bool {
				x, ok := n.(*ast.SelectorExpr)
				if ok && strings.HasPrefix(selector(x), "syscall.") && !strings.HasPrefix(x.Sel.Name, "E") {
					t.Errorf("%s: %s: files are reached through storage/internal/vfs", s.at(n), selector(x))
				}
				return true
			})
		}
	})
}

func TestLibraryIsSilent(t *testing.T) {
	calls := map[string]string{
		"os.Exit": "the library never exits", "os.Stdout": "standard streams belong to programs",
		"os.Stderr": "standard streams belong to programs", "os.Stdin": "standard streams belong to programs",
		"fmt.Print": "standard output belongs to programs", "fmt.Println": "standard output belongs to programs",
		"fmt.Printf": "standard output belongs to programs", "http.DefaultServeMux": "the library never listens",
		"slog.Default": "a logger is given, never found", "slog.SetDefault": "a logger is given, never set",
		"time.Sleep": "every wait ends with a context",
	}
	forApplications := func(p *pkg) bool { return p.library() && !p.forTests() }
	forEach(t, forApplications, func(t *testing.T, p *pkg) {
		for s := range p.sources {
			ast.Inspect(s.syntax, func(n ast.Node) bool {
				x, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if why := calls[selector(x)]; why != "" {
					t.Errorf("%s: %s: %s", s.at(n), selector(x), why)
				}
				return true
			})
		}
	})
}

func (s *source) imports() []string {
	var names []string
	for _, i := range s.syntax.Imports {
		if name, err := strconv.Unquote(i.Path.Value); err == nil {
			names = append(names, name)
		}
	}
	return names
}

// longestRow returns the row of table that fits dir best.
func longestRow(table map[string][]string, dir string) (row []string, ok bool) {
	best := ""
	for pattern, r := range table {
		if named := strings.TrimSuffix(pattern, "/..."); fits(pattern, dir) && (!ok || len(named) > len(best)) {
			best, row, ok = named, r, true
		}
	}
	return row, ok
}

// fits reports whether dir is what pattern names: itself, or anything below what stands before its /... .
func fits(pattern, dir string) bool {
	below, ok := strings.CutSuffix(pattern, "/...")
	if !ok {
		return pattern == dir
	}
	return strings.HasPrefix(dir, below+"/")
}

func fitsAny(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, dir) })
}
