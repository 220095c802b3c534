package queue

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Position is the place of a message: topic, partition and offset, and the incarnation of the partition that the offset
// was given by. Positions are compared with ==. The zero Position is nowhere. A position of a topic that was deleted
// since, or of a directory that was wiped, is ErrNotFound where it is used, never another message.
//
// A message keeps its position when a backup is restored: those that are not in the backup have positions that are not found afterwards, and those published
// from then on are of another incarnation.
type Position struct {
	topic       string
	partition   int32
	incarnation uint64
	offset      int64
}

// PositionAt returns the position of an offset by hand, of whichever incarnation the partition has now. It is for Start
// and for engines with plain offsets; a position to be kept beside an effect is the one from the record or receipt.
func PositionAt(topic string, partition int, offset int64) Position {
	return NewPosition(topic, partition, 0, offset)
}

// NewPosition returns a position of a known incarnation. It is for engines. A partition that cannot be becomes -1,
// which no topic has.
func NewPosition(topic string, partition int, incarnation uint64, offset int64) Position {
	if partition < 0 || partition > math.MaxInt32 {
		partition = -1
	}
	return Position{topic: topic, partition: int32(partition), incarnation: incarnation, offset: offset}
}

// Topic returns the name of the topic.
func (p Position) Topic() string { return p.topic }

// Partition returns the number of the partition, from 0.
func (p Position) Partition() int { return int(p.partition) }

// Incarnation returns the number that the engine gave the partition's contents when they began, 0 for whichever holds.
func (p Position) Incarnation() uint64 { return p.incarnation }

// Offset returns the offset, and false for the zero Position. Offsets have gaps: never subtract them to count.
func (p Position) Offset() (int64, bool) { return p.offset, !p.IsZero() }

// IsZero reports whether p is the zero Position, which is nowhere.
func (p Position) IsZero() bool { return p == Position{} }

// Covers reports whether q is of the same partition and not after p, so that whoever came to p has q behind it. Of two
// different incarnations neither covers the other; a position made by PositionAt goes with every incarnation. The zero
// Position covers nothing and is covered by nothing.
func (p Position) Covers(q Position) bool {
	if p.IsZero() || q.IsZero() || p.topic != q.topic || p.partition != q.partition {
		return false
	}
	if p.incarnation != q.incarnation && p.incarnation != 0 && q.incarnation != 0 {
		return false
	}
	return q.offset <= p.offset
}

// String returns topic/partition@offset.incarnation, the incarnation in hexadecimal and left out with its dot if 0;
// "" for the zero Position.
func (p Position) String() string {
	if p.IsZero() {
		return ""
	}
	return string(p.append(make([]byte, 0, len(p.topic)+48)))
}

// MarshalText returns the same text as String, to be stored beside an effect.
func (p Position) MarshalText() ([]byte, error) {
	if p.IsZero() {
		return []byte{}, nil
	}
	if p.topic == "" || p.partition < 0 || p.offset < 0 {
		return nil, fmt.Errorf("queue: position %s cannot be: no text", p)
	}
	return p.append(make([]byte, 0, len(p.topic)+48)), nil
}

func (p Position) append(dst []byte) []byte {
	dst = append(append(dst, p.topic...), '/')
	dst = append(strconv.AppendInt(dst, int64(p.partition), 10), '@')
	dst = strconv.AppendInt(dst, p.offset, 10)
	if p.incarnation != 0 {
		dst = strconv.AppendUint(append(dst, '.'), p.incarnation, 16)
	}
	return dst
}

// UnmarshalText reads what MarshalText wrote, and nothing else: every position has one text. On an error p stays as it was.
func (p *Position) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*p = Position{}
		return nil
	}
	q, ok := parsePosition(string(text))
	if !ok || q.String() != string(text) {
		return fmt.Errorf("queue: %.300q is not a position (topic/partition@offset.incarnation)", text)
	}
	*p = q
	return nil
}

// parsePosition reads from the right, because only the topic may contain any character.
func parsePosition(s string) (Position, bool) {
	slash := strings.LastIndexByte(s, '/')
	if slash <= 0 {
		return Position{}, false
	}
	partition, rest, ok := strings.Cut(s[slash+1:], "@")
	if !ok {
		return Position{}, false
	}
	offset, incarnation, dotted := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(partition, 10, 31)
	if err != nil {
		return Position{}, false
	}
	at, err := strconv.ParseUint(offset, 10, 63)
	if err != nil {
		return Position{}, false
	}
	var inc uint64
	if dotted {
		if inc, err = strconv.ParseUint(incarnation, 16, 64); err != nil {
			return Position{}, false
		}
	}
	return NewPosition(s[:slash], int(n), inc, int64(at)), true
}
