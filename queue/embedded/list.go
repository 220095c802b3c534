package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/storage"
)

// internalPrefix begins the names of topics that are the library's own. Users can neither name nor see them.
const internalPrefix = "leat."

func internal(name string) bool { return strings.HasPrefix(name, internalPrefix) }

// userTopics lists the topics of the store, but for those that are the library's own.
func (e *engine) userTopics() []storage.Topic {
	return slices.DeleteFunc(e.store.Topics(), func(t storage.Topic) bool { return internal(t.Name) })
}

// Topics implements queue.EngineTopics.
func (e *engine) Topics(ctx context.Context) ([]queue.TopicInfo, error) {
	var infos []queue.TopicInfo
	for _, t := range e.userTopics() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		info, err := e.Topic(ctx, t.Name)
		switch {
		case errors.Is(err, queue.ErrNotFound): // it was deleted meanwhile
		case err != nil:
			return nil, err
		default:
			infos = append(infos, info)
		}
	}
	slices.SortFunc(infos, func(a, b queue.TopicInfo) int { return cmp.Compare(a.Name, b.Name) })
	return infos, nil
}

// TopicConfig implements queue.EngineTopics.
func (e *engine) TopicConfig(_ context.Context, name string) (queue.TopicConfig, error) {
	t, err := e.topic(name)
	if err != nil {
		return queue.TopicConfig{}, err
	}
	return t.manner.Load().config, nil
}

// Topic implements queue.EngineTopics.
func (e *engine) Topic(_ context.Context, name string) (queue.TopicInfo, error) {
	t, err := e.topic(name)
	if err != nil {
		return queue.TopicInfo{}, err
	}
	delayed, _, _ := e.delays.figures()
	info := queue.TopicInfo{Name: name, Delayed: delayed[t.First], Config: t.manner.Load().config, Bytes: -1}
	files, sized := e.store.(interface {
		Files(storage.PartitionID) (segments int, bytes int64)
	})
	if sized {
		info.Bytes = 0
	}
	for n := range t.partitions() {
		id := t.Partition(n)
		b, err := e.store.Bounds(id)
		if err != nil {
			return queue.TopicInfo{}, fmt.Errorf("topic %q: %w", name, translate(err))
		}
		p := queue.TopicPartition{
			Partition: n, First: t.position(n, b.First), Next: t.position(n, b.Next), Records: e.storedWithin(id, b),
		}
		info.Records += p.Records
		info.Partitions = append(info.Partitions, p)
		if sized {
			_, bytes := files.Files(id)
			info.Bytes += bytes
		}
	}
	return info, nil
}
