package avro_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	twmb "github.com/twmb/avro"

	"github.com/leatmq/leat/queue/codec/avro"
	"github.com/leatmq/leat/queue/codec/codectest"
)

// The versions of a schema: 2 has a field with a default, has renamed one, widened one, and dropped one.
const (
	v1Schema = `{"type":"record","name":"Order","fields":[
		{"name":"id","type":"string"},{"name":"cents","type":"int"},{"name":"note","type":["null","string"],"default":null}]}`
	v2Schema = `{"type":"record","name":"Order","fields":[
		{"name":"id","type":"string"},{"name":"amount","aliases":["cents"],"type":"long"},{"name":"currency","type":"string","default":"EUR"}]}`
	withoutDefault = `{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},{"name":"tax","type":"int"}]}`
)

type v1 struct {
	ID    string  `avro:"id"`
	Cents int32   `avro:"cents"`
	Note  *string `avro:"note"`
}

type v2 struct {
	ID       string `avro:"id"`
	Amount   int64  `avro:"amount"`
	Currency string `avro:"currency"`
}

// tree is of a type that nests in itself, repeats, and has maps.
type tree struct {
	Name     string            `avro:"name"`
	Weight   float64           `avro:"weight"`
	Raw      []byte            `avro:"raw"`
	Children []tree            `avro:"children"`
	Tags     map[string]string `avro:"tags"`
	Next     *tree             `avro:"next"`
}

const treeSchema = `{"type":"record","name":"Tree","fields":[
	{"name":"name","type":"string"},{"name":"weight","type":"double"},{"name":"raw","type":"bytes"},
	{"name":"children","type":{"type":"array","items":"Tree"}},{"name":"tags","type":{"type":"map","values":"string"}},
	{"name":"next","type":["null","Tree"],"default":null}]}`

func trees() codectest.Suite[tree] {
	c := avro.Must(avro.New[tree](twmb.MustParse(treeSchema)))
	head := mustEncode(c, leaf("x"))[:10]
	return codectest.Suite[tree]{
		Codec: c,
		Values: []tree{leaf(""), {
			Name: "root", Weight: -1.5, Raw: []byte{0, 255}, Tags: map[string]string{"a": "ä", "": ""},
			Children: []tree{leaf("left"), leaf(strings.Repeat("right", 100))}, Next: ptr(leaf("next")),
		}, {Name: "NaN", Weight: math.NaN(), Raw: []byte{}, Children: []tree{}, Tags: map[string]string{"a": "", "b": ""}}},
		Bad: [][]byte{
			nil, head[:9], head, append(bytes.Clone(head), 0xff), append([]byte{0xc3, 0x01, 1, 2, 3, 4, 5, 6, 7, 8}, 0),
			append(mustEncode(c, leaf("x")), 0), append(bytes.Clone(head), 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
			append(bytes.Clone(head), bytes.Repeat([]byte{0}, 10_000)...),
		},
		Equal: same,
	}
}

// same is reflect.DeepEqual, but that NaN is NaN.
func same(a, b tree) bool {
	if math.IsNaN(a.Weight) && math.IsNaN(b.Weight) {
		a.Weight, b.Weight = 0, 0
	}
	if (a.Next == nil) != (b.Next == nil) || a.Next != nil && !same(*a.Next, *b.Next) || !slices.EqualFunc(a.Children, b.Children, same) {
		return false
	}
	a.Next, b.Next, a.Children, b.Children = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}

func leaf(name string) tree {
	return tree{Name: name, Raw: []byte{}, Children: []tree{}, Tags: map[string]string{}}
}

func ptr[T any](v T) *T { return &v }

func mustEncode[T any](c avro.Codec[T], v T) []byte {
	b, err := c.AppendEncode(nil, v)
	if err != nil {
		panic(err)
	}
	return b
}

func TestConformance(t *testing.T) { codectest.Test(t, trees()) }

func FuzzCodec(f *testing.F) { codectest.Fuzz(f, trees()) }

// FuzzResolved decodes what says that it was written with another schema.
func FuzzResolved(f *testing.F) {
	c, old := evolved(f)
	f.Add(mustEncode(old, v1{ID: "17", Cents: 5, Note: ptr("by noon")}))
	f.Add(mustEncode(c, v2{ID: "17"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := c.Decode(data)
		if err != nil {
			return
		}
		if again, err := c.Decode(mustEncode(c, v)); err != nil || again != v {
			t.Errorf("%+v came back as %+v, %v", v, again, err)
		}
	})
}

// evolved returns the codec of version 2 that reads version 1 as well, and that of version 1.
func evolved(t testing.TB) (avro.Codec[v2], avro.Codec[v1]) {
	t.Helper()
	first, second := twmb.MustParse(v1Schema), twmb.MustParse(v2Schema)
	c, err := avro.New[v2](second, first)
	if err != nil {
		t.Fatal(err)
	}
	return c, avro.Must(avro.New[v1](first))
}

func TestEvolution(t *testing.T) {
	c, old := evolved(t)
	for _, note := range []*string{nil, ptr("by noon")} {
		got, err := c.Decode(mustEncode(old, v1{ID: "17", Cents: math.MinInt32, Note: note}))
		if want := (v2{"17", math.MinInt32, "EUR"}); err != nil || got != want {
			t.Errorf("version 2 reads version 1 as %+v, %v, want %+v", got, err, want)
		}
	}
	if got, err := c.Decode(mustEncode(c, v2{"18", math.MaxInt64, "USD"})); err != nil || got != (v2{"18", math.MaxInt64, "USD"}) {
		t.Errorf("version 2 reads itself as %+v, %v", got, err)
	}
	if got, err := old.Decode(mustEncode(c, v2{ID: "18"})); !errors.Is(err, avro.ErrSchema) {
		t.Errorf("version 1, which was not told of version 2, reads it as %+v, %v, want ErrSchema", got, err)
	}
}

// What could not be read when a message comes is an error when the codec is made.
func TestIncompatibleSchemas(t *testing.T) {
	first := twmb.MustParse(v1Schema)
	var incompatible *twmb.CompatibilityError
	if _, err := avro.New[v1](twmb.MustParse(withoutDefault), first); !errors.As(err, &incompatible) {
		t.Errorf("a field that was added without a default: %v, want a *CompatibilityError", err)
	}
	if _, err := avro.New[v1](first, twmb.MustParse(v2Schema)); err == nil {
		t.Error("a long that becomes an int: no error")
	}
	if _, err := avro.New[v1](nil); err == nil {
		t.Error("no schema: no error")
	}
	if _, err := avro.New[v1](first, nil); err == nil {
		t.Error("another schema that is nil: no error")
	}
	if _, err := avro.New[v1](first, first, twmb.MustParse(v1Schema)); err != nil {
		t.Errorf("itself among the others: %v", err)
	}
	var zero avro.Codec[v1]
	if _, err := zero.AppendEncode(nil, v1{}); err == nil {
		t.Error("the zero codec encodes")
	}
	if _, err := zero.Decode(mustEncode(avro.Must(avro.New[v1](first)), v1{})); err == nil {
		t.Error("the zero codec decodes")
	}
}

func TestMust(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	avro.Must(avro.New[v1](nil))
}
