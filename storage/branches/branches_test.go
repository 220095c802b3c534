package main

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
)

const source = `package p

func (s *store[T]) f() error {
	if err := g(); err != nil {
		return err
	}
	if n > 0 { // no error
		return nil
	}
	if err == nil {
		return nil
	}
	if err != nil {
	}
	switch {
	case err == nil:
		a()
	case errors.Is(k.err, io.EOF), later(err):
		b()
	case x && ctx.Err() != nil:
		if err := g(); err != nil {
			return err
		}
	}
	if err := g(); err != nil {
		if !errors.As(cutErr, &damage) {
			c()
		}
	}
	return nil
}
`

func TestBranches(t *testing.T) {
	all, err := branchesIn("p/f.go", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"4 store.f: if err := g(); err != nil",
		"18 store.f: case errors.Is(k.err, io.EOF), later(err)",
		"20 store.f: case x && ctx.Err() != nil",
		"21 store.f: if err := g(); err != nil #2",
		"25 store.f: if err := g(); err != nil #3",
		"26 store.f: if !errors.As(cutErr, &damage)",
	}
	for i, b := range all {
		if got := strconv.Itoa(b.line) + " " + b.where(); i >= len(want) || got != want[i] {
			t.Errorf("branch %d is %q", i, got)
		}
	}
	if len(all) != len(want) {
		t.Errorf("%d branches, want %d", len(all), len(want))
	}
}

// TestTaken: a branch is taken if the block that begins with its body was run, in one of the profiles.
func TestTaken(t *testing.T) {
	all, err := branchesIn("p/f.go", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	const file = module + "p/f.go:"
	for _, profile := range []string{
		"mode: set\n" + file + "4.28,6.3 1 1\n" + file + "3.32,4.28 1 1\n" + file + "18.48,19.6 1 0\n",
		"mode: count\n" + file + "4.28,6.3 1 0\n" + file + "26.34,28.4 1 9\n" + file + "25.28,26.34 1 9\n",
	} {
		run, err := parseProfile(profile)
		if err != nil {
			t.Fatal(err)
		}
		if mark(all, run) == 0 {
			t.Error("a profile has taken nothing")
		}
	}
	var left []string
	for _, b := range all {
		if !b.taken {
			left = append(left, strconv.Itoa(b.line))
		}
	}
	if got := strings.Join(left, " "); got != "18 20 21" {
		t.Errorf("left are %s", got)
	}
	if _, err := parseProfile("mode: set\nno profile\n"); err == nil {
		t.Error("what is no profile was taken for one")
	}
}

// TestExceptions: an exception that was taken, is not there, is there twice or is without a reason is an error, and another is none.
func TestExceptions(t *testing.T) {
	const first, second = "p/f.go: store.f: if err := g(); err != nil", "p/f.go: store.f: if err := g(); err != nil #2"
	for list, wrong := range map[string]string{
		first + "\n\ttaken\n":                              "it was taken",
		second + "\n\tfine,\n\tas it is\n":                 "",
		second + "\n\tfine\n\n" + second + "\n\tso what\n": "twice",
		"p/f.go: g: if err != nil\n\tgone\n":               "not there",
	} {
		all, err := branchesIn("p/f.go", []byte(source))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range all {
			b.taken = b.nth != 2
		}
		exceptions, err := parseExceptions("# a comment\n" + list)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err = report(&out, all, exceptions)
		switch {
		case wrong == "" && err != nil, wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)):
			t.Errorf("%q: %v", list, err)
		case wrong == "" && !strings.Contains(out.String(), "6 error branches, 0 never taken, 1 exceptions"):
			t.Errorf("%q: %s", list, out.String())
		}
	}
	for _, list := range []string{second + "\n", "\tfor nothing\n", "nothing\n\tat all\n"} {
		if _, err := parseExceptions(list); err == nil {
			t.Errorf("%q was taken for a list of exceptions", list)
		}
	}
}

// TestExceptionsFit: each exception is a branch that is there.
func TestExceptionsFit(t *testing.T) {
	t.Chdir("../..")
	text, err := os.ReadFile(exceptionsFile)
	if err != nil {
		t.Fatal(err)
	}
	exceptions, err := parseExceptions(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var all []*branch
	for _, dir := range packages {
		bs, err := branchesOf(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(bs) == 0 {
			t.Errorf("%s has no error branches", dir)
		}
		all = append(all, bs...)
	}
	for _, err := range except(all, exceptions) {
		t.Error(err)
	}
}
