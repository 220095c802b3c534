// Package codectest holds what every [queue.Codec] must do, as tests that an implementation runs: [Test], and [Fuzz] for its decoder.
//
// It is for tests only. It does not judge how small or fast a codec is.
package codectest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"mime"
	"reflect"
	"runtime/metrics"
	"sync"
	"testing"

	"github.com/leatmq/leat/queue"
	"github.com/leatmq/leat/retry"
)

// Suite is a codec and what it is tried with.
type Suite[T any] struct {
	Codec       queue.Codec[T]
	Values      []T               // each comes back as it was; at least one
	Unencodable []T               // each is refused
	Bad         [][]byte          // each is no value
	Equal       func(a, b T) bool // nil: reflect.DeepEqual
	// Growth is how many bytes Decode may allocate for each byte of data. 0: 512. It is for types whose small values take much memory.
	Growth int
}

func (s *Suite[T]) equal(a, b T) bool {
	if s.Equal != nil {
		return s.Equal(a, b)
	}
	return reflect.DeepEqual(a, b)
}

// Test runs the conformance suite.
func Test[T any](t *testing.T, s Suite[T]) {
	if len(s.Values) == 0 {
		t.Fatal("a suite without values tests nothing")
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Suite[T])
	}{
		{"RoundTrip", testRoundTrip[T]},
		{"Appends", testAppends[T]},
		{"Owned", testOwned[T]},
		{"Bad", testBad[T]},
		{"Unencodable", testUnencodable[T]},
		{"CutShort", testCutShort[T]},
		{"Garbage", testGarbage[T]},
		{"ContentType", testContentType[T]},
		{"Compressed", testCompressed[T]},
		{"Concurrent", testConcurrent[T]},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, &s) })
	}
}

func (s *Suite[T]) encode(t testing.TB, v T) []byte {
	t.Helper()
	b, err := s.Codec.AppendEncode(nil, v)
	if err != nil {
		t.Fatalf("encoding %+v: %v", v, err)
	}
	return b
}

// message is v as a stored record.
func (s *Suite[T]) message(t testing.TB, topic queue.Topic[T], v T) *queue.Record {
	t.Helper()
	m, err := topic.Message(v)
	if err != nil {
		t.Fatalf("a message of %+v: %v", v, err)
	}
	return &queue.Record{Message: m}
}

func testRoundTrip[T any](t *testing.T, s *Suite[T]) {
	topic := queue.TopicOf("t", s.Codec)
	for _, v := range s.Values {
		got, err := s.Codec.Decode(s.encode(t, v))
		if err != nil || !s.equal(got, v) {
			t.Errorf("%+v came back as %+v, %v", v, got, err)
		}
		if got, err = topic.Decode(s.message(t, topic, v)); err != nil || !s.equal(got, v) {
			t.Errorf("%+v came back through a message as %+v, %v", v, got, err)
		}
		if c, ok := s.Codec.(queue.OwningCodec[T]); ok {
			if got, err := c.DecodeOwned(s.encode(t, v)); err != nil || !s.equal(got, v) {
				t.Errorf("%+v came back, made of its bytes, as %+v, %v", v, got, err)
			}
		}
	}
}

// testAppends: what is in front of the result stays, and nothing is written behind the capacity that dst has.
func testAppends[T any](t *testing.T, s *Suite[T]) {
	for _, v := range s.Values {
		n := len(s.encode(t, v))
		for _, spare := range []int{0, 1, n / 2, n, n + 100} {
			memory := bytes.Repeat([]byte{0xa5}, 3+spare+64)
			got, err := s.Codec.AppendEncode(memory[:3:3+spare], v)
			if err != nil || len(got) < 3 || !bytes.Equal(got[:3], []byte{0xa5, 0xa5, 0xa5}) {
				t.Fatalf("with room for %d: got % x, %v, want what was in front of it to stay", spare, got, err)
			}
			if back, err := s.Codec.Decode(got[3:]); err != nil || !s.equal(back, v) {
				t.Errorf("with room for %d: %+v came back as %+v, %v", spare, v, back, err)
			}
			if !bytes.Equal(memory[3+spare:], bytes.Repeat([]byte{0xa5}, 64)) {
				t.Errorf("with room for %d: bytes behind it were written", spare)
			}
		}
	}
}

// testOwned: values share nothing with bytes, neither those they were decoded from nor those they became.
func testOwned[T any](t *testing.T, s *Suite[T]) {
	for _, v := range s.Values {
		data := s.encode(t, v)
		before := bytes.Clone(data)
		got, err := s.Codec.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, before) {
			t.Errorf("decoding changed its data")
		}
		for i := range data {
			data[i] ^= 0xff
		}
		if !s.equal(got, v) {
			t.Errorf("%+v became %+v when the bytes that it was decoded from changed", v, got)
		}
		out := s.encode(t, got)
		for i := range out {
			out[i] ^= 0xff
		}
		if !s.equal(got, v) {
			t.Errorf("%+v became %+v when the bytes that it was encoded to changed", v, got)
		}
	}
}

func testBad[T any](t *testing.T, s *Suite[T]) {
	topic := queue.TopicOf("t", s.Codec)
	for _, bad := range s.Bad {
		before := bytes.Clone(bad)
		if v, err := s.Codec.Decode(bad); err == nil {
			t.Errorf("%.40q was decoded as %+v", bad, v)
		}
		if !bytes.Equal(bad, before) {
			t.Errorf("%.40q was changed", before)
		}
		r := &queue.Record{Message: queue.Message{Topic: "t", Value: bad}}
		v, err := topic.Decode(r)
		var undecoded *queue.DecodeError
		if class, _ := retry.Classify(err); !errors.As(err, &undecoded) || undecoded.Topic != "t" || class != retry.ClassPermanent {
			t.Errorf("%.40q as a message: %v, want a permanent *DecodeError of its topic", bad, err)
		}
		var none T
		if !reflect.DeepEqual(v, none) {
			t.Errorf("%.40q as a message came with the value %+v, want none beside an error", bad, v)
		}
	}
}

func testUnencodable[T any](t *testing.T, s *Suite[T]) {
	topic := queue.TopicOf("t", s.Codec)
	for _, v := range s.Unencodable {
		got, err := s.Codec.AppendEncode([]byte("abc"), v)
		if err == nil || len(got) > 0 && !bytes.HasPrefix(got, []byte("abc")) {
			t.Errorf("%+v was encoded to %.40q, %v, want an error and what was there", v, got, err)
		}
		_, err = topic.Message(v)
		var unencoded *queue.EncodeError
		if class, _ := retry.Classify(err); !errors.As(err, &unencoded) || class != retry.ClassPermanent {
			t.Errorf("a message of %+v: %v, want a permanent *EncodeError", v, err)
		}
	}
}

// testCutShort: bytes that end too soon are an error or a value, and nothing else.
func testCutShort[T any](t *testing.T, s *Suite[T]) {
	for _, v := range s.Values {
		data := s.encode(t, v)
		step := max(1, len(data)/200)
		for n := 0; n < len(data); n += step {
			s.check(t, data[:n:n])
		}
	}
}

// testGarbage: bytes from anywhere, and real ones with flips.
func testGarbage[T any](t *testing.T, s *Suite[T]) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	inputs, decoded := 0, 0
	check := func(p []byte) {
		inputs++
		if s.check(t, p) {
			decoded++
		}
	}
	for n := range 300 {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		check(p)
	}
	for _, v := range s.Values {
		data := s.encode(t, v)
		for range min(300, 8*len(data)) {
			at := rng.IntN(len(data))
			flipped := bytes.Clone(data)
			flipped[at] ^= 1 << rng.IntN(8)
			check(flipped)
		}
	}
	for _, p := range hostile() {
		check(p)
	}
	t.Logf("%d inputs, of which %d are values", inputs, decoded)
}

// hostile are bytes that claim to be larger than they are, or deeper, in one format or another.
func hostile() [][]byte {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
	hs := [][]byte{
		{}, {0}, []byte("null"), []byte("{}"), []byte("[]"),
		bytes.Repeat([]byte("["), 20_000), bytes.Repeat([]byte(`{"a":`), 20_000), []byte("1e999999999"), []byte(`"\ud800"`),
	}
	for first := range 32 {
		hs = append(hs, append([]byte{byte(first)}, huge...), append(bytes.Repeat([]byte{byte(first)}, 2000), huge...))
	}
	return hs
}

// check decodes arbitrary bytes: what comes back is an error, or a value that comes back as itself; memory is in proportion to the bytes.
func (s *Suite[T]) check(t testing.TB, data []byte) (decoded bool) {
	t.Helper()
	growth := s.Growth
	if growth == 0 {
		growth = 512
	}
	var v T
	var err error
	bounded(t, uint64(len(data)*growth), func() { v, err = s.Codec.Decode(data) })
	if err != nil {
		return false
	}
	again, err := s.Codec.AppendEncode(nil, v)
	if err != nil {
		t.Fatalf("%.60q was decoded as %+v, which is not encoded: %v", data, v, err)
	}
	back, err := s.Codec.Decode(again)
	if err != nil {
		t.Fatalf("%.60q was decoded as %+v, which is not decoded when it was encoded: %v", data, v, err)
	}
	if s.equal(back, v) {
		return true
	}
	if third, err := s.Codec.AppendEncode(nil, back); err != nil || !bytes.Equal(third, again) { // NaN is not NaN
		t.Fatalf("%.60q was decoded as %+v, which came back as %+v, %v", data, v, back, err)
	}
	return true
}

// bounded runs f and fails if it allocated more than limit bytes, and a constant for what else the process does meanwhile. Now and then that is more: only what
// allocates too much every time is at fault.
func bounded(t testing.TB, limit uint64, f func()) {
	t.Helper()
	const constant, tries = 1 << 20, 10
	var got uint64
	for range tries {
		before := allocated()
		f()
		if got = allocated() - before; got <= limit+constant {
			return
		}
	}
	t.Errorf("%d bytes allocated, at most %d are due", got, limit+constant)
}

func allocated() uint64 {
	sample := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}

func testContentType[T any](t *testing.T, s *Suite[T]) {
	ct := s.Codec.ContentType()
	if s.Codec.ContentType() != ct {
		t.Error("the content type is another each time")
	}
	topic := queue.TopicOf("t", s.Codec)
	r := s.message(t, topic, s.Values[0])
	if got := r.Headers.Get(queue.HeaderContentType); got != ct {
		t.Errorf("a message has content type %q, its codec %q", got, ct)
	}
	if ct == "" {
		return
	}
	media, _, err := mime.ParseMediaType(ct)
	if err != nil {
		t.Errorf("%q is no media type: %v", ct, err)
	}
	decode := func(contentType string) error {
		r.Headers = queue.Headers{}.With(queue.HeaderContentType, contentType)
		for _, h := range s.message(t, topic, s.Values[0]).Headers {
			if h.Key != queue.HeaderContentType {
				r.Headers = append(r.Headers, h)
			}
		}
		_, err := topic.Decode(r)
		return err
	}
	if err := decode(media); err != nil {
		t.Errorf("its own media type, without parameters: %v", err)
	}
	if err := decode(""); err != nil {
		t.Errorf("an empty content type: %v", err)
	}
	const other = "application/x-something-else"
	reader, ok := s.Codec.(queue.ContentTypeReader)
	if err, reads := decode(other), ok && reader.ReadsContentType(other); reads != (err == nil) || !reads && !errors.Is(err, queue.ErrContentType) {
		t.Errorf("%s: %v, want ErrContentType unless the codec reads it", other, err)
	}
}

// testCompressed: what says that it is compressed is expanded, or refused, and never taken for a value as it is.
func testCompressed[T any](t *testing.T, s *Suite[T]) {
	topic := queue.TopicOf("t", s.Codec)
	r := s.message(t, topic, s.Values[0])
	r.Headers = r.Headers.With(queue.HeaderCompression, "no-such-algorithm")
	if r.Headers.Get(queue.HeaderCompression) != "no-such-algorithm" {
		return // it was compressed
	}
	var undecoded *queue.DecodeError
	if v, err := topic.Decode(r); !errors.As(err, &undecoded) {
		t.Errorf("compressed with nobody knows what: %+v, %v, want a *DecodeError", v, err)
	}
}

func testConcurrent[T any](t *testing.T, s *Suite[T]) {
	topic := queue.TopicOf("t", s.Codec)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				for _, v := range s.Values {
					m, err := topic.Message(v)
					if err != nil {
						t.Errorf("%+v: %v", v, err)
						return
					}
					if got, err := topic.Decode(&queue.Record{Message: m}); err != nil || !s.equal(got, v) {
						t.Errorf("%+v came back as %+v, %v", v, got, err)
					}
				}
			}
		})
	}
	all.Wait()
}

// Fuzz is the body of a fuzz target for the decoder: no bytes make it panic, take more memory than in proportion, or return a value that is not encoded and decoded to itself.
func Fuzz[T any](f *testing.F, s Suite[T]) {
	for _, v := range s.Values {
		if b, err := s.Codec.AppendEncode(nil, v); err == nil && len(b) <= 4<<10 {
			f.Add(b)
			f.Add(b[:len(b)/2])
		}
	}
	for _, b := range append(hostile(), s.Bad...) {
		if len(b) <= 4<<10 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { s.check(t, data) })
}
