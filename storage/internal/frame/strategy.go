package frame

import (
	"encoding/binary"
	"time"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage"
)

// A strategy, as a topic's body has it.
//
//	sync          varint: 0 always, negative left to the system, else the interval in nanoseconds
//	level         1 byte: 0 memory and disk, 1 memory only, 2 disk only, 3 compressed
//	codec         1 byte, codec's level 1 byte, uvarint bytes of a block
//	age           uvarint nanoseconds, uvarint bytes, uvarint records: what is kept, 0 for no bound
//	tombstones    uvarint nanoseconds that they are kept
//	memory        uvarint bytes, 1 byte: 0 refuses what is new, 1 drops what is oldest
//	flags         1 byte: 1 remove when done, 2 latest by key, 4 hold for groups, 8 no backup
const (
	whenDone = 1 << iota
	latestByKey
	holdForGroups
	noBackup
	strategyFlags = whenDone | latestByKey | holdForGroups | noBackup
)

func appendStrategy(dst []byte, s *storage.Strategy) []byte {
	c, k, m := &s.Compression, &s.Cleanup, &s.Memory
	dst = binary.AppendVarint(dst, int64(s.Sync))
	dst = append(dst, byte(s.Level), byte(c.Codec), byte(c.Level))
	for _, n := range [...]uint64{
		uint64(c.BlockBytes), uint64(k.MaxAge), uint64(k.MaxBytes), uint64(k.MaxRecords), uint64(k.TombstoneAge), uint64(m.Bytes),
	} {
		dst = binary.AppendUvarint(dst, n)
	}
	flags := byte(0)
	for i, set := range [...]bool{k.WhenDone, k.LatestByKey, k.HoldForGroups, s.NoBackup} {
		if set {
			flags |= 1 << i
		}
	}
	return append(dst, byte(m.WhenFull), flags)
}

// strategy reads what appendStrategy appended. What Strategy.Check refuses is not taken.
func (s *scanner) strategy() (st storage.Strategy) {
	st.Sync = storage.SyncPolicy(s.varint())
	st.Level = storage.Level(s.byte())
	st.Compression.Codec, st.Compression.Level = compress.ID(s.byte()), compress.Level(s.byte())
	block := s.int63()
	st.Cleanup.MaxAge = time.Duration(s.int63())
	st.Cleanup.MaxBytes, st.Cleanup.MaxRecords = s.int63(), s.int63()
	st.Cleanup.TombstoneAge = time.Duration(s.int63())
	st.Memory.Bytes, st.Memory.WhenFull = s.int63(), storage.Overflow(s.byte())
	flags := s.byte()
	if block > storage.MaxBlockBytes || flags&^strategyFlags != 0 {
		s.failed = true
	}
	st.Compression.BlockBytes = int(block)
	st.Cleanup.WhenDone, st.Cleanup.LatestByKey = flags&whenDone != 0, flags&latestByKey != 0
	st.Cleanup.HoldForGroups, st.NoBackup = flags&holdForGroups != 0, flags&noBackup != 0
	if !s.failed && st.Check() != nil {
		s.failed = true
	}
	return st
}
