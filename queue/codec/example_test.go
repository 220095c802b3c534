package codec_test

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/codec"
)

// A codec names the type of a topic's values. What cannot be decoded says so, for good.
func ExampleJSON() {
	type Order struct {
		ID    string `json:"id"`
		Cents int    `json:"cents"`
	}
	orders := queue.TopicOf("orders", codec.JSON[Order]{}).Identified(func(o Order) string { return o.ID })

	m, err := orders.Message(Order{ID: "17", Cents: 1999})
	fmt.Printf("%s, %s, ID %s, %v\n", m.Value, m.Headers.Get("content-type"), m.ID, err)

	o, err := orders.Decode(&queue.Record{Message: m})
	fmt.Println(o.Cents, err)

	m.Value = []byte(`{"id":`)
	_, err = orders.Decode(&queue.Record{Message: m})
	var undecoded *queue.DecodeError
	fmt.Println(errors.As(err, &undecoded), err)
	// Output:
	// {"id":"17","cents":1999}, application/json, ID 17, <nil>
	// 1999 <nil>
	// true queue: a message of topic "orders", "application/json" cannot be decoded: unexpected end of JSON input
}

// Two functions are a codec, too.
func ExampleFunc() {
	ticks := codec.Func[uint64]{
		Type:   "application/x-ticks",
		Append: func(dst []byte, v uint64) ([]byte, error) { return binary.AppendUvarint(dst, v), nil },
		Parse: func(b []byte) (uint64, error) {
			v, n := binary.Uvarint(b)
			if n <= 0 || n != len(b) {
				return 0, errors.New("not one number")
			}
			return v, nil
		},
	}
	b, _ := ticks.AppendEncode(nil, 300)
	v, err := ticks.Decode(b)
	fmt.Println(len(b), v, err)
	// Output: 2 300 <nil>
}
