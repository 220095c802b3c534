package main

import (
	"errors"
	"fmt"
	"strings"
)

// exception is a branch that no fault can reach.
type exception struct {
	file, where, reason string
}

// parseExceptions reads a list of exceptions. Each is a line "FILE: FUNCTION: CONDITION", as branches are printed but for the number of the line,
// and below it the reason, indented. Empty lines and those that begin with # are for the reader.
func parseExceptions(text string) ([]exception, error) {
	var all []exception
	for i, line := range strings.Split(text, "\n") {
		reason := strings.TrimSpace(line)
		switch {
		case reason == "" || line[0] == '#':
		case line[0] != '\t' && line[0] != ' ':
			file, where, ok := strings.Cut(line, ": ")
			if !ok {
				return nil, fmt.Errorf("line %d is no exception: %s", i+1, line)
			}
			all = append(all, exception{file: file, where: where})
		case len(all) == 0:
			return nil, fmt.Errorf("line %d is a reason for nothing", i+1)
		default:
			e := &all[len(all)-1]
			e.reason = strings.TrimSpace(e.reason + " " + reason)
		}
	}
	for _, e := range all {
		if e.reason == "" {
			return nil, fmt.Errorf("%s: %s is without a reason", e.file, e.where)
		}
	}
	return all, nil
}

// except marks the branches that are exceptions, and returns what is wrong with the list.
func except(all []*branch, exceptions []exception) (wrong []error) {
	byName := map[string]*branch{}
	for _, b := range all {
		byName[b.file+": "+b.where()] = b
	}
	for _, e := range exceptions {
		name := e.file + ": " + e.where
		switch b := byName[name]; {
		case b == nil:
			wrong = append(wrong, errors.New(name+": an exception for a branch that is not there"))
		case b.excepted:
			wrong = append(wrong, errors.New(name+": an exception that is there twice"))
		case b.taken:
			wrong = append(wrong, errors.New(name+": an exception, and it was taken"))
		default:
			b.excepted = true
		}
	}
	return wrong
}
