package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is a fault to put into the source, and the test that must notice.
type mutant struct {
	name, what string
	file       string // below the root of the module
	pkg, test  string
	edits      []edit
}

// edit replaces a text that is there once.
type edit struct{ old, new string }

// load reads the mutants of dir, those of the names if there are any.
func load(dir string, names []string) ([]*mutant, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	var all []*mutant
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		m, err := parse(name, string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, m)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no mutants in %s: run this from the root of the module", dir)
	}
	return all, nil
}

// parse reads a mutant: lines "what ...", "file ...", "test PACKAGE NAME", then any number of edits, each the line "--- old", the text, the
// line "--- new", the text.
func parse(name, text string) (*mutant, error) {
	parts := strings.Split(strings.TrimSuffix(text, "\n"), "\n--- old\n")
	m := &mutant{name: name}
	for line := range strings.SplitSeq(parts[0], "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "what":
			m.what = value
		case "file":
			m.file = value
		case "test":
			m.pkg, m.test, _ = strings.Cut(value, " ")
		default:
			return nil, fmt.Errorf("what is %q?", line)
		}
	}
	for _, part := range parts[1:] {
		old, with, ok := strings.Cut(part+"\n", "--- new\n")
		if !ok {
			return nil, fmt.Errorf("an edit without --- new")
		}
		m.edits = append(m.edits, edit{strings.TrimSuffix(old, "\n"), strings.TrimSuffix(with, "\n")})
	}
	if m.what == "" || m.file == "" || m.test == "" || len(m.edits) == 0 {
		return nil, fmt.Errorf("something is missing")
	}
	return m, nil
}
