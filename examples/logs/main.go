// Command logs reads log files, archives every record and counts them, and may be killed at any moment: started again on the
// same -data, it goes on where it was and ends with the same report and the same archive as if nothing had happened.
//
// The idea is that whatever must not disagree is stored in one step:
//
//   - collect.go publishes the records of a file and the place in the file behind them in one PublishBatch, so that none is
//     published twice, and none is left out.
//   - archive.go and count.go are two groups whose effects are files, outside of the queue. Each stores the position of the last
//     record together with its effect, and goes on behind that position: Group.Resume.
//
// A record is a line of an access log, keyed by its client; or, where lines begin with a date in brackets, such a line with those
// that follow it, keyed by the name of the file.
//
//	go run ./examples/logs -once examples/logs/testdata/access.log examples/logs/testdata/state-change.log
//
// Output:
//
//	lines     12
//	records   10
//	bytes     42,520
//	clients   4
//	archived  10
//	status    200: 4, 304: 1, 404: 1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
)

const partitions = 8

const usage = `usage: logs [-json] [-data DIR] -once FILE...

Reads the log files whole, archives and counts their records, and reports.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "logs:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, diagnostics io.Writer) error {
	flags := flag.NewFlagSet("logs", flag.ContinueOnError)
	flags.SetOutput(diagnostics)
	flags.Usage = func() { fmt.Fprint(diagnostics, usage); flags.PrintDefaults() }
	once := flags.Bool("once", false, "read the files as they are, report, and end")
	asJSON := flags.Bool("json", false, "report one JSON object instead of a table")
	dir := flags.String("data", "", "where queue, archive and counts are kept (default: a temporary directory)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !*once || flags.NArg() == 0 {
		flags.Usage()
		return errors.New("-once and at least one file are needed")
	}
	if *dir == "" {
		temporary, err := os.MkdirTemp("", "logs-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		*dir = temporary
	}
	r, err := process(ctx, *dir, flags.Args(), diagnostics)
	if err != nil {
		return err
	}
	if *asJSON {
		return r.writeJSON(out)
	}
	return r.writeTable(out)
}

// process brings queue, archive and counts up to the end of the files, and reports.
func process(ctx context.Context, dir string, files []string, diagnostics io.Writer) (r report, err error) {
	assigned := make(chan queue.PartitionEvent, 2*partitions)
	broker, err := embedded.Open(filepath.Join(dir, "queue"), embedded.Options{Broker: queue.Options{Events: queue.Events{
		Assigned: func(e queue.PartitionEvent) { assigned <- e },
		Failed:   func(e queue.FailedEvent) { fmt.Fprintf(diagnostics, "%s: %v, again in %v\n", e.Group, e.Err, e.After) },
	}}})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	err = errors.Join(
		broker.EnsureTopic(ctx, "lines", queue.TopicConfig{Partitions: partitions}),
		broker.EnsureTopic(ctx, "positions", queue.TopicConfig{}),
	)
	if err != nil {
		return r, err
	}
	archive, err := openArchive(dir)
	if err != nil {
		return r, err
	}
	counter, err := openCounter(dir)
	if err != nil {
		return r, err
	}
	defer showProgress(broker, diagnostics)()

	ctx, end := context.WithCancelCause(ctx)
	var groups sync.WaitGroup
	for _, consume := range []func(context.Context, *queue.Broker) error{archive.consume, counter.consume} {
		groups.Go(func() {
			if err := consume(ctx, broker); err != nil {
				end(err)
			}
		})
	}
	err = publishAndWait(ctx, broker, files, assigned)
	if ctx.Err() != nil {
		err = context.Cause(ctx) // why a group ended, rather than that it did
	}
	end(nil)
	groups.Wait()
	return newReport(counter.counts, archive.records()), err
}

// publishAndWait returns when both groups have done with every record of the files.
func publishAndWait(ctx context.Context, broker *queue.Broker, files []string, assigned <-chan queue.PartitionEvent) error {
	if err := collect(ctx, broker, files); err != nil {
		return err
	}
	// Until a group has its partitions, it is where its cursor is; then where its files are, which may be further back.
	for range 2 * partitions {
		select {
		case <-assigned:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return broker.WaitIdle(ctx, "archive", "counts")
}
