package claimcheck_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/claimcheck"
	"github.com/leatmq/leat/queue/embedded"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// A film goes along with a message, from a reader to a reader, and is removed with the message.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	dir, err := os.MkdirTemp("", "claimcheck-")
	must(err)
	defer os.RemoveAll(dir)
	broker, err := embedded.Open(filepath.Join(dir, "queue"), embedded.Options{})
	must(err)
	defer broker.Close()
	must(broker.EnsureTopic(ctx, "films", queue.TopicConfig{}))
	store, err := claimcheck.Open(broker, filepath.Join(dir, "values"), claimcheck.Options{})
	must(err)
	defer store.Close()

	film := strings.NewReader(strings.Repeat("24 pictures a second, ", 1_000_000))
	_, err = store.PublishFrom(ctx, queue.Message{Topic: "films", Key: []byte("casablanca"), Headers: queue.Headers{}.With("content-type", "video/mp4")}, film)
	must(err)

	must(broker.Consume(ctx, queue.Group{Name: "viewers", Topics: []string{"films"}}, func(ctx context.Context, d *queue.Delivery) error {
		r, err := store.Open(&d.Message)
		if err != nil {
			return err
		}
		defer r.Close()
		n, err := io.Copy(io.Discard, r) // fails if a byte is not what it was
		fmt.Printf("%s: %d bytes in the message, %d bytes of %s\n", d.Key, len(d.Value), n, d.Headers.Get("content-type"))
		stop()
		return err
	}))
	// Output:
	// casablanca: 91 bytes in the message, 22000000 bytes of video/mp4
}
