package codec_test

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/leatmq/leat/queue/codec"
	"github.com/leatmq/leat/queue/codec/codectest"
)

type order struct {
	ID    string            `json:"id"`
	Cents int64             `json:"cents"`
	Lines []line            `json:"lines,omitempty"`
	Tags  map[string]string `json:"tags,omitempty"`
	Rate  *float64          `json:"rate,omitempty"`
	Raw   []byte            `json:"raw,omitempty"`
}

type line struct {
	SKU string `json:"sku"`
	N   int    `json:"n"`
}

func orders() []order {
	third := 1.0 / 3
	return []order{
		{},
		{ID: "o-17", Cents: math.MaxInt64, Tags: map[string]string{"a": "ä", "": "<&>"}},
		{ID: "o-18", Cents: -1, Lines: []line{{"apple", 3}, {"pear", -1}}, Rate: &third, Raw: []byte{0, 255, 1}},
	}
}

func jsonSuite(strict bool) codectest.Suite[order] {
	s := codectest.Suite[order]{
		Codec:  codec.JSON[order]{Strict: strict},
		Values: orders(),
		Bad: [][]byte{nil, []byte("{"), []byte(`{"id":17}`), []byte(`{"id":"a"} x`), []byte(`{"id":"a"}{}`), []byte(`{"cents":1e999}`), []byte("\xff"),
			[]byte(`{"raw":"?"}`)},
		Unencodable: []order{{Rate: ptr(math.NaN())}, {Rate: ptr(math.Inf(1))}},
	}
	if strict {
		s.Bad = append(s.Bad, []byte(`{"id":"a","newer":1}`))
	}
	return s
}

func ptr[T any](v T) *T { return &v }

func bytesSuite() codectest.Suite[[]byte] {
	return codectest.Suite[[]byte]{Codec: codec.Bytes{}, Values: [][]byte{nil, {0}, []byte("some bytes \x00\xff"), make([]byte, 100_000)}}
}

func stringSuite() codectest.Suite[string] {
	return codectest.Suite[string]{
		Codec: codec.String{}, Values: []string{"", "a", "äöü\x00", string(make([]byte, 10_000))},
		Bad: [][]byte{{0xff}, []byte("a\xc3")}, Unencodable: []string{"\xff", "a\xed\xa0\x80"},
	}
}

var errShort = errors.New("not 8 bytes")

// funcSuite is of numbers in 8 bytes; those below 0 are not encoded.
func funcSuite() codectest.Suite[int64] {
	return codectest.Suite[int64]{
		Codec: codec.Func[int64]{
			Type: "application/x-number",
			Append: func(dst []byte, v int64) ([]byte, error) {
				if v < 0 {
					return dst, errors.New("below 0")
				}
				return binary.BigEndian.AppendUint64(dst, uint64(v)), nil
			},
			Parse: func(b []byte) (int64, error) {
				if len(b) != 8 || b[0] > 127 {
					return 0, errShort
				}
				return int64(binary.BigEndian.Uint64(b)), nil
			},
		},
		Values: []int64{0, 1, math.MaxInt64}, Unencodable: []int64{-1}, Bad: [][]byte{nil, {1}, make([]byte, 9)},
	}
}

func TestConformance(t *testing.T) {
	t.Run("JSON", func(t *testing.T) { codectest.Test(t, jsonSuite(false)) })
	t.Run("JSONStrict", func(t *testing.T) { codectest.Test(t, jsonSuite(true)) })
	t.Run("Bytes", func(t *testing.T) { codectest.Test(t, bytesSuite()) })
	t.Run("BytesOfAType", func(t *testing.T) {
		s := bytesSuite()
		s.Codec = codec.Bytes{Type: "image/png"}
		codectest.Test(t, s)
	})
	t.Run("String", func(t *testing.T) { codectest.Test(t, stringSuite()) })
	t.Run("Func", func(t *testing.T) { codectest.Test(t, funcSuite()) })
}

func FuzzJSON(f *testing.F)       { codectest.Fuzz(f, jsonSuite(false)) }
func FuzzJSONStrict(f *testing.F) { codectest.Fuzz(f, jsonSuite(true)) }
func FuzzString(f *testing.F)     { codectest.Fuzz(f, stringSuite()) }

// A consumer of an older or a newer version reads what it knows.
func TestJSONEvolves(t *testing.T) {
	type v1 struct {
		ID string
	}
	type v2 struct {
		ID    string
		Cents int
	}
	newer, err := codec.JSON[v2]{}.AppendEncode(nil, v2{"a", 5})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := (codec.JSON[v1]{}).Decode(newer); err != nil || got.ID != "a" {
		t.Errorf("an older consumer reads %+v, %v", got, err)
	}
	older, _ := codec.JSON[v1]{}.AppendEncode(nil, v1{"b"})
	if got, err := (codec.JSON[v2]{}).Decode(older); err != nil || got != (v2{ID: "b"}) {
		t.Errorf("a newer consumer reads %+v, %v", got, err)
	}
	if got, err := (codec.JSON[v1]{Strict: true}).Decode(newer); err == nil {
		t.Errorf("a strict older consumer reads %+v", got)
	}
}

func TestContentTypes(t *testing.T) {
	for _, c := range []struct {
		contentType string
		json        bool
	}{
		{"application/json", true},
		{"Application/JSON; charset=utf-8", true},
		{"application/vnd.acme.order+json;v=2", true},
		{"text/json", true},
		{"text/plain", false},
		{"application/jsonl", false},
		{"json", false},
	} {
		if got := (codec.JSON[int]{}).ReadsContentType(c.contentType); got != c.json {
			t.Errorf("JSON reads %q: %v, want %v", c.contentType, got, c.json)
		}
	}
}

func TestFuncWithHalf(t *testing.T) {
	if _, err := (codec.Func[int]{}).AppendEncode(nil, 1); err == nil {
		t.Error("a Func without Append encodes")
	}
	if _, err := (codec.Func[int]{}).Decode(nil); err == nil {
		t.Error("a Func without Parse decodes")
	}
}
