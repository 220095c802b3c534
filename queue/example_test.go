package queue_test

import (
	"errors"
	"fmt"

	"github.com/leatmq/leat/queue"
)

// A position kept beside an effect says, as text, how far the effects came.
func ExamplePosition() {
	delivered := queue.PositionAt("orders", 3, 42)
	text, _ := delivered.MarshalText()
	fmt.Println(string(text))

	var stored queue.Position
	if err := stored.UnmarshalText(text); err != nil {
		fmt.Println(err)
	}
	fmt.Println(stored.Covers(queue.PositionAt("orders", 3, 41)), stored.Covers(queue.PositionAt("orders", 3, 43)))
	// Output:
	// orders/3@42
	// true false
}

func ExampleHeaders() {
	m := queue.Message{Topic: "orders", Headers: queue.Headers{}.With("tenant", "acme").With("source", "web")}
	fmt.Println(m.Headers.Get("tenant"), m.Headers.Get("source"), len(m.Headers))
	// Output: acme web 2
}

func ExampleConfigError() {
	err := error(&queue.ConfigError{Subject: `topic "orders"`, Faults: queue.Differences(
		queue.TopicConfig{Partitions: 4, Durability: queue.Synced},
		queue.TopicConfig{Partitions: 8, Durability: queue.Synced},
	)})
	var config *queue.ConfigError
	if errors.As(err, &config) {
		fmt.Println(config.Faults[0].Field)
	}
	fmt.Println(err)
	// Output:
	// Partitions
	// queue: topic "orders": Partitions is 4, not 8: EnsureTopic does not change a topic
}
