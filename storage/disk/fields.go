package disk

import (
	"encoding/binary"
	"errors"

	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
)

// fields reads numbers and byte strings off the front of rest. After one that is not there, failed stays set and all others are zero.
type fields struct {
	rest   []byte
	failed bool
	newer  bool // a body of a newer form was met
}

// fails notes that a body could not be decoded, if so.
func (s *fields) fails(err error) bool {
	s.newer = s.newer || errors.Is(err, frame.ErrVersion)
	s.failed = s.failed || err != nil
	return s.failed
}

func (s *fields) uvarint() uint64 {
	v, n := binary.Uvarint(s.rest)
	if s.failed || n <= 0 {
		s.failed = true
		return 0
	}
	s.rest = s.rest[n:]
	return v
}

func (s *fields) int63() int64 {
	v := s.uvarint()
	if v > 1<<63-1 {
		s.failed = true
		return 0
	}
	return int64(v)
}

// below reads a number that is less than limit.
func (s *fields) below(limit uint64) uint64 {
	v := s.uvarint()
	if v >= limit {
		s.failed = true
		return 0
	}
	return v
}

func (s *fields) varint() int64 {
	v := s.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// count reads a number of items, of which each takes at least a byte.
func (s *fields) count() int {
	n := s.uvarint()
	if n > uint64(len(s.rest)) {
		s.failed = true
		return 0
	}
	return int(n)
}

func (s *fields) field() []byte {
	n := s.count()
	if s.failed {
		return nil
	}
	p := s.rest[:n:n]
	s.rest = s.rest[n:]
	return p
}

func (s *fields) meta() segment.Meta {
	if s.failed {
		return segment.Meta{}
	}
	m, rest, err := segment.DecodeMeta(s.rest)
	if err != nil {
		s.failed = true
		return segment.Meta{}
	}
	s.rest = rest
	return m
}

func (s *fields) hole() frame.Hole {
	h, err := frame.DecodeHole(s.field())
	s.fails(err)
	return h
}
