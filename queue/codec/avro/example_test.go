package avro_test

import (
	"fmt"

	twmb "github.com/twmb/avro"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/codec/avro"
)

// A consumer of today reads what producers wrote with the schema of yesterday.
func ExampleNew() {
	type Order struct {
		ID     string `avro:"id"`
		Amount int64  `avro:"amount"`
	}
	type Before struct {
		ID    string `avro:"id"`
		Cents int32  `avro:"cents"`
	}
	before := twmb.MustParse(`{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},{"name":"cents","type":"int"}]}`)
	now := twmb.MustParse(`{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},{"name":"amount","aliases":["cents"],"type":"long"}]}`)

	m, _ := queue.TopicOf("orders", avro.Must(avro.New[Before](before))).Message(Before{"17", 1999})
	o, err := queue.TopicOf("orders", avro.Must(avro.New[Order](now, before))).Decode(&queue.Record{Message: m})
	fmt.Println(o.Amount, err)
	// Output: 1999 <nil>
}
