package leat_test

import (
	"go/ast"
	"go/doc"
	"go/token"
	"slices"
	"strings"
	"testing"
)

func TestPackageComments(t *testing.T) {
	withCode := func(p *pkg) bool { return p.name != "" }
	forEach(t, withCode, func(t *testing.T, p *pkg) {
		var comment string
		for s := range p.sources {
			comment += s.syntax.Doc.Text()
		}
		switch {
		case comment == "":
			t.Errorf("%s has no package comment", p.dir)
		case p.library() && !strings.HasPrefix(comment, "Package "+p.name+" "):
			t.Errorf("%s: the package comment does not begin with %q", p.dir, "Package "+p.name)
		}
	})
}

// TestExportedNamesAreDocumented asks for a comment on every exported function, method, type, constant and variable, and on every
// method of an exported interface that does not stand under the comment of its neighbour. Error, Unwrap and
// String say what they always say, and the comment on an interface of one method is that method's.
func TestExportedNamesAreDocumented(t *testing.T) {
	names, bare := 0, 0
	forEach(t, (*pkg).library, func(t *testing.T, p *pkg) {
		for s := range p.sources {
			for _, decl := range s.syntax.Decls {
				switch d := decl.(type) {
				case *ast.FuncDecl:
					if exportedFunc(d) {
						names++
						s.wantDoc(t, d, d.Name, d.Doc)
					}
				case *ast.GenDecl:
					n, b := s.checkGroup(t, d)
					names, bare = names+n, bare+b
				}
			}
		}
	})
	t.Logf("%d exported names; %d fields of exported structs are left to their names", names, bare)
}

func exportedFunc(d *ast.FuncDecl) bool {
	switch {
	case !d.Name.IsExported():
		return false
	case d.Recv == nil:
		return true
	case slices.Contains([]string{"Error", "Unwrap", "String"}, d.Name.Name):
		return false
	}
	return ast.IsExported(receiver(d))
}

// receiver returns the name of the type that d is a method of.
func receiver(d *ast.FuncDecl) string {
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// wantDoc wants a comment that begins with the name, an article before it allowed.
func (s *source) wantDoc(t *testing.T, at ast.Node, name *ast.Ident, comment *ast.CommentGroup) {
	words := strings.Fields(comment.Text())
	if len(words) > 1 && (words[0] == "A" || words[0] == "An" || words[0] == "The") {
		words = words[1:]
	}
	switch {
	case len(words) == 0:
		t.Errorf("%s: %s has no comment", s.at(at), name.Name)
	case strings.Trim(words[0], ",:.'") != name.Name:
		t.Errorf("%s: the comment on %s does not begin with the name", s.at(at), name.Name)
	}
}

// checkGroup returns how many exported names d declares, and how many exported fields have no comment.
func (s *source) checkGroup(t *testing.T, d *ast.GenDecl) (names, bare int) {
	for _, spec := range d.Specs {
		switch x := spec.(type) {
		case *ast.TypeSpec:
			if !x.Name.IsExported() {
				continue
			}
			names++
			comment := x.Doc
			if comment == nil {
				comment = d.Doc
			}
			s.wantDoc(t, x, x.Name, comment)
			bare += s.checkMembers(t, x)
		case *ast.ValueSpec:
			for _, name := range x.Names {
				if !name.IsExported() {
					continue
				}
				names++
				if d.Doc == nil && x.Doc == nil && x.Comment == nil {
					t.Errorf("%s: %s has no comment, nor has its group", s.at(x), name.Name)
				}
			}
		}
	}
	return names, bare
}

func (s *source) checkMembers(t *testing.T, x *ast.TypeSpec) (bare int) {
	switch typ := x.Type.(type) {
	case *ast.InterfaceType:
		line := -1 // the last line of the method before, if that has a comment, its own or its neighbour's
		for _, m := range typ.Methods.List {
			if len(m.Names) == 0 {
				continue
			}
			start, end := s.line(m.Pos()), s.line(m.End())
			if m.Doc != nil || m.Comment != nil || start == line+1 || len(typ.Methods.List) == 1 {
				line = end
				continue
			}
			t.Errorf("%s: %s.%s has no comment", s.at(m), x.Name.Name, m.Names[0].Name)
		}
	case *ast.StructType:
		for _, f := range typ.Fields.List {
			for _, name := range f.Names {
				if name.IsExported() && f.Doc == nil && f.Comment == nil {
					bare++
				}
			}
		}
	}
	return bare
}

func (s *source) line(pos token.Pos) int { return s.fset.Position(pos).Line }

// TestPublicPackagesHaveExamples: an example without output is compiled and never run, so it does not count.
func TestPublicPackagesHaveExamples(t *testing.T) {
	forEach(t, (*pkg).public, func(t *testing.T, p *pkg) {
		var files []*ast.File
		for s := range p.tests {
			files = append(files, s.syntax)
		}
		for _, e := range doc.Examples(files...) {
			if e.Output != "" {
				return
			}
		}
		t.Errorf("%s has no example with output", p.dir)
	})
}
