package embedded_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/codec"
	"github.com/leatmq/leat/queue/embedded"
)

// BenchmarkTyped is a message's whole way in memory, published one a call and handled by a group, through a typed topic. Against it stands the same by hand: the broker alone, and for JSON
// json.Marshal in front of it and json.Unmarshal behind it.
func BenchmarkTyped(b *testing.B) {
	br, err := embedded.InMemory(embedded.Options{})
	must(b, err)
	defer br.Close()
	bySize(b, func(b *testing.B, size int) {
		value := make([]byte, size)
		b.Run("Bytes", func(b *testing.B) {
			typed, plain := newTypedWay(b, br, codec.Bytes{}), newPlainWay(b, br, nil)
			inShortTurns(b, size, typed.move(value), plain.move(func() ([]byte, error) { return value, nil }))
		})
		b.Run("JSON", func(b *testing.B) {
			v := document{ID: "order-4711", Customer: "customer-17", Cents: 1999, Text: strings.Repeat("x", size-80)}
			typed := newTypedWay(b, br, codec.JSON[document]{})
			plain := newPlainWay(b, br, func(data []byte) error { var v document; return json.Unmarshal(data, &v) })
			inShortTurns(b, size, typed.move(v), plain.move(func() ([]byte, error) { return json.Marshal(v) }))
		})
	})
}

// inShortTurns is against in turns of some milliseconds, since what is compared differs by less than what a machine does from one tenth of a second to the next.
func inShortTurns(b *testing.B, size int, typed, plain contender) {
	b.ReportAllocs()
	b.SetBytes(int64(size))
	b.StopTimer()
	b.ResetTimer()
	var own, other, ratios []float64
	for left := b.N; left > 0; left -= typedAtOnce {
		n := min(left, typedAtOnce)
		other = append(other, rate(n, plain))
		b.StartTimer()
		own = append(own, rate(n, typed))
		b.StopTimer()
		ratios = append(ratios, own[len(own)-1]/other[len(other)-1])
	}
	b.ReportMetric(median(own), "msg/s")
	b.ReportMetric(median(other), "plain-msg/s")
	b.ReportMetric(median(ratios), "ratio")
}

// typedAtOnce is how many messages are on their way at most.
const typedAtOnce = 2000

type document struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Cents    int    `json:"cents"`
	Text     string `json:"text"`
}

// way is what the two have in common: a topic of its own and a group behind it.
type way struct {
	b    *testing.B
	br   *queue.Broker
	name string
	keys []string
	turn int
	left atomic.Int64
	all  chan struct{}
}

func newWay(b *testing.B, br *queue.Broker, kind string) *way {
	w := &way{b: b, br: br, name: strings.NewReplacer("/", "-", "#", "-").Replace(b.Name()) + kind + fmt.Sprint(b.N), all: make(chan struct{}, 1)}
	must(b, br.EnsureTopic(b.Context(), w.name, queue.TopicConfig{Partitions: benchPartitions, Durability: queue.Memory}))
	for i := range benchKeys {
		w.keys = append(w.keys, fmt.Sprint("key-", i))
	}
	return w
}

// start runs a group until the benchmark ends.
func (w *way) start(consume func(ctx context.Context, g queue.Group) error) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- consume(ctx, queue.Group{Name: w.name}) }()
	w.b.Cleanup(func() {
		stop()
		must(w.b, <-ended)
	})
}

func (w *way) handled() {
	if w.left.Add(-1) == 0 {
		w.all <- struct{}{}
	}
}

// through moves n messages, so many at a time that there is always room.
func (w *way) through(publish func(key string) error) contender {
	return func(n int) {
		for n > 0 {
			atOnce := min(n, typedAtOnce)
			w.left.Store(int64(atOnce))
			for range atOnce {
				w.turn++
				must(w.b, publish(w.keys[w.turn%benchKeys]))
			}
			<-w.all
			n -= atOnce
		}
	}
}

type typedWay[T any] struct {
	*way
	topic queue.Topic[T]
	key   string
}

func newTypedWay[T any](b *testing.B, br *queue.Broker, c queue.Codec[T]) *typedWay[T] {
	w := &typedWay[T]{way: newWay(b, br, "typed")}
	w.topic = queue.TopicOf(w.name, c).Keyed(func(T) string { return w.key })
	w.start(func(ctx context.Context, g queue.Group) error {
		return w.topic.Consume(ctx, br, g, func(context.Context, *queue.Delivery, T) error { w.handled(); return nil })
	})
	return w
}

func (w *typedWay[T]) move(v T) contender {
	ctx := context.Background()
	return w.through(func(key string) error {
		w.key = key
		_, err := w.topic.Publish(ctx, w.br, v)
		return err
	})
}

type plainWay struct{ *way }

func newPlainWay(b *testing.B, br *queue.Broker, decode func([]byte) error) *plainWay {
	w := &plainWay{newWay(b, br, "plain")}
	w.start(func(ctx context.Context, g queue.Group) error {
		g.Topics = []string{w.name}
		return br.Consume(ctx, g, func(_ context.Context, d *queue.Delivery) error {
			if decode != nil {
				if err := decode(d.Value); err != nil {
					return err
				}
			}
			w.handled()
			return nil
		})
	})
	return w
}

func (w *plainWay) move(value func() ([]byte, error)) contender {
	ctx := context.Background()
	return w.through(func(key string) error {
		v, err := value()
		if err != nil {
			return err
		}
		_, err = w.br.Publish(ctx, queue.Message{Topic: w.name, Key: []byte(key), Value: v})
		return err
	})
}
