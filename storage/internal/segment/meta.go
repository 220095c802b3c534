package segment

import (
	"encoding/binary"
	"errors"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage/internal/frame"
)

// Meta is what the checkpoint keeps of a segment.
type Meta struct {
	File             uint64
	Base, Next       int64 // offsets, half-open; there may be gaps
	Ordinal, Count   int64 // records of the partition ever appended before the segment, and to it
	MinTime, MaxTime int64 // append times, nanoseconds of Unix time; both 0 while it is empty
	Length           int64 // bytes that count: header block and frames, not the footer
	LastLSN          frame.LSN
	Sealed           bool
	Retired          bool // sealed without a footer, since something in it is damaged

	// Rewritten says that Dir.Rewrite made the segment of others. It is sealed, and its offsets are without gaps but for the records that
	// were dropped: Count is Next - Base.
	Rewritten bool
	Compacted bool        // and of each key only the newest record is there, as far as it was known then
	Codec     compress.ID // that its blocks were compressed with; 0: it has none
	Dropped   int64       // records of Count that are not in it any more
}

// dense tells whether each offset is one record ever appended.
func (m *Meta) dense() bool { return m.Count == m.Next-m.Base }

// Records is how many records are in the segment.
func (m *Meta) Records() int64 { return m.Count - m.Dropped }

// The last field of a description, where there is nothing to tell behind it.
const (
	stateOpen      = 0
	stateSealed    = 1
	stateRewritten = 2
	stateCompacted = 3
	stateRetired   = 4
)

// ErrMeta says that bytes are not what Meta.Append makes.
var ErrMeta = errors.New("segment: malformed description")

// Append appends m in the checkpoint's form: unsigned varints, but for the times, which are signed, and the state, which is one byte: 0 open, 1 sealed, 2
// rewritten, 3 rewritten and compacted, 4 retired. Only behind 2 and 3 come the codec, one byte, and the number of records dropped.
//
//	file  base  next-base  ordinal  count  min time  max time - min time  length/8  last LSN  state  codec  dropped
func (m Meta) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, m.File)
	dst = binary.AppendUvarint(dst, uint64(m.Base))
	dst = binary.AppendUvarint(dst, uint64(m.Next-m.Base))
	dst = binary.AppendUvarint(dst, uint64(m.Ordinal))
	dst = binary.AppendUvarint(dst, uint64(m.Count))
	dst = binary.AppendVarint(dst, m.MinTime)
	dst = binary.AppendVarint(dst, m.MaxTime-m.MinTime)
	dst = binary.AppendUvarint(dst, uint64(m.Length/8))
	dst = binary.AppendUvarint(dst, uint64(m.LastLSN))
	switch {
	case m.Compacted:
		return binary.AppendUvarint(append(dst, stateCompacted, byte(m.Codec)), uint64(m.Dropped))
	case m.Rewritten:
		return binary.AppendUvarint(append(dst, stateRewritten, byte(m.Codec)), uint64(m.Dropped))
	case m.Retired:
		return append(dst, stateRetired)
	case m.Sealed:
		return append(dst, stateSealed)
	}
	return append(dst, stateOpen)
}

// DecodeMeta reads what Append appended from the front of b and returns what follows it. The error is ErrMeta.
func DecodeMeta(b []byte) (m Meta, rest []byte, err error) {
	var span, eighths, lsn uint64
	fields := [...]*uint64{&m.File, nil, &span, nil, nil, nil, nil, &eighths, &lsn}
	signed := [...]*int64{1: &m.Base, 3: &m.Ordinal, 4: &m.Count, 5: &m.MinTime, 6: &m.MaxTime, 8: nil}
	for i, field := range fields {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return Meta{}, nil, ErrMeta
		}
		b = b[n:]
		switch {
		case field != nil:
			*field = v
		case i == 5 || i == 6:
			*signed[i] = int64(v>>1) ^ -int64(v&1)
		case v > 1<<63-1:
			return Meta{}, nil, ErrMeta
		default:
			*signed[i] = int64(v)
		}
	}
	if span > 1<<63-1 || eighths > 1<<59 {
		return Meta{}, nil, ErrMeta
	}
	m.Next, m.MaxTime = m.Base+int64(span), m.MinTime+m.MaxTime
	m.Length, m.LastLSN = int64(eighths)*8, frame.LSN(lsn)
	if b, err = m.decodeState(b); err != nil || !m.possible() {
		return Meta{}, nil, ErrMeta
	}
	return m, b, nil
}

func (m *Meta) decodeState(b []byte) (rest []byte, err error) {
	if len(b) == 0 || b[0] > stateRetired {
		return nil, ErrMeta
	}
	m.Sealed, m.Retired, m.Compacted = b[0] >= stateSealed, b[0] == stateRetired, b[0] == stateCompacted
	m.Rewritten = m.Compacted || b[0] == stateRewritten
	if !m.Rewritten {
		return b[1:], nil
	}
	if len(b) < 2 {
		return nil, ErrMeta
	}
	m.Codec = compress.ID(b[1])
	dropped, n := binary.Uvarint(b[2:])
	if n <= 0 || dropped > 1<<63-1 {
		return nil, ErrMeta
	}
	m.Dropped = int64(dropped)
	return b[2+n:], nil
}

// possible tells whether a segment can be like m, so that nothing that is computed from it overflows.
func (m *Meta) possible() bool {
	return m.Base >= 0 && m.Next >= m.Base && m.Ordinal >= 0 && m.Count >= 0 && m.Count <= m.Next-m.Base &&
		m.Ordinal+m.Count >= 0 && m.MaxTime >= m.MinTime && m.Length >= blockSize &&
		(m.Codec == 0 || m.Codec.Known()) && m.Dropped >= 0 && m.Dropped <= m.Count && (!m.Rewritten || m.Count == m.Next-m.Base)
}
