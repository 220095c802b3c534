package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

type report struct {
	Lines    int64            `json:"lines"`
	Records  int64            `json:"records"`
	Bytes    int64            `json:"bytes"`
	Status   map[string]int64 `json:"status"`
	Clients  int64            `json:"clients"`
	Archived int64            `json:"archived"`
}

func newReport(c counts, archived int64) report {
	return report{c.Lines, c.Records, c.Bytes, c.Status, int64(len(c.Clients)), archived}
}

func (r report) writeJSON(out io.Writer) error {
	return json.NewEncoder(out).Encode(r)
}

func (r report) writeTable(out io.Writer) error {
	var b strings.Builder
	row := func(name string, n int64) { fmt.Fprintf(&b, "%-9s %s\n", name, commas(n)) }
	row("lines", r.Lines)
	row("records", r.Records)
	row("bytes", r.Bytes)
	row("clients", r.Clients)
	row("archived", r.Archived)
	if len(r.Status) > 0 {
		var status []string
		for _, s := range slices.Sorted(maps.Keys(r.Status)) {
			status = append(status, s+": "+commas(r.Status[s]))
		}
		fmt.Fprintf(&b, "%-9s %s\n", "status", strings.Join(status, ", "))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// commas writes n with a comma before every three digits.
func commas(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
