package claimcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/embedded"
	"github.com/leatmq/leat/storage/blob"
)

// files is blobs in a directory.
type files struct{ *blob.Dir }

func (f files) Create() (draft, error) {
	w, err := f.Dir.Create()
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (f files) Open(h hash) (io.ReadCloser, error) {
	v, err := f.Dir.Open(h)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrMissing, err)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// ownerTopic is a topic without messages, whose incarnation says which queue a directory belongs to.
const ownerTopic = "claimcheck.owner"

// own refuses a directory that says that it is another queue's, and has one say whose it is that does not.
func own(b *queue.Broker, e *embedded.Engine, d *blob.Dir) error {
	lives, err := incarnations(b, e)
	if err != nil {
		return err
	}
	text, err := d.Owner()
	if err != nil {
		return err
	}
	if text != "" {
		owner, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		if err != nil || !slices.Contains(lives, owner) {
			return fmt.Errorf("%w: it says %.40q", ErrOwner, text)
		}
		return nil
	}
	all, err := d.List()
	if err != nil {
		return err
	}
	if len(all) > 0 {
		return fmt.Errorf("%w: there are %d values, and no owner", ErrOwner, len(all))
	}
	return d.SetOwner(fmt.Sprintf("%016x\n", lives[0]))
}

// incarnations are the numbers by which a directory knows its queue: those that ownerTopic had, of which the first is the newest.
func incarnations(b *queue.Broker, e *embedded.Engine) ([]uint64, error) {
	if err := b.EnsureTopic(context.Background(), ownerTopic, queue.TopicConfig{}); err != nil {
		return nil, err
	}
	ps, err := e.RawPartitions()
	if err != nil {
		return nil, err
	}
	for _, p := range ps {
		if p.Topic == ownerTopic {
			return p.Incarnations, nil
		}
	}
	return nil, fmt.Errorf("%w: topic %q", queue.ErrNotFound, ownerTopic)
}
