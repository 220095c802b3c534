package queue

import (
	"context"
	"fmt"
)

// Admin is the operators' side of a broker: what there is, how it does, and what to do about it. It holds nothing: take one from
// Broker.Admin whenever one is needed. All methods may be called at the same time, and while everything runs. They return ErrUnsupported
// where the engine cannot, ErrClosed once the broker is closed, and ErrNotFound for a topic or group that is not there.
type Admin struct{ b *Broker }

// Admin returns the operators' side of b.
func (b *Broker) Admin() *Admin { return &Admin{b} }

// TopicInfo is a topic as it is.
type TopicInfo struct {
	Name       string
	Config     TopicConfig // all defaults filled in
	Records    int64       // stored now, counted one by one
	Bytes      int64       // on disk; what is in memory or waits in a journal is not counted; -1: not known
	Delayed    int64       // messages that are not due yet; they are not among Records
	Partitions []TopicPartition
}

// TopicPartition is a partition of a topic as it is.
type TopicPartition struct {
	Partition   int
	First, Next Position // of the first message that is stored, and behind the last
	Records     int64    // stored now
}

// Topics lists the topics, sorted by name.
func (a *Admin) Topics(ctx context.Context) ([]TopicInfo, error) {
	e, err := a.topics()
	if err != nil {
		return nil, err
	}
	return e.Topics(ctx)
}

// Topic returns one topic.
func (a *Admin) Topic(ctx context.Context, name string) (TopicInfo, error) {
	e, err := a.topics()
	if err != nil {
		return TopicInfo{}, err
	}
	return e.Topic(ctx, name)
}

// DeleteTopic removes a topic with its messages and what groups remember of it, durable on return; its space is given back in the background.
// Publishing to it is ErrNotFound from then on, and so is what a running Consume of a group that has it among its topics ends with.
// A topic made anew under the name is another: positions of the old one are not found in it.
func (a *Admin) DeleteTopic(ctx context.Context, name string) error {
	e, err := a.topics()
	if err != nil {
		return err
	}
	return e.DeleteTopic(ctx, name)
}

// Purge removes the messages that the topic holds, whatever its Retention says and whoever has not done them, durable on return,
// and tells how many they were. Groups that had not done them have missed them, and are told. What is being worked on is not taken
// away, and what is published meanwhile may stay. On an error some partitions may be purged, and the number is of those.
func (a *Admin) Purge(ctx context.Context, topic string) (int64, error) {
	e, err := a.topics()
	if err != nil {
		return 0, err
	}
	return e.Purge(ctx, topic)
}

// topics returns the engine, if it can.
func (a *Admin) topics() (EngineTopics, error) {
	e, ok := a.b.engine.(EngineTopics)
	if !ok {
		return nil, fmt.Errorf("%w: %s: topics cannot be listed, deleted or purged", ErrUnsupported, a.b.capabilities.Name)
	}
	return e, a.open()
}

func (a *Admin) open() error {
	if a.b.closed.Load() {
		return ErrClosed
	}
	return nil
}
