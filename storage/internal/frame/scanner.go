package frame

import "encoding/binary"

// scanner reads fields off the front of rest. After a field that is not there, failed stays set and all further fields are zero, so
// that a decoder checks once.
type scanner struct {
	rest   []byte
	failed bool
}

func (s *scanner) take(n int) []byte {
	if s.failed || n < 0 || n > len(s.rest) {
		s.failed = true
		return nil
	}
	p := s.rest[:n:n]
	s.rest = s.rest[n:]
	return p
}

func (s *scanner) byte() byte {
	if p := s.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (s *scanner) uint64() uint64 {
	if p := s.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (s *scanner) uvarint() uint64 {
	if !s.failed && len(s.rest) > 0 && s.rest[0] < 0x80 {
		v := s.rest[0]
		s.rest = s.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(s.rest)
	if s.failed || n <= 0 {
		s.failed = true
		return 0
	}
	s.rest = s.rest[n:]
	return v
}

func (s *scanner) varint() int64 {
	u := s.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// int63 reads an unsigned number that must not be negative as an int64.
func (s *scanner) int63() int64 {
	v := s.uvarint()
	if v > 1<<63-1 {
		s.failed = true
		return 0
	}
	return int64(v)
}

// after reads a distance of at least least from at, and returns the offset there.
func (s *scanner) after(at, least int64) int64 {
	d := s.int63()
	if d < least || at+d < at {
		s.failed = true
		return 0
	}
	return at + d
}

func (s *scanner) bytes() []byte {
	n := s.uvarint()
	if s.failed || n > uint64(len(s.rest)) {
		s.failed = true
		return nil
	}
	p := s.rest[:n:n]
	s.rest = s.rest[n:]
	return p
}

// count reads how many items follow, each at least size bytes long, so that nothing is allocated for more than there can be.
func (s *scanner) count(size int) int {
	n := s.uvarint()
	if n > uint64(len(s.rest)/size) {
		s.failed = true
		return 0
	}
	return int(n)
}

// ends returns nil if all fields were there and nothing is left behind them, for a body whose form is known.
func (s *scanner) ends(form, known byte) error {
	switch {
	case form > known:
		return ErrVersion
	case form == 0, s.failed, len(s.rest) != 0:
		return ErrField
	}
	return nil
}
