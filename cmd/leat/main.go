// Command leat looks into the directory of a store, and repairs it.
//
//	leat inspect DIR       what is in it: topics, partitions, groups and how far they are, and in what state it is
//	leat dump DIR          its records, as lines of text or of JSON
//	leat verify DIR        reads everything, and names what is damaged
//	leat snapshot DIR TO   writes a checked copy to an empty directory
//	leat restore FROM DIR  makes a store of a copy, in an empty directory
//	leat compact DIR       applies the cleanup rules of its topics now
//	leat mend DIR COPY     takes what is damaged from a copy of the directory
//	leat salvage DIR       makes a directory whole whose journal is damaged, losing what is damaged
//	leat rebuild DIR NEW   puts a store together in an empty directory, where no checkpoint is whole
//	leat help              this; leat COMMAND -h tells more of one
//
// The first three only read: not a byte of the directory changes, they need no permission to write, and any number may run side by side; but not
// beside a program that has the directory open. The others have it to themselves. Nothing is ever deleted that is damaged: it is copied aside.
//
// Every command prints text for people, or with -json one JSON object (dump: one for each record). The names in it are documented at the types in
// report.go, and stay. Damage is an object of file, from, to (bytes), topic, partition, first, next (offsets), records, reason.
//
// It exits with 0 if all is well, 1 if it found damage or failed, and 2 if it was called wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
)

// The exit codes.
const (
	exitFine    = 0
	exitFailed  = 1
	exitMisused = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its surroundings given.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	e := &env{ctx: ctx, stdout: stdout, stderr: stderr}
	if len(args) == 0 {
		e.help(stderr)
		return exitMisused
	}
	name, rest := args[0], args[1:]
	if name == "help" || name == "-h" || name == "-help" || name == "--help" {
		if name != "help" || len(rest) == 0 {
			e.help(stdout)
			return exitFine
		}
		name, rest = rest[0], []string{"-h"}
	}
	for _, c := range commands() {
		if c.name == name {
			k := &call{env: e, command: &c, flags: flag.NewFlagSet(c.name, flag.ContinueOnError), given: rest}
			k.flags.SetOutput(io.Discard)
			k.flags.Usage = func() {}
			return e.exit(&c, c.run(k))
		}
	}
	fmt.Fprintf(stderr, "leat: there is no command %q: see leat help\n", name)
	return exitMisused
}

// env is what commands run in.
type env struct {
	ctx            context.Context
	stdout, stderr io.Writer
}

// command is one of leat's commands.
type command struct {
	name, args, does, about string
	run                     func(k *call) error
}

// call is a command being called.
type call struct {
	*env
	command *command
	flags   *flag.FlagSet
	given   []string
}

func commands() []command {
	return []command{
		{"inspect", "DIR", "what is in the store, and in what state it is", aboutInspect, inspect},
		{"dump", "DIR", "its records", aboutDump, dump},
		{"verify", "DIR", "read everything, and name what is damaged", aboutVerify, verify},
		{"snapshot", "DIR TO", "write a checked copy to an empty directory", aboutSnapshot, snapshot},
		{"restore", "FROM DIR", "make a store of a copy, in an empty directory", aboutRestore, restore},
		{"compact", "DIR", "apply the cleanup rules of its topics now", aboutCompact, compact},
		{"mend", "DIR COPY", "take what is damaged from a copy of the directory", aboutMend, mend},
		{"salvage", "DIR", "make it whole, losing what is damaged", aboutSalvage, salvage},
		{"rebuild", "DIR NEW", "put together what can be read, in an empty directory", aboutRebuild, rebuild},
	}
}

var (
	errHelped = errors.New("helped")           // the help that was asked for is printed
	errFound  = errors.New("damage was found") // and printed
)

// usageError says what is wrong with the arguments.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// exit prints the error of a command and returns what to exit with.
func (e *env) exit(c *command, err error) int {
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, errHelped):
		return exitFine
	case errors.Is(err, errFound):
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(e.stderr, "leat %s: %v\nusage: leat %s [flags] %s; more with leat %s -h\n", c.name, err, c.name, c.args, c.name)
		return exitMisused
	}
	fmt.Fprintf(e.stderr, "leat %s: %v\n", c.name, err)
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(e.stderr, "  %s\n", hint)
	}
	return exitFailed
}

func (e *env) help(w io.Writer) {
	fmt.Fprint(w, "leat looks into the directory of a store, and repairs it.\n\nusage: leat COMMAND [flags] DIR\n\n")
	t := columns(w)
	for _, c := range commands() {
		fmt.Fprintf(t, "  %s %s\t%s\n", c.name, c.args, c.does)
	}
	t.Flush()
	fmt.Fprint(w, "\nleat COMMAND -h tells more of one.\n")
}

// parse reads flags, and as many arguments as names has, in any order.
func (k *call) parse(names ...string) ([]string, error) {
	var args []string
	for rest := k.given; ; {
		err := k.flags.Parse(rest)
		if errors.Is(err, flag.ErrHelp) {
			k.help()
			return nil, errHelped
		}
		if err != nil {
			return nil, &usageError{err.Error()}
		}
		if k.flags.NArg() == 0 {
			break
		}
		args, rest = append(args, k.flags.Arg(0)), k.flags.Args()[1:]
	}
	switch {
	case len(args) < len(names):
		return nil, &usageError{names[len(args)] + " is missing"}
	case len(args) > len(names):
		return nil, &usageError{fmt.Sprintf("%q is too much", args[len(names)])}
	}
	return args, nil
}

// help prints what there is to know of the command.
func (k *call) help() {
	c := k.command
	fmt.Fprintf(k.stdout, "usage: leat %s [flags] %s\n\n%s\n\nflags:\n", c.name, c.args, strings.TrimSpace(c.about))
	t := columns(k.stdout)
	k.flags.VisitAll(func(f *flag.Flag) {
		kind, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(t, "  -%s %s\t%s\n", f.Name, kind, usage)
	})
	t.Flush()
}
