// Package leat_test holds the rules of the house: who may import whom, what every package ships with, and that documents say
// what is there. It reads the tree as text, so that files for other systems count too.
package leat_test

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/leatmq/leat"

// pkg is a directory with Go files.
type pkg struct {
	dir   string // below the root, with slashes; "." for the root
	name  string // of the files that are not tests
	files []*source
}

// source is one Go file, for whatever system.
type source struct {
	path   string // below the root, with slashes
	test   bool
	syntax *ast.File
	fset   *token.FileSet
}

func (s *source) at(n ast.Node) string {
	p := s.fset.Position(n.Pos())
	return s.path + ":" + strconv.Itoa(p.Line)
}

// library reports whether applications import p.
func (p *pkg) library() bool { return p.name != "" && p.name != "main" }

// public reports whether p is for applications, not for tests alone or for ourselves.
func (p *pkg) public() bool {
	return p.library() && !slices.Contains(strings.Split(p.dir, "/"), "internal") && !p.forTests()
}

// forTests reports whether p is imported by tests only, by its name.
func (p *pkg) forTests() bool { return strings.HasSuffix(p.name, "test") }

// sources yields the files of p that are not tests.
func (p *pkg) sources(yield func(*source) bool) {
	for _, s := range p.files {
		if !s.test && !yield(s) {
			return
		}
	}
}

// tests yields the test files of p.
func (p *pkg) tests(yield func(*source) bool) {
	for _, s := range p.files {
		if s.test && !yield(s) {
			return
		}
	}
}

// tree is what the rules look at: the packages of the root module, and the files of the whole repository.
type tree struct {
	packages []*pkg
	texts    []string // every file but those of .git, below the root
	nested   []string // directories of other modules
}

// house returns the tree, read once.
var house = sync.OnceValues(readTree)

func readTree() (*tree, error) {
	t := &tree{}
	byDir := map[string]*pkg{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case d.IsDir():
			return nil
		case d.Type().IsRegular() && name != ".git": // a file in a second work tree
			t.texts = append(t.texts, name)
		}
		if d.Name() == "go.mod" && name != "go.mod" {
			t.nested = append(t.nested, path.Dir(name))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range t.texts {
		if path.Ext(name) != ".go" || t.foreign(name) {
			continue
		}
		if err := readSource(fset, byDir, name); err != nil {
			return nil, err
		}
	}
	for _, p := range byDir {
		t.packages = append(t.packages, p)
	}
	slices.SortFunc(t.packages, func(a, b *pkg) int { return cmp.Compare(a.dir, b.dir) })
	return t, nil
}

// foreign reports whether the Go file name belongs to no package of the root module.
func (t *tree) foreign(name string) bool {
	for _, n := range t.nested {
		if strings.HasPrefix(name, n+"/") {
			return true
		}
	}
	for _, element := range strings.Split(path.Dir(name), "/") {
		if element == "testdata" || element != "." && strings.HasPrefix(element, ".") || strings.HasPrefix(element, "_") {
			return true
		}
	}
	return false
}

func readSource(fset *token.FileSet, byDir map[string]*pkg, name string) error {
	src, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	p := byDir[dir]
	if p == nil {
		p = &pkg{dir: dir}
		byDir[dir] = p
	}
	s := &source{path: name, test: strings.HasSuffix(name, "_test.go"), syntax: file, fset: fset}
	p.files = append(p.files, s)
	if !s.test {
		p.name = file.Name.Name
	}
	return nil
}

// forEach runs rule over the packages that match, and fails if there is none: a rule that looks at nothing holds nothing.
func forEach(t *testing.T, match func(*pkg) bool, rule func(*testing.T, *pkg)) {
	t.Helper()
	h, err := house()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, p := range h.packages {
		if match(p) {
			seen++
			rule(t, p)
		}
	}
	if seen == 0 {
		t.Error("no package matches: the rule holds nothing")
	}
	t.Logf("%d packages", seen)
}

func everything(*pkg) bool { return true }
