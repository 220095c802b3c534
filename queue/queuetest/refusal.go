package queuetest

import (
	"context"
	"errors"
	"time"

	"github.com/leatmq/leat/queue"
)

// refuses asks for a feature that the engine does not claim, in every way there is, and wants ErrUnsupported before anything happened.
func (s *stage) refuses(f queue.Feature) {
	s.Helper()
	ask, ok := s.askingFor(f)
	if !ok {
		s.Logf("the engine does not claim %q, and nothing asks for that alone", f)
		return
	}
	s.topic("t", 2)
	for _, try := range ask {
		if err := try(s.within()); !errors.Is(err, queue.ErrUnsupported) {
			s.Errorf("%q, which the engine does not claim: %v, want ErrUnsupported", f, err)
		}
	}
}

func (s *stage) askingFor(f queue.Feature) (ask []func(ctx context.Context) error, ok bool) {
	consume := func(g queue.Group) []func(ctx context.Context) error {
		g.Name, g.Topics = "g", []string{"t"}
		return []func(ctx context.Context) error{
			func(ctx context.Context) error {
				return s.broker.Consume(ctx, g, func(context.Context, *queue.Delivery) error { return nil })
			},
			func(ctx context.Context) error {
				return s.broker.ConsumeBatch(ctx, g, func(context.Context, []*queue.Delivery) []error { return nil })
			},
		}
	}
	switch f {
	case queue.CanOrderByKey:
		return consume(queue.Group{Order: queue.ByKey}), true
	case queue.CanOrderByPartition:
		return consume(queue.Group{Order: queue.ByPartition}), true
	case queue.CanShare:
		return consume(queue.Group{Order: queue.Unordered}), true
	case queue.CanResume:
		resume := func(context.Context, string, int) (queue.Position, error) { return queue.Position{}, nil }
		return consume(queue.Group{Order: queue.ByPartition, Resume: resume}), true
	case queue.CanPark:
		return consume(queue.Group{Order: queue.ByKey, Failure: queue.Failure{WhileRetry: queue.ParkKey}}), true
	case queue.CanExclude:
		return consume(queue.Group{Order: s.someOrder(), Exclusive: true}), true
	case queue.CanExpire:
		return consume(queue.Group{Order: s.someOrder(), ExpireAfter: time.Hour}), true
	case queue.CanSeek:
		return []func(ctx context.Context) error{func(ctx context.Context) error { return s.broker.Admin().Seek(ctx, "g", queue.Latest()) }}, true
	case queue.CanPause:
		return []func(ctx context.Context) error{func(ctx context.Context) error { return s.broker.Admin().Pause(ctx, "g") }}, true
	case queue.CanAddPartitions:
		return []func(ctx context.Context) error{func(ctx context.Context) error { return s.broker.Admin().AddPartitions(ctx, "t", 3) }}, true
	case queue.CanCommit:
		return consume(queue.Group{Order: s.someOrder(), Guarantee: queue.ExactlyOnce}), true
	case queue.CanClaim:
		return consume(queue.Group{Order: s.someOrder(), Guarantee: queue.AtMostOnce}), true
	case queue.CanBatch:
		return []func(ctx context.Context) error{func(ctx context.Context) error {
			_, err := s.broker.PublishBatch(ctx, queue.Message{Topic: "t"}, queue.Message{Topic: "t"})
			return err
		}}, true
	case queue.CanStoreInMemory:
		return s.ensuring(queue.TopicConfig{Durability: queue.Memory}), true
	case queue.CanRetain:
		return append(s.ensuring(queue.TopicConfig{Retention: queue.Retention{Age: time.Hour}}), append(
			s.ensuring(queue.TopicConfig{Retention: queue.Retention{Bytes: 1}}),
			s.ensuring(queue.TopicConfig{Retention: queue.Retention{Records: 1}})...)...), true
	case queue.CanRemoveDone:
		return s.ensuring(queue.TopicConfig{Retention: queue.Retention{WhenDone: true}}), true
	case queue.CanKeepLatest:
		return s.ensuring(queue.TopicConfig{Retention: queue.Retention{LatestByKey: true}}), true
	case queue.CanLimit:
		return append(s.ensuring(queue.TopicConfig{Limit: queue.Limit{Messages: 1}}), consume(queue.Group{Order: s.someOrder(), Uncounted: true})...), true
	case queue.CanDelay:
		return []func(ctx context.Context) error{
			func(ctx context.Context) error {
				_, err := s.broker.Publish(ctx, queue.Message{Topic: "t", NotBefore: in(1000)})
				return err
			},
			func(ctx context.Context) error { return s.broker.Cancel(ctx, "t") },
			func(ctx context.Context) error {
				_, err := s.broker.Reschedule(ctx, "t", in(1000))
				return err
			},
		}, true
	case queue.CanExpireMessages:
		return []func(ctx context.Context) error{func(ctx context.Context) error {
			_, err := s.broker.Publish(ctx, queue.Message{Topic: "t", Expires: in(1000)})
			return err
		}}, true
	case queue.CanLease:
		return []func(ctx context.Context) error{func(ctx context.Context) error {
			for _, err := range s.broker.Deliveries(ctx, queue.Group{Name: "g", Topics: []string{"t"}, Order: s.someOrder()}) {
				return err
			}
			return nil
		}}, true
	case queue.CanMark:
		return []func(ctx context.Context) error{func(ctx context.Context) error {
			_, err := s.broker.Transact(ctx, func(tx *queue.Tx) error {
				_, err := tx.Mark(ctx, "s", "k")
				return err
			})
			return err
		}}, true
	case queue.CanDedup:
		return []func(ctx context.Context) error{func(ctx context.Context) error {
			_, err := s.broker.Publish(ctx, queue.Message{Topic: "t", ID: "id"})
			return err
		}}, true
	case queue.CanRead:
		return []func(ctx context.Context) error{func(ctx context.Context) error {
			for _, err := range s.broker.Read(ctx, queue.Range{Topic: "t"}) {
				return err
			}
			return nil
		}}, true
	}
	return nil, false
}

func (s *stage) ensuring(c queue.TopicConfig) []func(ctx context.Context) error {
	return []func(ctx context.Context) error{func(ctx context.Context) error { return s.broker.EnsureTopic(ctx, "refused", c) }}
}
