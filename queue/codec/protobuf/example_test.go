package protobuf_test

import (
	"fmt"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/codec/protobuf"
)

// A topic of protocol buffers. The type is any generated one.
func ExampleCodec() {
	names := queue.TopicOf("names", protobuf.Codec[*wrapperspb.StringValue]{})
	m, err := names.Message(wrapperspb.String("ann"))
	fmt.Println(m.Headers.Get("content-type"), len(m.Value), err)
	v, err := names.Decode(&queue.Record{Message: m})
	fmt.Println(v.GetValue(), err)
	// Output:
	// application/protobuf; proto=google.protobuf.StringValue 5 <nil>
	// ann <nil>
}
