package queue

import (
	"context"
	"fmt"
	"strconv"
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

// AddPartitions gives a topic more partitions, so that it has total, durable on return, while publishers and groups work. If it has total already nothing happens. Fewer than it has is a
// *ConfigError, as is more than MaxPartitions: a topic never has fewer. From then on EnsureTopic has to name the new number.
//
// Keys are spread anew. From then on a message goes to the partition that its key has among total, which may be another than that of the messages with its key before. Order by key holds within a partition
// only, so of a key that moves a message may be worked on before, and while, older ones are that lie in the partition from before. Who cannot have that has the publishers stop, waits until all groups are idle (see
// [Broker.WaitIdle]), adds the partitions, and lets the publishers go on. Messages that wait for their time, and dead letters that go back, go where their key is then. IDs are known for the whole topic: a duplicate is found
// wherever its key has gone. A Partition that a message names stays what it is.
//
// Groups that have the topic get the new partitions from their beginning, whatever their StartIfNew: at once, spread over their members, or when they come back, and nothing is removed there as done before. So do
// Reads that follow all partitions.
//
// After ErrIndeterminate, and after an error of ctx, it is to be called again. Nothing but waiting ends with ctx.
func (a *Admin) AddPartitions(ctx context.Context, topic string, total int) error {
	if err := a.open(); err != nil {
		return err
	}
	if err := a.b.can(CanAddPartitions); err != nil {
		return err
	}
	f := faults{subject: "topic " + strconv.Quote(topic)}
	f.check(total >= 1 && total <= MaxPartitions, "Partitions", total, fmt.Sprintf("from 1 to %d", MaxPartitions))
	if err := f.err(); err != nil {
		return err
	}
	e, ok := a.b.engine.(EngineGrower)
	if !ok {
		return fmt.Errorf("%w: %s: it claims %q, and is no EngineGrower", ErrUnsupported, a.b.capabilities.Name, CanAddPartitions)
	}
	return e.AddPartitions(ctx, topic, total)
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
