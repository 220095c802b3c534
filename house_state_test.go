package leat_test

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

func TestNoInit(t *testing.T) {
	forEach(t, everything, func(t *testing.T, p *pkg) {
		for _, s := range p.files {
			for _, decl := range s.syntax.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					t.Errorf("%s: an init function", s.at(f))
				}
			}
		}
	})
}

// excepted are variables that break the rule below, each with its reason.
var excepted = map[string]string{
	"storage/internal/vfs/memfs.zeroPage": "an address that stands for zeros; only compared and read",
}

// TestNoGlobalState allows three kinds of variables outside functions: the blank one, which asserts an interface; errors made by
// errors.New; and unexported tables, which have a first value, hold no lock, channel or pointer, and are never written
// nor have their address taken anywhere in the package.
func TestNoGlobalState(t *testing.T) {
	withCode := func(p *pkg) bool { return p.name != "" }
	forEach(t, withCode, func(t *testing.T, p *pkg) {
		tables := map[string]bool{}
		for s := range p.sources {
			for _, decl := range s.syntax.Decls {
				d, ok := decl.(*ast.GenDecl)
				if !ok || d.Tok != token.VAR {
					continue
				}
				for _, spec := range d.Specs {
					s.checkVar(t, p.dir, spec.(*ast.ValueSpec), tables)
				}
			}
		}
		for s := range p.sources {
			s.checkUnwritten(t, tables)
		}
	})
}

// checkVar puts the tables that v declares into tables.
func (s *source) checkVar(t *testing.T, dir string, v *ast.ValueSpec, tables map[string]bool) {
	for i, name := range v.Names {
		switch {
		case name.Name == "_" || excepted[dir+"."+name.Name] != "":
		case len(v.Values) != len(v.Names):
			t.Errorf("%s: %s is a variable without a value of its own", s.at(v), name.Name)
		case isError(v.Values[i]):
		case name.IsExported():
			t.Errorf("%s: %s is a variable that importers can change", s.at(v), name.Name)
		case !isTable(v.Type) || !isTable(v.Values[i]):
			t.Errorf("%s: %s is state", s.at(v), name.Name)
		default:
			tables[name.Name] = true
		}
	}
}

func isError(value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	return ok && selector(call.Fun) == "errors.New"
}

// isTable is false for what can change without being assigned to.
func isTable(value ast.Expr) bool {
	table := true
	if value == nil {
		return true
	}
	ast.Inspect(value, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ChanType:
			table = false
		case *ast.UnaryExpr:
			table = table && x.Op != token.AND
		case *ast.CallExpr:
			name := selector(x.Fun)
			table = table && name != "make" && name != "new"
		case *ast.SelectorExpr:
			name := selector(x)
			table = table && !strings.HasPrefix(name, "sync.") && !strings.HasPrefix(name, "atomic.")
		}
		return true
	})
	return table
}

// checkUnwritten judges by name: a local variable that is assigned to and shadows a table is better called something else.
func (s *source) checkUnwritten(t *testing.T, tables map[string]bool) {
	refuse := func(n ast.Node, target ast.Expr) {
		if name := root(target); tables[name] {
			t.Errorf("%s: the table %s is written to", s.at(n), name)
		}
	}
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.AssignStmt:
			if x.Tok == token.DEFINE {
				return true
			}
			for _, target := range x.Lhs {
				refuse(x, target)
			}
		case *ast.IncDecStmt:
			refuse(x, x.X)
		case *ast.UnaryExpr:
			if x.Op == token.AND {
				refuse(x, x.X)
			}
		case *ast.CallExpr:
			if slices.Contains([]string{"delete", "clear", "append", "copy"}, selector(x.Fun)) {
				refuse(x, x.Args[0])
			}
		}
		return true
	})
}

// root returns the name of the variable that target is a part of.
func root(target ast.Expr) string {
	for {
		switch x := target.(type) {
		case *ast.IndexExpr:
			target = x.X
		case *ast.SelectorExpr:
			target = x.X
		case *ast.StarExpr:
			target = x.X
		case *ast.ParenExpr:
			target = x.X
		case *ast.SliceExpr:
			target = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// selector returns the text of a name or of package.name, "" for anything else.
func selector(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		if p, ok := x.X.(*ast.Ident); ok {
			return p.Name + "." + x.Sel.Name
		}
	}
	return ""
}
