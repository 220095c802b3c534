package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/leatmq/leat/queue"
)

// showProgress draws a bar, ten times a second, while out is a terminal, until done is called.
func showProgress(broker *queue.Broker, out io.Writer) (done func()) {
	f, ok := out.(*os.File)
	if !ok {
		return func() {}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				fmt.Fprint(f, "\r\x1b[K")
				return
			case <-tick.C:
				fmt.Fprint(f, "\r\x1b[K", bar(broker.Stats()))
			}
		}
	}()
	return func() { close(quit); <-ended }
}

// bar shows how much of what was published the groups have done.
func bar(s queue.Stats) string {
	const width = 40
	var b strings.Builder
	for _, t := range s.Topics {
		if t.Name != "lines" || t.Records == 0 {
			continue
		}
		for _, g := range s.Groups {
			done := max(t.Records-g.Ready-g.InFlight-g.Waiting, 0)
			full := int(width * done / t.Records)
			fmt.Fprintf(&b, "%s [%s%s] %s of %s   ", g.Name, strings.Repeat("#", full), strings.Repeat(".", width-full),
				commas(done), commas(t.Records))
		}
	}
	return b.String()
}
