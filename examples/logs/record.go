package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"
	"path/filepath"
	"regexp"
)

const maxLine = 512 << 10

var (
	dated  = regexp.MustCompile(`^\[\d{4}-\d\d-\d\d`)     // begins a record that may have several lines
	access = regexp.MustCompile(`^(\S+) \S+ \S+ \[\d\d/`) // client, identity, user, [time
)

// record is a line, or a dated line with those that follow it.
type record struct {
	text   []byte // without the last line feed
	length int    // with it
}

// records yields the records of a file.
func records(file io.Reader) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		lines := bufio.NewReaderSize(file, maxLine)
		var last record
		for {
			line, err := lines.ReadSlice('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				yield(record{}, err)
				return
			}
			follows := dated.Match(last.text) && !dated.Match(line)
			if last.length > 0 && !(follows && len(line) > 0) {
				if !yield(last, nil) {
					return
				}
				last = record{}
			}
			if len(line) > 0 {
				last = last.with(line)
			}
			if err != nil && last.length == 0 {
				return
			}
		}
	}
}

// with returns r with one more line.
func (r record) with(line []byte) record {
	if r.length > 0 {
		r.text = append(r.text, '\n')
	}
	r.text = append(r.text, bytes.TrimSuffix(line, []byte("\n"))...)
	r.length += len(line)
	return r
}

// key is the client of a line of an access log, and for other records the name of their file.
func (r record) key(file string) []byte {
	if m := access.FindSubmatch(r.text); m != nil {
		return m[1]
	}
	return []byte(filepath.Base(file))
}
