package protobuf_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/queue/codec/codectest"
	"github.com/leatmq/leat/queue/codec/protobuf"
)

// structs are of a generated type that nests, repeats, and has maps and a oneof.
func structs(t testing.TB, deterministic bool) codectest.Suite[*structpb.Struct] {
	t.Helper()
	full, err := structpb.NewStruct(map[string]any{
		"id": "17", "cents": 1999.0, "lines": []any{"apple", nil, true, map[string]any{"deep": []any{[]any{}}}}, "": math.Inf(1),
	})
	if err != nil {
		t.Fatal(err)
	}
	return codectest.Suite[*structpb.Struct]{
		Codec:       protobuf.Codec[*structpb.Struct]{Deterministic: deterministic},
		Values:      []*structpb.Struct{{}, full},
		Unencodable: []*structpb.Struct{nil, {Fields: map[string]*structpb.Value{"\xff": nil}}},
		Bad:         [][]byte{{0x0a}, {0xff}, {0x0a, 0x7f}, {0x07}, {0x0a, 0x03, 0x0a, 0x01, 0xff}, bytes.Repeat([]byte{0x0b}, 30_000)},
		Equal:       func(a, b *structpb.Struct) bool { return proto.Equal(a, b) },
	}
}

func orders(t testing.TB) codectest.Suite[*dynamicpb.Message] {
	v1 := order(t, 1)
	return codectest.Suite[*dynamicpb.Message]{
		Codec:  of(v1),
		Values: []*dynamicpb.Message{dynamicpb.NewMessage(v1), with(v1, "id", "17", "cents", int64(-1), "note", "ä")},
		Bad:    [][]byte{{0x0a, 0x01, 0xff}, {0x0a, 0x05, 'a'}, {0x00}},
		Equal:  func(a, b *dynamicpb.Message) bool { return proto.Equal(a, b) },
	}
}

func TestConformance(t *testing.T) {
	t.Run("Generated", func(t *testing.T) { codectest.Test(t, structs(t, false)) })
	t.Run("Deterministic", func(t *testing.T) { codectest.Test(t, structs(t, true)) })
	t.Run("Dynamic", func(t *testing.T) { codectest.Test(t, orders(t)) })
}

func FuzzCodec(f *testing.F) { codectest.Fuzz(f, structs(f, false)) }

// order is the descriptor of a version of the same message. 2 adds a field and an enum, renames cents, and has dropped note; 3 has another field under the number of cents.
func order(t testing.TB, version int) protoreflect.MessageDescriptor {
	t.Helper()
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: &name, Number: &number, Type: kind.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), JsonName: &name,
		}
	}
	const text, number = descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_INT64
	fields := map[int][]*descriptorpb.FieldDescriptorProto{
		1: {field("id", 1, text), field("cents", 2, number), field("note", 3, text)},
		2: {field("id", 1, text), field("amount", 2, number), field("currency", 4, text)},
		3: {field("id", 1, text), field("reason", 2, text)},
	}[version]
	f, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("order.proto"), Package: proto.String("acme"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Order"), Field: fields}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f.Messages().Get(0)
}

func of(d protoreflect.MessageDescriptor) protobuf.Codec[*dynamicpb.Message] {
	return protobuf.Codec[*dynamicpb.Message]{New: func() *dynamicpb.Message { return dynamicpb.NewMessage(d) }}
}

// with makes a message of field names and values in turn.
func with(d protoreflect.MessageDescriptor, fields ...any) *dynamicpb.Message {
	m := dynamicpb.NewMessage(d)
	for i := 0; i < len(fields); i += 2 {
		m.Set(d.Fields().ByName(protoreflect.Name(fields[i].(string))), protoreflect.ValueOf(fields[i+1]))
	}
	return m
}

func get(m *dynamicpb.Message, name string) any {
	return m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name))).Interface()
}

func encoded(t *testing.T, c protobuf.Codec[*dynamicpb.Message], m *dynamicpb.Message) []byte {
	t.Helper()
	b, err := c.AppendEncode(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A newer consumer reads what an older producer wrote, and the other way round; a consumer in between passes on what it does not know.
func TestEvolution(t *testing.T) {
	v1, v2 := order(t, 1), order(t, 2)
	old := encoded(t, of(v1), with(v1, "id", "17", "cents", int64(1999), "note", "by noon"))
	got, err := of(v2).Decode(old)
	if err != nil || get(got, "id") != "17" || get(got, "amount") != int64(1999) || get(got, "currency") != "" {
		t.Errorf("version 2 reads version 1 as %v, %v", got, err)
	}
	if back, err := of(v1).Decode(encoded(t, of(v2), got)); err != nil || get(back, "note") != "by noon" {
		t.Errorf("a field that version 2 does not know came back as %v, %v", back, err)
	}
	dropping := of(v2)
	dropping.DiscardUnknown = true
	if got, err = dropping.Decode(old); err != nil || len(got.GetUnknown()) > 0 {
		t.Errorf("with DiscardUnknown: %v, %v", got, err)
	}
	newer := encoded(t, of(v2), with(v2, "id", "18", "amount", int64(5), "currency", "EUR"))
	if got, err := of(v1).Decode(newer); err != nil || get(got, "id") != "18" || get(got, "cents") != int64(5) || get(got, "note") != "" {
		t.Errorf("version 1 reads version 2 as %v, %v", got, err)
	}
}

// A number that got another meaning is what evolution must not do: the value is not there any more, and is carried along unseen.
func TestNumberWithAnotherMeaning(t *testing.T) {
	v1, v3 := order(t, 1), order(t, 3)
	got, err := of(v3).Decode(encoded(t, of(v1), with(v1, "id", "17", "cents", int64(1999))))
	if err != nil || get(got, "reason") != "" {
		t.Errorf("an amount was read as the reason %v, %v", got, err)
	}
	if number, _, _ := protowire.ConsumeTag(got.GetUnknown()); number != 2 {
		t.Errorf("what was under number 2 is gone: % x", []byte(got.GetUnknown()))
	}
}

// Bytes of another message are refused by the content type, though they decode.
func TestOtherMessage(t *testing.T) {
	texts := queue.TopicOf("t", protobuf.Codec[*wrapperspb.StringValue]{})
	bin := queue.TopicOf("t", protobuf.Codec[*wrapperspb.BytesValue]{})
	m, err := texts.Message(wrapperspb.String("hello"))
	if err != nil || m.Headers.Get(queue.HeaderContentType) != "application/protobuf; proto=google.protobuf.StringValue" {
		t.Fatalf("%+v, %v", m, err)
	}
	if v, err := bin.Decode(&queue.Record{Message: m}); !errors.Is(err, queue.ErrContentType) {
		t.Errorf("bytes read a string as %v, %v, want ErrContentType", v, err)
	}
	c := protobuf.Codec[*wrapperspb.StringValue]{}
	for contentType, want := range map[string]bool{
		"application/protobuf": true, "application/x-protobuf": true, "Application/Protobuf; Proto=google.protobuf.StringValue": true,
		"application/x-protobuf; messageType=\"google.protobuf.StringValue\"": true, "application/vnd.google.protobuf": true,
		"application/protobuf; proto=acme.Order": false, "application/protobuf; messageType=acme.Order": false, "application/json": false, "application/protobuf; ;": false,
	} {
		if got := c.ReadsContentType(contentType); got != want {
			t.Errorf("reads %s: %v, want %v", contentType, got, want)
		}
	}
}

func TestInterfaceWithoutNew(t *testing.T) {
	c := protobuf.Codec[proto.Message]{}
	if v, err := c.Decode(nil); err == nil {
		t.Errorf("decoded %v", v)
	}
	if _, err := c.AppendEncode(nil, nil); !errors.Is(err, protobuf.ErrNil) {
		t.Errorf("nil was encoded: %v", err)
	}
	if ct := c.ContentType(); strings.Contains(ct, ";") {
		t.Errorf("content type %s", ct)
	}
}
