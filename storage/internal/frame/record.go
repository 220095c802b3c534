package frame

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/leatmq/leat/storage"
)

// The body of a Batch is records, one behind the other. The first record has the header's base offset, each other one the offset behind that of
// the one before, or further on if it says so.
//
//	flags       1 byte: 1 has a timestamp, 2 has a key, 4 has headers, 8 skips offsets
//	timestamp   8 bytes, nanoseconds of Unix time      if flags has 1
//	skip        uvarint, offsets left out before it    if flags has 8
//	key         uvarint length, bytes                  if flags has 2
//	value       uvarint length, bytes
//	headers     uvarint length, bytes                  if flags has 4
const (
	hasTimestamp = 1 << iota
	hasKey
	hasHeaders
	hasSkip
	recordFlags = hasTimestamp | hasKey | hasHeaders | hasSkip
)

// minRecord is the least that a record takes: its flags and the length of its value.
const minRecord = 2

// RecordSize bounds what AppendRecord appends for r.
func RecordSize(r *storage.Record) int {
	return 1 + 8 + 3*binary.MaxVarintLen32 + r.Size()
}

// EncodedSize is what AppendRecord appends for r.
func EncodedSize(r *storage.Record) int {
	n := 1 + prefixed(len(r.Value))
	if !r.Timestamp.IsZero() {
		n += 8
	}
	if r.Key != nil {
		n += prefixed(len(r.Key))
	}
	if len(r.Headers) > 0 {
		n += prefixed(len(r.Headers))
	}
	return n
}

// prefixed is the size of n bytes behind their number.
func prefixed(n int) int { return (bits.Len(uint(n)|1)+6)/7 + n }

// AppendRecord appends r in the form of a Batch's body, as the record behind the one appended before. Its Offset and Appended stand in the header.
// A timestamp outside the years 1678 to 2261 becomes the nearest one inside.
func AppendRecord(dst []byte, r *storage.Record) []byte { return AppendRecordBehind(dst, r, 0) }

// AppendRecordBehind is AppendRecord for a record with skip offsets left out before it.
func AppendRecordBehind(dst []byte, r *storage.Record, skip uint64) []byte {
	at := len(dst)
	dst = append(dst, 0)
	var flags byte
	if !r.Timestamp.IsZero() {
		flags |= hasTimestamp
		dst = binary.LittleEndian.AppendUint64(dst, uint64(unixNano(r.Timestamp)))
	}
	if skip > 0 {
		flags |= hasSkip
		dst = binary.AppendUvarint(dst, skip)
	}
	if r.Key != nil {
		flags |= hasKey
		dst = appendBytes(dst, r.Key)
	}
	dst = appendBytes(dst, r.Value)
	if len(r.Headers) > 0 {
		flags |= hasHeaders
		dst = appendBytes(dst, r.Headers)
	}
	dst[at] = flags
	return dst
}

// unixNano is t.UnixNano, which is undefined far from 1970, with bounds.
func unixNano(t time.Time) int64 {
	const whole = math.MaxInt64 / int64(time.Second)
	switch s := t.Unix(); {
	case s >= whole:
		return math.MaxInt64
	case s < -whole:
		return math.MinInt64
	}
	return t.UnixNano()
}

// DecodeRecords appends the records of a Batch's body whose offset is at least from. Their slices are parts of body. h is a header that
// Parse returned. With an error dst is returned as it was.
func DecodeRecords(dst []storage.Record, h *Header, body []byte, from int64) ([]storage.Record, error) {
	if int64(h.Count) > int64(len(body)/minRecord) {
		return dst, ErrField // before anything is allocated for them
	}
	records := slices.Grow(dst, int(min(int64(h.Count), max(h.Next()-from, 0))))
	s := scanner{rest: body}
	offset, next, appended := h.Base, h.Next(), time.Unix(0, h.Time)
	for range h.Count {
		records = append(records, storage.Record{Appended: appended})
		r := &records[len(records)-1]
		skip := decodeRecord(&s, r)
		if s.failed || skip >= uint64(next-offset) {
			return dst, ErrField
		}
		r.Offset = offset + int64(skip)
		offset = r.Offset + 1
		if r.Offset < from {
			records = records[:len(records)-1]
		}
	}
	if len(s.rest) != 0 {
		return dst, ErrField
	}
	return records, nil
}

func decodeRecord(s *scanner, r *storage.Record) (skip uint64) {
	flags := s.byte()
	if flags&^recordFlags != 0 {
		s.failed = true
	}
	if flags&hasTimestamp != 0 {
		r.Timestamp = time.Unix(0, int64(s.uint64()))
	}
	if flags&hasSkip != 0 {
		skip = s.uvarint()
	}
	if flags&hasKey != 0 {
		r.Key = s.bytes()
	}
	r.Value = s.bytes()
	if flags&hasHeaders != 0 {
		r.Headers = storage.Headers(s.bytes())
	}
	return skip
}

func appendBytes[T ~[]byte | ~string](dst []byte, p T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(p))), p...)
}
