// Command largefiles sends a large file along with a message: from a reader to a file beside the log, and from there to a handler, which compares every byte. Neither side holds more than a
// piece of it in memory. The same file sent again takes no space, and both go with the last message that names them.
//
//	go run ./examples/largefiles -mib 128
//
// Without -mib it is 1,024 MiB, which takes some 15 seconds, and a byte more in the message. Measured figures go to standard error.
//
// Output:
//
//	sent 128 MiB: the message has 92 bytes, the file lies beside the log
//	received 128 MiB, every byte as it was sent
//	flat: yes
//	sent again: stored once
//	after the last message: 0 bytes are kept
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/claimcheck"
	"github.com/leatmq/leat/queue/embedded"
)

func main() {
	mib := flag.Int64("mib", 1024, "the size of the file in MiB")
	flag.Parse()
	if err := run(os.Stdout, os.Stderr, *mib); err != nil {
		fmt.Fprintln(os.Stderr, "largefiles:", err)
		os.Exit(1)
	}
}

// film is so many bytes that nobody can guess, always the same.
func film(mib int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte([]byte("a film of a river, in one colour"))), mib<<20)
}

func run(out, figures io.Writer, mib int64) (err error) {
	dir, err := os.MkdirTemp("", "largefiles-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	broker, err := embedded.Open(filepath.Join(dir, "queue"), embedded.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	if err := broker.EnsureTopic(ctx, "films", queue.TopicConfig{}); err != nil {
		return err
	}
	store, err := claimcheck.Open(broker, filepath.Join(dir, "values"), claimcheck.Options{Grace: time.Millisecond, SweepEvery: -1})
	if err != nil {
		return err
	}
	defer store.Close()

	peak := watch()
	began := time.Now()
	sent, err := store.PublishFrom(ctx, queue.Message{Topic: "films", Key: []byte("river")}, film(mib))
	if err != nil {
		return err
	}
	fmt.Fprintf(figures, "sent in %v\n", time.Since(began).Round(time.Millisecond))
	if err := receive(ctx, out, broker, store, sent, mib); err != nil {
		return err
	}
	grown := peak()
	fmt.Fprintf(figures, "received after %v; memory grew by %.1f MiB at most\n", time.Since(began).Round(time.Millisecond), float64(grown)/(1<<20))
	fmt.Fprintln(out, "flat:", map[bool]string{true: "yes", false: "no"}[grown < flat])
	return sendAgainAndRemove(ctx, out, broker, store, mib)
}

// receive has a handler compare the film with what was sent.
func receive(ctx context.Context, out io.Writer, broker *queue.Broker, store *claimcheck.Store, sent queue.Receipt, mib int64) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var failed error
	group := queue.Group{Name: "viewers", Topics: []string{"films"}}
	err := broker.Consume(ctx, group, func(ctx context.Context, d *queue.Delivery) error {
		defer stop()
		if d.Position != sent.Position {
			failed = fmt.Errorf("got %v, sent %v", d.Position, sent.Position)
			return nil
		}
		fmt.Fprintf(out, "sent %d MiB: the message has %d bytes, the file lies beside the log\n", mib, len(d.Value))
		r, err := store.Open(&d.Message)
		if err != nil {
			failed = err
			return nil
		}
		defer r.Close()
		n, err := compare(r, film(mib))
		if failed = err; err == nil {
			fmt.Fprintf(out, "received %d MiB, every byte as it was sent\n", n>>20)
		}
		return nil
	})
	return errors.Join(err, failed)
}

// compare reads both to their ends.
func compare(got, want io.Reader) (n int64, err error) {
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		i, err := io.ReadFull(got, a)
		j, _ := io.ReadFull(want, b)
		n += int64(i)
		switch {
		case !bytes.Equal(a[:i], b[:j]):
			return n, fmt.Errorf("byte %d and those before it are not what was sent", n)
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// sendAgainAndRemove publishes the same film, and gives up both messages.
func sendAgainAndRemove(ctx context.Context, out io.Writer, broker *queue.Broker, store *claimcheck.Store, mib int64) error {
	if _, err := store.PublishFrom(ctx, queue.Message{Topic: "films"}, film(mib)); err != nil {
		return err
	}
	if kept := store.Stats().Bytes; kept != mib<<20 {
		return fmt.Errorf("%d bytes are kept", kept)
	}
	fmt.Fprintln(out, "sent again: stored once")
	if _, err := broker.Admin().Purge(ctx, "films"); err != nil {
		return err
	}
	grace := time.NewTimer(0)
	defer grace.Stop()
	for store.Stats().Bytes > 0 { // the second sweep removes it, when the grace is over
		<-grace.C
		if _, err := store.Sweep(ctx); err != nil {
			return err
		}
		grace.Reset(2 * time.Millisecond)
	}
	fmt.Fprintf(out, "after the last message: %d bytes are kept\n", store.Stats().Bytes)
	return nil
}
