package main

import (
	"strings"
	"testing"
	"time"
)

func TestDump(t *testing.T) {
	dir := closed(t)
	same(t, "text", stable(fine(t, "dump", dir), dir), `
orders/0  0  TIME  at TIME  key "customer 0"  "order 0"  trace="\xff\x00"
orders/0  1  TIME  "plain\n"
orders/0  2  TIME  at TIME  key "customer 2"  "order 2"  trace="\xff\x02"
orders/0  3  TIME  "plain\n"
orders/1  0  TIME  at TIME  key "customer 1"  "order 1"  trace="\xff\x01"
orders/1  1  TIME  "plain\n"
orders/1  2  TIME  at TIME  key "customer 3"  "order 3"  trace="\xff\x03"
orders/1  3  TIME  "plain\n"
`)
	same(t, "a range", stable(fine(t, "dump", dir, "-topic", "orders", "-partition", "1", "-from", "1", "-to", "3"), dir), `
orders/1  1  TIME  "plain\n"
orders/1  2  TIME  at TIME  key "customer 3"  "order 3"  trace="\xff\x03"
`)
	same(t, "base64", stable(fine(t, "dump", dir, "-topic", "orders", "-base64", "-limit", "1"), dir), `
orders/0  0  TIME  at TIME  key Y3VzdG9tZXIgMA==  b3JkZXIgMA==  trace=/wA=
`)
	same(t, "raw", fine(t, "dump", "-raw", "-limit", "3", dir), "order 0\nplain\n\norder 2\n")
	same(t, "JSON", stable(fine(t, "dump", "-json", "-limit", "2", dir), dir), `
{"topic":"orders","partition":0,"offset":0,"appended":"TIME","timestamp":"TIME","key":"customer 0","value":"order 0","headers":[{"key":"trace","value_base64":"/wA="}]}
{"topic":"orders","partition":0,"offset":1,"appended":"TIME","value":"plain\n"}
`)
	same(t, "JSON in base64", stable(fine(t, "dump", "-json", "-base64", "-limit", "1", "-from", "1", dir), dir), `
{"topic":"orders","partition":0,"offset":1,"appended":"TIME","value_base64":"cGxhaW4K"}
`)
	same(t, "of an empty topic", fine(t, "dump", "-topic", "logs", dir), "")
	same(t, "since tomorrow", fine(t, "dump", "-since", time.Now().Add(time.Hour).Format(time.RFC3339), dir), "")
	if out := fine(t, "dump", "-since", "2020-01-01T00:00:00Z", dir); strings.Count(out, "\n") != 8 {
		t.Errorf("since long ago: got\n%s", out)
	}
	if out := fine(t, "dump", killed(t)); strings.Count(out, "\n") != 8 {
		t.Errorf("of a store that was killed: got\n%s", out)
	}
}
