package frame

import (
	"encoding/binary"
	"math"

	"github.com/leatmq/leat/storage"
)

// The body of a Topic frame, and of an Alter frame, which replaces the strategy and the settings of the topic of that first ID, and gives it the partitions
// that it has not yet.
//
//	form          1 byte: 1, or 2 if the topic was given partitions whose IDs do not follow the others
//	first         uvarint, ID of partition 0
//	partitions    uvarint
//	incarnation   8 bytes
//	strategy      see strategy.go
//	name          uvarint length, bytes
//	settings      uvarint length, bytes
//	past          see past.go
//	added         see added.go, in form 2 only
const (
	topicForm = 1
	grownForm = 2
)

// AppendTopic appends t as the body of a Topic frame.
func AppendTopic(dst []byte, t *storage.Topic) []byte {
	form := byte(topicForm)
	if len(t.Added) > 0 {
		form = grownForm
	}
	dst = append(dst, form)
	dst = binary.AppendUvarint(dst, uint64(t.First))
	dst = binary.AppendUvarint(dst, uint64(t.Partitions))
	dst = binary.LittleEndian.AppendUint64(dst, t.Incarnation)
	dst = appendStrategy(dst, &t.Strategy)
	dst = appendBytes(dst, t.Name)
	dst = appendBytes(dst, t.Settings)
	dst = appendPast(dst, t.Past)
	if form == grownForm {
		dst = appendAdded(dst, t)
	}
	return dst
}

// DecodeTopic reads the body of a Topic frame. What it returns shares nothing with body.
func DecodeTopic(body []byte) (storage.Topic, error) {
	s := scanner{rest: body}
	form := s.byte()
	first, partitions := s.uvarint(), s.uvarint()
	incarnation, strategy := s.uint64(), s.strategy()
	name, settings := s.bytes(), s.bytes()
	past := s.past(partitions)
	var added []storage.Stretch
	if form == grownForm {
		added = s.added(partitions, first)
	}
	if err := s.ends(form, grownForm); err != nil {
		return storage.Topic{}, err
	}
	if partitions < 1 || partitions > storage.MaxPartitions || first > math.MaxUint32-partitions ||
		len(name) < 1 || len(name) > storage.MaxName || len(settings) > storage.MaxSettings {
		return storage.Topic{}, ErrField
	}
	return storage.Topic{
		TopicSpec: storage.TopicSpec{
			Name: string(name), Partitions: int(partitions),
			Strategy: strategy,
			Settings: append([]byte(nil), settings...),
		},
		Incarnation: incarnation,
		First:       storage.PartitionID(first),
		Added:       added,
		Past:        past,
	}, nil
}

// The body of a Group frame.
//
//	form    1 byte: 1
//	id      uvarint
//	name    uvarint length, bytes
const groupForm = 1

// AppendGroup appends g as the body of a Group frame.
func AppendGroup(dst []byte, g *storage.Group) []byte {
	dst = append(dst, groupForm)
	dst = binary.AppendUvarint(dst, uint64(g.ID))
	return appendBytes(dst, g.Name)
}

// DecodeGroup reads the body of a Group frame. What it returns shares nothing with body.
func DecodeGroup(body []byte) (storage.Group, error) {
	s := scanner{rest: body}
	form, id, name := s.byte(), s.uvarint(), s.bytes()
	if err := s.ends(form, groupForm); err != nil {
		return storage.Group{}, err
	}
	if id > math.MaxUint32 || len(name) < 1 || len(name) > storage.MaxName {
		return storage.Group{}, ErrField
	}
	return storage.Group{ID: storage.GroupID(id), Name: string(name)}, nil
}
