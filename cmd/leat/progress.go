package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// progress shows how far long work is, on a line that is written over if w is a terminal, else on a new line now and then. The zero progress shows nothing.
type progress struct {
	w        io.Writer // nil: show nothing
	what     string
	terminal bool
	shown    time.Time // when it was last shown
	done     int64
	total    int64
}

// progressFlag adds -progress.
func progressFlag(f *flag.FlagSet) *bool {
	return f.Bool("progress", false, "show how far it is, also where standard error is no terminal")
}

// progress returns one for standard error: shown if that is a terminal or if it was asked for.
func (e *env) progress(what string, asked bool) *progress {
	file, ok := e.stderr.(*os.File)
	terminal := false
	if ok {
		info, err := file.Stat()
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if !terminal && !asked {
		return &progress{}
	}
	return &progress{w: e.stderr, what: what, terminal: terminal}
}

const (
	redraw  = 100 * time.Millisecond // of a terminal
	newLine = 2 * time.Second        // elsewhere
)

// show takes note, and shows it unless it did so a moment ago.
func (p *progress) show(done, total int64) {
	p.done, p.total = done, total
	pause := newLine
	if p.terminal {
		pause = redraw
	}
	if p.w == nil || time.Since(p.shown) < pause {
		return
	}
	p.draw()
	if !p.terminal {
		fmt.Fprintln(p.w)
	}
}

func (p *progress) draw() {
	p.shown = time.Now()
	percent := int64(100)
	if p.total > 0 {
		percent = 100 * p.done / p.total
	}
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprintf(p.w, "%s: %d%%, %s of %s", p.what, percent, size(p.done), size(p.total))
}

// end shows where it ended, and leaves a clean line.
func (p *progress) end() {
	switch {
	case p.w == nil:
	case p.terminal:
		fmt.Fprint(p.w, "\r\x1b[K")
	default:
		p.draw()
		fmt.Fprintln(p.w)
	}
}
