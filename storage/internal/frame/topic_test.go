package frame_test

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"pgregory.net/rapid"
)

func drawTopic(t *rapid.T) storage.Topic {
	name := rapid.SliceOfN(rapid.Byte(), 1, storage.MaxName)
	var topic storage.Topic
	topic.Name = string(name.Draw(t, "name"))
	topic.Partitions = rapid.IntRange(1, storage.MaxPartitions).Draw(t, "partitions")
	topic.First = storage.PartitionID(rapid.Uint32Range(0, math.MaxUint32-uint32(topic.Partitions)).Draw(t, "first"))
	topic.Incarnation = rapid.Uint64().Draw(t, "incarnation")
	topic.Strategy.Sync = rapid.SampledFrom([]storage.SyncPolicy{
		storage.SyncAlways, storage.SyncOS, storage.SyncInterval(0), storage.SyncInterval(time.Second), math.MaxInt64, math.MinInt64,
	}).Draw(t, "sync")
	for range rapid.IntRange(0, storage.MaxPast).Draw(t, "past") {
		life := storage.Life{Incarnation: rapid.Uint64().Draw(t, "earlier incarnation"), Next: make([]int64, topic.Partitions)}
		life.Next[0] = rapid.Int64Range(0, math.MaxInt64).Draw(t, "next")
		topic.Past = append(topic.Past, life)
		if topic.Partitions > 100 {
			break // enough bytes
		}
	}
	drawAdded(t, &topic)
	drawStrategy(t, &topic.Strategy)
	if settings := rapid.SliceOfN(rapid.Byte(), 0, 500).Draw(t, "settings"); len(settings) > 0 {
		topic.Settings = settings
	}
	return topic
}

// drawAdded has some of the topic's partitions have been added later, with others made in between.
func drawAdded(t *rapid.T, topic *storage.Topic) {
	before := storage.Stretch{First: topic.First}
	for range rapid.IntRange(0, 5).Draw(t, "stretches") {
		if topic.Partitions-before.From < 2 {
			return
		}
		next := storage.Stretch{From: before.From + rapid.IntRange(1, topic.Partitions-before.From-1).Draw(t, "from")}
		least := uint64(before.First) + uint64(next.From-before.From) + 1
		most := uint64(math.MaxUint32 - (topic.Partitions - next.From))
		if least > most {
			return
		}
		next.First = storage.PartitionID(rapid.Uint64Range(least, most).Draw(t, "first of a stretch"))
		topic.Added = append(topic.Added, next)
		before = next
	}
}

// drawStrategy fills in a strategy that can be, but for its Sync.
func drawStrategy(t *rapid.T, s *storage.Strategy) {
	amount := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, math.MaxInt64))
	if s.Sync == storage.SyncAlways && rapid.Bool().Draw(t, "in memory") {
		s.Level = storage.MemoryOnly
		s.Memory = storage.MemoryPolicy{Bytes: amount.Draw(t, "memory"), WhenFull: rapid.SampledFrom([]storage.Overflow{storage.RefuseNew, storage.DropOldest}).Draw(t, "full")}
	} else {
		s.Level = rapid.SampledFrom([]storage.Level{storage.MemoryAndDisk, storage.DiskOnly, storage.Compressed}).Draw(t, "level")
	}
	if s.Level == storage.Compressed {
		s.Compression = storage.CompressionPolicy{
			Codec: compress.ID(rapid.Uint8Range(0, 4).Draw(t, "codec")), Level: compress.Level(rapid.Uint8().Draw(t, "codec level")),
			BlockBytes: rapid.IntRange(0, storage.MaxBlockBytes).Draw(t, "block"),
		}
	}
	c := &s.Cleanup
	c.MaxAge, c.MaxBytes, c.MaxRecords = time.Duration(amount.Draw(t, "age")), amount.Draw(t, "bytes"), amount.Draw(t, "records")
	c.LatestByKey = s.Level != storage.MemoryOnly && rapid.Bool().Draw(t, "latest")
	c.WhenDone = !c.LatestByKey && rapid.Bool().Draw(t, "done")
	c.HoldForGroups, s.NoBackup = rapid.Bool().Draw(t, "hold"), rapid.Bool().Draw(t, "backup")
	if c.LatestByKey {
		c.TombstoneAge = time.Duration(amount.Draw(t, "tombstones"))
	}
}

func TestTopicRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawTopic(t)
		body := frame.AppendTopic(nil, &want)
		got, err := frame.DecodeTopic(body)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
		for n := range body {
			if _, err := frame.DecodeTopic(body[:n]); err != frame.ErrField {
				t.Fatalf("the first %d of %d bytes: %v, want %v", n, len(body), err, frame.ErrField)
			}
		}
		clear(body)
		if !reflect.DeepEqual(got, want) {
			t.Fatal("the topic shares bytes with the body")
		}
	})
}

// topicBody is a topic's body with the numbers given, which no storage.Topic could hold.
func topicBody(form byte, first, partitions uint64, name, settings int) []byte {
	p := fields(form, first, partitions)
	p = append(p, 1, 2, 3, 4, 5, 6, 7, 8)             // incarnation
	p = append(p, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // strategy
	p = append(p, fields(0, uint64(name))[1:]...)
	p = append(p, strings.Repeat("n", name)...)
	p = append(p, fields(0, uint64(settings))[1:]...)
	p = append(p, strings.Repeat("s", settings)...)
	return append(p, 0) // no past
}

// grownBody is the body of a topic with stretches: two numbers for each.
func grownBody(first, partitions uint64, stretches ...uint64) []byte {
	p := topicBody(2, first, partitions, 4, 0)
	p = append(p, byte(len(stretches)/2))
	return append(p, fields(0, stretches...)[1:]...)
}

// pastless is a topic's body up to its past.
func pastless(partitions uint64) []byte {
	p := topicBody(1, 5, partitions, 4, 0)
	return p[:len(p)-1]
}

func replace(p []byte, at int, b byte) []byte {
	p[at] = b
	return p
}

func TestTopicBodies(t *testing.T) {
	tests := []struct {
		name string
		body []byte
		want error
	}{
		{"sound", topicBody(1, 5, 8, 4, 0), nil},
		{"at all limits", topicBody(1, math.MaxUint32-storage.MaxPartitions, storage.MaxPartitions, storage.MaxName, storage.MaxSettings), nil},
		{"empty", nil, frame.ErrField},
		{"form 0", topicBody(0, 5, 8, 4, 0), frame.ErrField},
		{"next form", topicBody(3, 5, 8, 4, 0), frame.ErrVersion},
		{"next form, of another shape", []byte{3}, frame.ErrVersion},
		{"grown", grownBody(5, 8, 3, 1, 4, 1), nil},
		{"grown up to the last ID", grownBody(5, 8, 7, math.MaxUint32-1-12), nil},
		{"grown beyond the last ID", grownBody(5, 8, 7, math.MaxUint32-12), frame.ErrField},
		{"grown, without what was added", topicBody(2, 5, 8, 4, 0), frame.ErrField},
		{"grown by nothing", grownBody(5, 8), frame.ErrField},
		{"a stretch of no partitions", grownBody(5, 8, 3, 1, 0, 1), frame.ErrField},
		{"a stretch that is none", grownBody(5, 8, 3, 0), frame.ErrField},
		{"a stretch behind the last partition", grownBody(5, 8, 8, 1), frame.ErrField},
		{"a stretch of 2^64-1 partitions", grownBody(5, 8, math.MaxUint64, 1), frame.ErrField},
		{"a stretch 2^64-1 IDs behind", grownBody(5, 8, 3, math.MaxUint64), frame.ErrField},
		{"more stretches than there are", append(topicBody(2, 5, 8, 4, 0), 0xff, 0xff, 3, 3, 1), frame.ErrField},
		{"no partitions", topicBody(1, 5, 0, 4, 0), frame.ErrField},
		{"too many partitions", topicBody(1, 5, storage.MaxPartitions+1, 4, 0), frame.ErrField},
		{"2^64-1 partitions", topicBody(1, 5, math.MaxUint64, 4, 0), frame.ErrField},
		{"partitions that are negative as an int", topicBody(1, 5, 1<<63, 4, 0), frame.ErrField},
		{"IDs above 2^32", topicBody(1, math.MaxUint32-7, 8, 4, 0), frame.ErrField},
		{"first above 2^32", topicBody(1, 1<<32, 8, 4, 0), frame.ErrField},
		{"first of 2^64-1", topicBody(1, math.MaxUint64, 8, 4, 0), frame.ErrField},
		{"no name", topicBody(1, 5, 8, 0, 0), frame.ErrField},
		{"name too long", topicBody(1, 5, 8, storage.MaxName+1, 0), frame.ErrField},
		{"settings too long", topicBody(1, 5, 8, 4, storage.MaxSettings+1), frame.ErrField},
		{"more than 2^16 earlier incarnations", append(pastless(1), 0xff, 0xff, 4), frame.ErrField},
		{"17 earlier incarnations", append(pastless(1), append([]byte{17}, make([]byte, 17*9)...)...), frame.ErrField},
		{"an earlier incarnation of fewer partitions", append(pastless(2), append([]byte{1}, make([]byte, 9)...)...), frame.ErrField},
		{"a byte too many", append(topicBody(1, 5, 8, 4, 0), 0), frame.ErrField},
		{"a level that is not", replace(topicBody(1, 5, 8, 4, 0), 12, 4), frame.ErrField},
		{"compression of what is not compressed", replace(topicBody(1, 5, 8, 4, 0), 13, 1), frame.ErrField},
		{"an unknown flag", replace(topicBody(1, 5, 8, 4, 0), 22, 16), frame.ErrField},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			topic, err := frame.DecodeTopic(test.body)
			if err != test.want {
				t.Fatalf("got %+v, %v, want %v", topic, err, test.want)
			}
			if err != nil && !reflect.DeepEqual(topic, storage.Topic{}) {
				t.Errorf("got %+v along with %v, want the zero topic", topic, err)
			}
		})
	}
}

func TestGroupRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := storage.Group{
			ID:   storage.GroupID(rapid.Uint32().Draw(t, "id")),
			Name: string(rapid.SliceOfN(rapid.Byte(), 1, storage.MaxName).Draw(t, "name")),
		}
		body := frame.AppendGroup(nil, &want)
		got, err := frame.DecodeGroup(body)
		if err != nil || got != want {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
		for n := range body {
			if _, err := frame.DecodeGroup(body[:n]); err != frame.ErrField {
				t.Fatalf("the first %d of %d bytes: %v, want %v", n, len(body), err, frame.ErrField)
			}
		}
	})
}

func TestGroupBodies(t *testing.T) {
	tests := []struct {
		name string
		body string
		want error
	}{
		{"sound", "\x01\x05\x01g", nil},
		{"last ID", "\x01\xff\xff\xff\xff\x0f\x01g", nil},
		{"longest name", "\x01\x05\xf9\x01" + strings.Repeat("g", 249), nil},
		{"empty", "", frame.ErrField},
		{"form 0", "\x00\x05\x01g", frame.ErrField},
		{"next form", "\x02\x05\x01g", frame.ErrVersion},
		{"next form, of another shape", "\x02", frame.ErrVersion},
		{"ID above 2^32", "\x01\x80\x80\x80\x80\x10\x01g", frame.ErrField},
		{"no name", "\x01\x05\x00", frame.ErrField},
		{"name too long", "\x01\x05\xfa\x01" + strings.Repeat("g", 250), frame.ErrField},
		{"a byte too many", "\x01\x05\x01gg", frame.ErrField},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g, err := frame.DecodeGroup([]byte(test.body))
			if err != test.want || err != nil && g != (storage.Group{}) {
				t.Errorf("got %+v, %v, want %v", g, err, test.want)
			}
		})
	}
}
