// Command mutants breaks the storage engine, the queue on it and package dedup on purpose, one line that matters at a time, and runs the test that must notice. Run it from the
// root of the module:
//
//	go run ./storage/mutants [NAME...]
//
// Each file of testdata is a mutant. It says what is broken, in which file, which test notices, and the text to take out and to put in its
// place: what is to be taken out must be there exactly once. The work is done in a copy of the tree in a temporary directory. It exits
// with 1 if a mutant survives, does not build, or does not fit the source any more, or if a test fails without any mutant.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(names []string) error {
	mutants, err := load("storage/mutants/testdata", names)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "leat-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := copyTree(dir); err != nil {
		return err
	}
	if err := fit(dir, mutants); err != nil {
		return err
	}
	if err := healthy(dir, mutants); err != nil {
		return err
	}
	survivors, broken := 0, []error(nil)
	fmt.Printf("%-12s %-7s %-26s %s\n", "mutant", "killed", "by", "what is broken")
	for _, m := range mutants {
		verdict, err := m.try(dir)
		if err != nil {
			broken = append(broken, fmt.Errorf("%s: %w", m.name, err))
			continue
		}
		if verdict == "NO" {
			survivors++
		}
		fmt.Printf("%-12s %-7s %-26s %s\n", m.name, verdict, m.test, m.what)
	}
	if survivors > 0 {
		broken = append(broken, fmt.Errorf("%d of %d survived", survivors, len(mutants)))
	}
	if len(broken) > 0 {
		return errors.Join(broken...)
	}
	fmt.Printf("%d of %d killed\n", len(mutants), len(mutants))
	return nil
}

// copyTree copies the module, but for what begins with a dot.
func copyTree(dir string) error {
	entries, err := os.ReadDir(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasPrefix(name, "."):
		case e.IsDir():
			err = os.CopyFS(filepath.Join(dir, name), os.DirFS(name))
		case name == "go.mod" || name == "go.sum":
			var b []byte
			if b, err = os.ReadFile(name); err == nil {
				err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fit tells of all mutants that do not fit the source, before much time is spent.
func fit(dir string, mutants []*mutant) error {
	var all []error
	for _, m := range mutants {
		if _, _, err := m.apply(dir); err != nil {
			all = append(all, fmt.Errorf("%s: %w", m.name, err))
		}
	}
	return errors.Join(all...)
}

// healthy runs each test once without a mutant: that one fails with it says nothing otherwise.
func healthy(dir string, mutants []*mutant) error {
	var done []string
	for _, m := range mutants {
		key := m.pkg + " " + m.test
		if slices.Contains(done, key) {
			continue
		}
		done = append(done, key)
		if out, err := m.goTest(dir, "short"); err != nil {
			return fmt.Errorf("%s fails without any mutant: %w\n%s", key, err, out)
		}
	}
	return nil
}

// goTest runs the mutant's test, at a size of LEAT_LOOPS.
func (m *mutant) goTest(dir, loops string) (output string, err error) {
	cmd := exec.Command("go", "test", "-count=1", "-timeout=10m", "-run", "^"+m.test+"$", m.pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LEAT_LOOPS="+loops, "GOWORK=off")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// apply returns the mutant's file, as it is and as it would be.
func (m *mutant) apply(dir string) (source, changed []byte, err error) {
	if source, err = os.ReadFile(filepath.Join(dir, m.file)); err != nil {
		return nil, nil, err
	}
	text := string(source)
	for _, e := range m.edits {
		if n := strings.Count(text, e.old); n != 1 {
			return nil, nil, fmt.Errorf("its text is %d times in %s: bring it up to date:\n%s", n, m.file, e.old)
		}
		text = strings.Replace(text, e.old, e.new, 1)
	}
	return source, []byte(text), nil
}

// try applies the mutant, runs its test, and takes it back. What survives a test that draws what it does may have been lucky: then the test runs once more, at its size in CI.
func (m *mutant) try(dir string) (verdict string, err error) {
	source, changed, err := m.apply(dir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, m.file)
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		return "", err
	}
	verdict = "yes"
	out, testErr := m.goTest(dir, "short")
	if testErr == nil {
		verdict = "at ci"
		out, testErr = m.goTest(dir, "ci")
	}
	if err := os.WriteFile(path, source, 0o600); err != nil {
		return "", err
	}
	switch {
	case testErr == nil:
		return "NO", nil
	case strings.Contains(out, "--- FAIL") || strings.Contains(out, "panic:"):
		return verdict, nil
	}
	return "", fmt.Errorf("it does not build: %w\n%s", testErr, out)
}
