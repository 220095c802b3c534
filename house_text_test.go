package leat_test

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	link        = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	machinePath = regexp.MustCompile("(^|[\\s\"'`(=])(/(home|Users|root|work)/|[A-Z]:\\\\(Users|work))")
)

func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	links := 0
	forEachText(t, ".md", func(t *testing.T, name string, text []byte) {
		for _, m := range link.FindAllSubmatch(text, -1) {
			target, _, _ := strings.Cut(string(m[1]), "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(filepath.FromSlash(path.Dir(name)), filepath.FromSlash(target))); err != nil {
				t.Errorf("%s links to %s, which is not there", name, target)
			}
		}
	})
	t.Logf("%d links", links)
}

func TestNoPathsOfOneMachine(t *testing.T) {
	forEachText(t, "", func(t *testing.T, name string, text []byte) {
		if bytes.IndexByte(text, 0) >= 0 || strings.Contains(name, "testdata/") {
			return
		}
		for i, l := range bytes.Split(text, []byte("\n")) {
			if machinePath.Match(l) {
				t.Errorf("%s:%d: %s", name, i+1, bytes.TrimSpace(l))
			}
		}
	})
}

// TestNoSleeps: time is tested in bubbles, where it passes by itself.
func TestNoSleeps(t *testing.T) {
	forEach(t, everything, func(t *testing.T, p *pkg) {
		for s := range p.tests {
			if slices.Contains(s.imports(), "testing/synctest") {
				continue
			}
			ast.Inspect(s.syntax, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && selector(call.Fun) == "time.Sleep" {
					t.Errorf("%s: a sleep outside a bubble", s.at(n))
				}
				return true
			})
		}
	})
}

// TestGoroutinesAreWatched: a package that starts goroutines fails its tests when one is left over.
func TestGoroutinesAreWatched(t *testing.T) {
	starts := func(p *pkg) bool {
		found := false
		for s := range p.sources {
			ast.Inspect(s.syntax, func(n ast.Node) bool {
				if _, ok := n.(*ast.GoStmt); ok {
					found = true
				}
				return !found
			})
		}
		return found && !p.forTests()
	}
	forEach(t, starts, func(t *testing.T, p *pkg) {
		for s := range p.tests {
			if slices.Contains(s.imports(), "go.uber.org/goleak") {
				return
			}
		}
		t.Errorf("%s starts goroutines, and none of its tests looks for those that are left", p.dir)
	})
}

// TestPrintLargest judges nothing: sizes are for the eye.
func TestPrintLargest(t *testing.T) {
	type size struct {
		name  string
		lines int
	}
	var files, funcs []size
	forEach(t, everything, func(_ *testing.T, p *pkg) {
		for _, s := range p.files {
			files = append(files, size{s.path, s.line(s.syntax.FileEnd) - 1})
			for _, decl := range s.syntax.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok {
					funcs = append(funcs, size{s.at(f) + " " + f.Name.Name, s.line(f.End()) - s.line(f.Pos()) + 1})
				}
			}
		}
	})
	for _, list := range [][]size{files, funcs} {
		slices.SortFunc(list, func(a, b size) int { return cmp.Or(b.lines-a.lines, cmp.Compare(a.name, b.name)) })
		var b strings.Builder
		for _, x := range list[:min(len(list), 12)] {
			fmt.Fprintf(&b, "%5d  %s\n", x.lines, x.name)
		}
		t.Logf("largest of %d:\n%s", len(list), b.String())
	}
}

// promised is a test that GUARANTEES.md names: its package, its name, and perhaps one of its cases.
var promised = regexp.MustCompile("`([a-z/]*)\\.((?:Test|Fuzz)\\w+)(?:/(\\w+))?`")

func TestGuaranteesNameTestsThatExist(t *testing.T) {
	names, texts := map[string]bool{}, map[string]string{}
	forEach(t, everything, func(t *testing.T, p *pkg) {
		for name := range p.testNames {
			names[strings.TrimPrefix(p.dir, ".")+"."+name] = true
		}
		for _, s := range p.files {
			if !s.test && !p.forTests() {
				continue
			}
			text, err := os.ReadFile(filepath.FromSlash(s.path))
			if err != nil {
				t.Fatal(err)
			}
			texts[p.dir] += string(text)
		}
	})
	text, err := os.ReadFile("GUARANTEES.md")
	if err != nil {
		t.Fatal(err)
	}
	mentions := promised.FindAllStringSubmatch(string(text), -1)
	for _, m := range mentions {
		if !names[m[1]+"."+m[2]] {
			t.Errorf("GUARANTEES.md names %s, which does not exist", m[0])
		}
		suite := texts[m[1]] + texts["storage/storagetest"] + texts["queue/queuetest"]
		if m[3] != "" && !strings.Contains(suite, `"`+m[3]+`"`) {
			t.Errorf("GUARANTEES.md names %s, which has no such case", m[0])
		}
	}
	if len(mentions) == 0 {
		t.Error("GUARANTEES.md names no test")
	}
	t.Logf("%d mentions", len(mentions))
}

// TestReadmeShowsWhatRuns: the program of README.md is the example of this folder, and so is its output.
func TestReadmeShowsWhatRuns(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(readme), "```go\n")
	program, rest, _ := strings.Cut(program, "```")
	_, body, _ := strings.Cut(program, "func main() {\n")
	body = strings.ReplaceAll(strings.TrimSuffix(body, "}\n"), `"data"`, "dir")
	if body == "" || !strings.Contains(string(example), body) {
		t.Errorf("the program of README.md is not that of example_test.go:\n%s", body)
	}
	_, output, _ := strings.Cut(rest, "```text\n")
	output, _, _ = strings.Cut(output, "```")
	output = "\t// Output:\n" + regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(output, "\t// $1")
	if !strings.Contains(string(example), output) {
		t.Errorf("the output in README.md is not that of example_test.go:\n%s", output)
	}
}

// forEachText runs rule over the files of the repository whose name ends in ext.
func forEachText(t *testing.T, ext string, rule func(t *testing.T, name string, text []byte)) {
	t.Helper()
	h, err := house()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range h.texts {
		if !strings.HasSuffix(name, ext) {
			continue
		}
		text, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		seen++
		rule(t, name, text)
	}
	if seen == 0 {
		t.Errorf("no file ends in %q: the rule holds nothing", ext)
	}
}
