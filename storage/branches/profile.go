package main

import (
	"fmt"
	"strings"
)

// module is what the names of a profile begin with.
const module = "github.com/leatmq/leat/"

// block is a stretch of a file of which a profile says that it was run.
type block struct {
	file string
	from place
}

// parseProfile returns the blocks of a coverage profile that were run.
func parseProfile(text string) ([]block, error) {
	var run []block
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(line, "mode: ") {
			continue
		}
		file, rest, _ := strings.Cut(line, ":")
		var from, to place
		var statements, count uint64
		if _, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &from.line, &from.column, &to.line, &to.column, &statements, &count); err != nil {
			return nil, fmt.Errorf("line %d is none of a coverage profile: %w", i+1, err)
		}
		if count > 0 {
			run = append(run, block{strings.TrimPrefix(file, module), from})
		}
	}
	return run, nil
}

// mark marks the branches whose blocks were run, and returns how many these are.
func mark(all []*branch, run []block) int {
	inFile := map[string][]place{}
	for _, b := range run {
		inFile[b.file] = append(inFile[b.file], b.from)
	}
	n := 0
	for _, b := range all {
		for _, from := range inFile[b.file] {
			if !from.before(b.begin) && !b.first.before(from) {
				b.taken = true
				n++
				break
			}
		}
	}
	return n
}
