// Command branches lists the error branches of the storage engine that the fault loops have not taken. Run it from the root of the module, with
// the coverage profiles of the loops:
//
//	packages=./storage/disk,./storage/internal/core,./storage/internal/segment
//	LEAT_LOOPS=ci go test -run Fault -coverpkg $packages -coverprofile fault.cov ${packages//,/ }
//	go run ./storage/branches fault.cov
//
// An error branch is an if, or a case of a switch without a value, that has a body and whose condition looks at an error: compares it with
// something, or hands it to a function, and is not merely that there is none. It goes by names: an error is what is called err, or something that
// ends in Err, or what errors.Is and errors.As are called with. What no fault can reach is listed in testdata/exceptions.txt, each with the
// reason. It exits with 1 if a branch was never taken that is not listed there, and if one that is listed was taken, or is not there any more.
//
// It does not say whether what a branch does is right: that is what the loops look at.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
)

// packages are those of the engine that the fault loops have fail.
var packages = []string{"storage/disk", "storage/internal/core", "storage/internal/segment"}

const exceptionsFile = "storage/branches/testdata/exceptions.txt"

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "branches:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, profiles []string) error {
	if len(profiles) == 0 {
		return errors.New("name at least one coverage profile")
	}
	var all []*branch
	for _, dir := range packages {
		bs, err := branchesOf(dir)
		if err != nil {
			return err
		}
		all = append(all, bs...)
	}
	for _, name := range profiles {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		blocks, err := parseProfile(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if mark(all, blocks) == 0 {
			return fmt.Errorf("%s has taken no error branch: is it a profile of these sources?", name)
		}
	}
	text, err := os.ReadFile(exceptionsFile)
	if err != nil {
		return err
	}
	exceptions, err := parseExceptions(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", exceptionsFile, err)
	}
	return report(w, all, exceptions)
}

// report prints what was never taken, and the figures; its error says what is wrong with them.
func report(w io.Writer, all []*branch, exceptions []exception) error {
	wrong := except(all, exceptions)
	slices.SortFunc(all, func(a, b *branch) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
	})
	type figures struct{ branches, left, excepted int }
	per, sum := map[string]*figures{}, figures{}
	for _, b := range all {
		f := per[path.Dir(b.file)]
		if f == nil {
			f = &figures{}
			per[path.Dir(b.file)] = f
		}
		for _, f := range []*figures{f, &sum} {
			f.branches++
			switch {
			case b.excepted:
				f.excepted++
			case !b.taken:
				f.left++
			}
		}
		if !b.taken && !b.excepted {
			fmt.Fprintf(w, "%s:%d: %s\n", b.file, b.line, b.where())
		}
	}
	for _, dir := range packages {
		if f := per[dir]; f != nil {
			fmt.Fprintf(w, "%-26s %d error branches, %d never taken, %d exceptions\n", dir, f.branches, f.left, f.excepted)
		}
	}
	fmt.Fprintf(w, "%-26s %d error branches, %d never taken, %d exceptions\n", "all", sum.branches, sum.left, sum.excepted)
	if sum.left > 0 {
		wrong = append(wrong, fmt.Errorf("%d branches were never taken", sum.left))
	}
	return errors.Join(wrong...)
}
