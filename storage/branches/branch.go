package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path"
	"strings"
)

// branch is an error branch.
type branch struct {
	file  string // below the root of the module, with slashes
	line  int
	fn    string // the function that it is in, a method as Type.Method
	text  string // the condition, on one line
	nth   int    // which it is of those of its function that read the same, from 1
	begin place  // where its body begins, and where its first statement does: the block of a profile that begins between them is its own
	first place

	taken, excepted bool
}

// place is a line and a column.
type place struct{ line, column int }

func (p place) before(q place) bool {
	return p.line < q.line || p.line == q.line && p.column < q.column
}

// where names the branch within its file, as exceptions do.
func (b *branch) where() string {
	if b.nth > 1 {
		return fmt.Sprintf("%s: %s #%d", b.fn, b.text, b.nth)
	}
	return b.fn + ": " + b.text
}

// branchesOf returns the error branches of a package, but for those of its tests and of files for other systems.
func branchesOf(dir string) ([]*branch, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []*branch
	for _, f := range files {
		name := f.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if ours, err := build.Default.MatchFile(dir, name); err != nil || !ours {
			if err != nil {
				return nil, err
			}
			continue
		}
		source, err := os.ReadFile(path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		bs, err := branchesIn(path.Join(dir, name), source)
		if err != nil {
			return nil, err
		}
		all = append(all, bs...)
	}
	return all, nil
}

// branchesIn returns the error branches of a file.
func branchesIn(name string, source []byte) ([]*branch, error) {
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var all []*branch
	for _, decl := range syntax.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		seen := map[string]int{}
		add := func(from, to, body token.Pos, first ast.Stmt) {
			text := strings.Join(strings.Fields(string(source[fset.Position(from).Offset:fset.Position(to).Offset])), " ")
			seen[text]++
			all = append(all, &branch{
				file: name, line: fset.Position(from).Line, fn: nameOf(fn), text: text, nth: seen[text],
				begin: placeOf(fset, body), first: placeOf(fset, first.Pos()),
			})
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.IfStmt:
				if len(x.Body.List) > 0 && looksAtError(x.Cond) {
					add(x.If, x.Cond.End(), x.Body.Lbrace, x.Body.List[0])
				}
			case *ast.SwitchStmt:
				if x.Tag != nil {
					return true
				}
				for _, s := range x.Body.List {
					if c := s.(*ast.CaseClause); len(c.Body) > 0 && anyLooksAtError(c.List) {
						add(c.Case, c.List[len(c.List)-1].End(), c.Colon, c.Body[0])
					}
				}
			}
			return true
		})
	}
	return all, nil
}

func placeOf(fset *token.FileSet, pos token.Pos) place {
	p := fset.Position(pos)
	return place{p.Line, p.Column}
}

// nameOf returns a function's name, a method's with its type's.
func nameOf(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	typ := fn.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if generic, ok := typ.(*ast.IndexExpr); ok {
		typ = generic.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name + "." + fn.Name.Name
	}
	return fn.Name.Name
}

func anyLooksAtError(conditions []ast.Expr) bool {
	for _, c := range conditions {
		if looksAtError(c) {
			return true
		}
	}
	return false
}

// looksAtError tells whether a condition looks at an error in another way than to see that there is none.
func looksAtError(condition ast.Expr) bool {
	found := false
	ast.Inspect(condition, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.BinaryExpr:
			if x.Op == token.EQL && isError(x.X) && isNil(x.Y) {
				return false
			}
			if (x.Op == token.EQL || x.Op == token.NEQ) && (isError(x.X) || isError(x.Y)) {
				found = true
			}
		case *ast.CallExpr:
			for _, arg := range x.Args {
				found = found || isError(arg)
			}
			found = found || isErrorsCall(x)
		}
		return !found
	})
	return found
}

// isError tells whether an expression is an error by its name, or a call of a method that is called Err.
func isError(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "err" || strings.HasSuffix(x.Name, "Err")
	case *ast.SelectorExpr:
		return isError(x.Sel) || x.Sel.Name == "Err"
	case *ast.CallExpr:
		s, ok := x.Fun.(*ast.SelectorExpr)
		return ok && isError(s)
	}
	return false
}

func isErrorsCall(x *ast.CallExpr) bool {
	s, ok := x.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "errors"
}

func isNil(x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == "nil"
}
