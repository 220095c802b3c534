package main

import (
	"os"
	"strings"
	"testing"
)

// TestMutantsFit: each mutant fits the source as it is, is in the report, and names a test that there is.
func TestMutantsFit(t *testing.T) {
	t.Chdir("../..")
	all, err := load("storage/mutants/testdata", nil)
	if err != nil {
		t.Fatal(err)
	}
	report, err := os.ReadFile("storage/TESTING.md")
	if err != nil {
		t.Fatal(err)
	}
	if err := fit(".", all); err != nil {
		t.Error(err)
	}
	for _, m := range all {
		if n := strings.Count(string(report), "\n| "+m.name+" | "); n != 1 {
			t.Errorf("%s is %d times in storage/TESTING.md, want once", m.name, n)
		}
		if name, _, _ := strings.Cut(m.test, "/"); !there(t, m.pkg, name) {
			t.Errorf("%s: %s has no %s", m.name, m.pkg, name)
		}
	}
	if len(all) < 20 {
		t.Errorf("%d mutants, want at least 20", len(all))
	}
}

// there tells whether a package has a test.
func there(t *testing.T, pkg, test string) bool {
	t.Helper()
	files, err := os.ReadDir(pkg)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		b, err := os.ReadFile(pkg + "/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}

// TestRefusedMutants: what does not fit or is not whole is said so.
func TestRefusedMutants(t *testing.T) {
	for what, text := range map[string]string{
		"without edits":  "what it is\nfile a.go\ntest ./storage TestA\n",
		"of no such key": "why it is\n",
		"without new":    "what it is\nfile a.go\ntest ./storage TestA\n--- old\na\n",
	} {
		if _, err := parse("m", text); err == nil {
			t.Errorf("a mutant %s was taken", what)
		}
	}
	m, err := parse("m", "what it is\nfile a.go\ntest ./storage TestA\n--- old\na\n--- new\nb\n")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/a.go", []byte("a a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := fit(dir, []*mutant{m}); err == nil {
		t.Error("a mutant whose text is there twice was taken")
	}
	if _, err := load(dir, nil); err == nil {
		t.Error("an empty directory was taken for one of mutants")
	}
}
