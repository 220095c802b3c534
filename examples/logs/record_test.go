package main

import (
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRecords(t *testing.T) {
	const a, b = "[2026-03-02 08:15:00,104] one", "[2026-03-02 08:15:02,010] two"
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"empty":              {"", nil},
		"lines":              {"x\ny\n", []string{"x", "y"}},
		"no last line feed":  {"x\ny", []string{"x", "y"}},
		"empty lines":        {"\n\nx\n", []string{"", "", "x"}},
		"dated":              {a + "\n" + b + "\n", []string{a, b}},
		"joined":             {a + "\n\tat\n\n" + b + "\n", []string{a + "\n\tat\n", b}},
		"joined to the end":  {a + "\n\tat", []string{a + "\n\tat"}},
		"begins in a record": {"\tat\n" + a + "\n", []string{"\tat", a}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			length := 0
			for r, err := range records(iotest.OneByteReader(strings.NewReader(c.file))) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(r.text))
				length += r.length
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if length != len(c.file) {
				t.Errorf("the records are %d bytes long, the file is %d", length, len(c.file))
			}
		})
	}
}

func TestRecordsRefuseWhatIsTooLong(t *testing.T) {
	for _, err := range records(strings.NewReader(strings.Repeat("x", maxLine+1))) {
		if err != nil {
			return
		}
	}
	t.Error("a line longer than maxLine was read")
}

func TestKeys(t *testing.T) {
	for text, want := range map[string]string{
		`203.0.113.7 - - [02/Mar/2026:08:15:01 +0000] "GET /" 200 1`: "203.0.113.7",
		"[2026-03-02 08:15:00,104] TRACE":                            "server.log",
		"\tat somewhere":                                             "server.log",
		"":                                                           "server.log",
	} {
		if got := (record{text: []byte(text)}).key("/var/log/server.log"); string(got) != want {
			t.Errorf("the key of %q is %q, want %q", text, got, want)
		}
	}
}
