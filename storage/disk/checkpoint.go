package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// A checkpoint is the whole small state of the store at one point of the journal: topics, groups, cursors, and which bytes of which
// segments count. There are three files, written in turn. The header is written last, behind a sync of the sections, so that a checkpoint that
// was cut short has none that fits. The newest whole one may be in the system's cache only, because its sync failed and its owner died of that; the one
// before it was synced then. So neither may be written over, and the third is.
//
// Header, at byte 0:
//
//	  0-  7  "leatckpt"
//	  8- 11  format version, 1
//	 12- 15  seed of all other sums
//	 16- 23  store
//	 24- 31  sequence number of the checkpoint
//	 32- 35  epoch of the journal behind it
//	 36- 39  flags: 1 the store was closed, and the journal behind it is empty; 2 the directory is a copy that was not opened yet
//	 40- 47  LSN up to which the journal is in it
//	 48- 71  where to go on in the journal: LSN in front, sequence number of the slot, byte
//	 72- 79  LSN of the last frame of all, of an earlier epoch perhaps
//	 80- 87  ID of the next segment file
//	 88- 95  next partition ID, next group ID
//	 96-103  number of sections, length of their table
//	104-107  CRC-32C of the table
//	108-115  life: a random number, new when the store is made or restored
//	116-123  LSN up to which the directory has the journal of the store that it follows; 0: it follows none
//	124-127  CRC-32C of bytes 0-123
//
// The table follows at byte 4096: for each section its length and CRC-32C, seeded; then the sections, one behind the other.
type checkpoint struct {
	id       identity
	seq      uint64
	epoch    uint32
	clean    bool
	copied   bool      // of a directory that is a copy, and was not opened yet
	life     uint64    // a random number of the store since it was made, or restored
	followed frame.LSN // of the store of this life that is followed, up to where the directory has it; 0: it follows none
	applied  frame.LSN
	from     mark
	last     frame.LSN
	lead     int64 // of append times, in front of the wall clock
	nextFile uint64
	nextPart storage.PartitionID
	nextGrp  storage.GroupID
	groups   []storage.Group
	files    []slotFile
	doomed   []doomed // files to be removed
	topics   []topicState

	// Of one that an open has made in front of its first own: it says again what the one before says, and with it that the open was there.
	taken  uint32    // the epoch of that open; 0: it is none of these
	end    frame.LSN // where it found the journal to end: what was behind was cut
	floors []floor
}

// floor is an offset of a partition below which none is given out again.
type floor struct {
	partition storage.PartitionID
	next      int64
}

// slotFile is a file of the journal as it was when the checkpoint was made: it is never shorter later.
type slotFile struct {
	number int
	size   int64
}

// topicState is a topic with its partitions and their cursors.
type topicState struct {
	topic   storage.Topic
	parts   []partState
	cursors []cursorState
}

type partState struct {
	first    int64
	reach    segmentBase
	segments []segment.Meta
	holes    []frame.Hole
}

type cursorState struct {
	key  core.CursorKey
	body []byte
}

const (
	checkpointMagic   = "leatckpt"
	checkpointVersion = 1
	checkpointHeader  = 128
)

var checkpointNames = [...]string{"checkpoint-a", "checkpoint-b", "checkpoint-c"}

const (
	cleanFlag = 1 << iota
	copiedFlag
)

func flag(on bool, bit uint32) uint32 {
	if on {
		return bit
	}
	return 0
}

func (c *checkpoint) encodeHeader(table []byte, sections int) []byte {
	b := make([]byte, sector)
	le := binary.LittleEndian
	copy(b, checkpointMagic)
	le.PutUint32(b[8:], checkpointVersion)
	le.PutUint32(b[12:], uint32(c.id.seed))
	le.PutUint64(b[16:], c.id.store)
	le.PutUint64(b[24:], c.seq)
	le.PutUint32(b[32:], c.epoch)
	le.PutUint32(b[36:], flag(c.clean, cleanFlag)|flag(c.copied, copiedFlag))
	le.PutUint64(b[40:], uint64(c.applied))
	le.PutUint64(b[48:], uint64(c.from.lsn))
	le.PutUint64(b[56:], c.from.seq)
	le.PutUint64(b[64:], uint64(c.from.pos))
	le.PutUint64(b[72:], uint64(c.last))
	le.PutUint64(b[80:], c.nextFile)
	le.PutUint32(b[88:], uint32(c.nextPart))
	le.PutUint32(b[92:], uint32(c.nextGrp))
	le.PutUint32(b[96:], uint32(sections))
	le.PutUint32(b[100:], uint32(len(table)))
	le.PutUint32(b[104:], crc32.Checksum(table, castagnoli))
	le.PutUint64(b[108:], c.life)
	le.PutUint64(b[116:], uint64(c.followed))
	le.PutUint32(b[124:], crc32.Checksum(b[:124], castagnoli))
	return b
}

// encode returns the header block, and what follows it.
func (c *checkpoint) encode() (header, rest []byte) {
	sections := [][]byte{c.encodeGroups()}
	for i := range c.topics {
		sections = append(sections, c.topics[i].encode())
	}
	var table []byte
	for _, s := range sections {
		table = binary.LittleEndian.AppendUint32(table, uint32(len(s)))
		table = binary.LittleEndian.AppendUint32(table, c.id.seed.Sum(s))
	}
	rest = append(table, bytes.Join(sections, nil)...)
	return c.encodeHeader(rest[:len(table)], len(sections)), rest
}

func (c *checkpoint) encodeGroups() []byte {
	b := binary.AppendUvarint(nil, uint64(len(c.groups)))
	for i := range c.groups {
		b = appendField(b, frame.AppendGroup(nil, &c.groups[i]))
	}
	b = binary.AppendUvarint(b, uint64(len(c.files)))
	for _, f := range c.files {
		b = binary.AppendUvarint(b, uint64(f.number))
		b = binary.AppendUvarint(b, uint64(f.size/sector))
	}
	b = binary.AppendUvarint(b, uint64(len(c.doomed)))
	for _, d := range c.doomed {
		b = binary.AppendUvarint(b, uint64(d.partition))
		b = binary.AppendUvarint(b, d.file)
	}
	if c.lead > 0 || c.taken > 0 {
		b = binary.AppendUvarint(b, uint64(c.lead))
	}
	if c.taken == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(c.taken))
	b = binary.AppendUvarint(b, uint64(c.end))
	b = binary.AppendUvarint(b, uint64(len(c.floors)))
	for _, f := range c.floors {
		b = binary.AppendUvarint(b, uint64(f.partition))
		b = binary.AppendUvarint(b, uint64(f.next))
	}
	return b
}

func (t *topicState) encode() []byte {
	b := appendField(nil, frame.AppendTopic(nil, &t.topic))
	for i := range t.parts {
		p := &t.parts[i]
		b = binary.AppendUvarint(b, uint64(p.first))
		b = binary.AppendUvarint(b, uint64(p.reach.next))
		b = binary.AppendUvarint(b, uint64(p.reach.records))
		b = binary.AppendVarint(b, p.reach.time)
		b = binary.AppendUvarint(b, uint64(len(p.segments)))
		for _, m := range p.segments {
			b = m.Append(b)
		}
		b = binary.AppendUvarint(b, uint64(len(p.holes)))
		for i := range p.holes {
			b = appendField(b, frame.AppendHole(nil, &p.holes[i]))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(t.cursors)))
	for _, c := range t.cursors {
		n, _ := t.topic.Index(c.key.Partition)
		b = binary.AppendUvarint(b, uint64(n))
		b = appendField(b, c.body)
	}
	return b
}

func appendField(dst, p []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(p))), p...)
}

var errCheckpoint = errors.New("storage: no whole checkpoint")

// decodeHeader reads the header of a checkpoint file. errCheckpoint is for one that was cut short or is damaged, storage.ErrFormat for a newer one.
func decodeHeader(b []byte) (c *checkpoint, t tableOf, err error) {
	le := binary.LittleEndian
	if len(b) < sector || string(b[:8]) != checkpointMagic || le.Uint32(b[124:]) != crc32.Checksum(b[:124], castagnoli) {
		return nil, t, errCheckpoint
	}
	if v := le.Uint32(b[8:]); v != checkpointVersion {
		return nil, t, fmt.Errorf("%w: checkpoint of version %d, this program reads %d", storage.ErrFormat, v, checkpointVersion)
	}
	c = &checkpoint{
		id:  identity{store: le.Uint64(b[16:]), seed: frame.Seed(le.Uint32(b[12:]))},
		seq: le.Uint64(b[24:]), epoch: le.Uint32(b[32:]), life: le.Uint64(b[108:]), followed: frame.LSN(le.Uint64(b[116:])),
		clean: le.Uint32(b[36:])&cleanFlag != 0, copied: le.Uint32(b[36:])&copiedFlag != 0,
		applied:  frame.LSN(le.Uint64(b[40:])),
		from:     mark{lsn: frame.LSN(le.Uint64(b[48:])), seq: le.Uint64(b[56:]), pos: int64(le.Uint64(b[64:]))},
		last:     frame.LSN(le.Uint64(b[72:])),
		nextFile: le.Uint64(b[80:]), nextPart: storage.PartitionID(le.Uint32(b[88:])), nextGrp: storage.GroupID(le.Uint32(b[92:])),
	}
	t = tableOf{sections: int64(le.Uint32(b[96:])), bytes: int64(le.Uint32(b[100:])), sum: le.Uint32(b[104:])}
	if t.sections < 1 || t.bytes != 8*t.sections || c.epoch > frame.MaxEpoch || c.from.pos < 0 {
		return nil, t, errCheckpoint
	}
	return c, t, nil
}

// tableOf is what a checkpoint's header says of its table of sections.
type tableOf struct {
	sections, bytes int64
	sum             uint32
}

// section reads section i, whose sum was checked.
func (c *checkpoint) section(i int64, b []byte) error {
	s := &fields{rest: b}
	if i == 0 {
		c.decodeGroups(s)
	} else {
		c.decodeTopic(s)
	}
	switch {
	case s.newer:
		return fmt.Errorf("%w: a newer form in a checkpoint", storage.ErrFormat)
	case s.failed, len(s.rest) > 0:
		return errCheckpoint
	}
	return nil
}

func (c *checkpoint) decodeGroups(s *fields) {
	for range s.count() {
		g, err := frame.DecodeGroup(s.field())
		s.fails(err)
		c.groups = append(c.groups, g)
	}
	for range s.count() {
		f := slotFile{number: int(s.below(maxSlots)), size: int64(s.below(maxSlotFile/sector+1)) * sector}
		c.files = append(c.files, f)
	}
	for range s.count() {
		p := s.uvarint()
		s.failed = s.failed || p > math.MaxUint32
		c.doomed = append(c.doomed, doomed{storage.PartitionID(p), s.uvarint()})
	}
	if !s.failed && len(s.rest) > 0 {
		c.lead = s.int63()
	}
	if !s.failed && len(s.rest) > 0 {
		c.taken, c.end = uint32(s.below(frame.MaxEpoch+1)), frame.LSN(s.uvarint())
		for range s.count() {
			c.floors = append(c.floors, floor{storage.PartitionID(s.below(math.MaxUint32 + 1)), s.int63()})
		}
		s.failed = s.failed || c.taken <= c.epoch
	}
}

// minPartition is the least that a partition takes in a checkpoint.
const minPartition = 6

func (c *checkpoint) decodeTopic(s *fields) {
	t := topicState{}
	var err error
	if t.topic, err = frame.DecodeTopic(s.field()); s.fails(err) {
		return
	}
	if t.topic.Partitions > len(s.rest)/minPartition {
		s.failed = true
		return
	}
	t.parts = make([]partState, t.topic.Partitions)
	for i := range t.parts {
		p := &t.parts[i]
		p.first = s.int63()
		p.reach = segmentBase{next: s.int63(), records: s.int63(), time: s.varint()}
		for range s.count() {
			p.segments = append(p.segments, s.meta())
		}
		for range s.count() {
			p.holes = append(p.holes, s.hole())
		}
		if s.failed {
			return
		}
	}
	for range s.count() {
		n := s.int63()
		body := s.field()
		if n >= int64(len(t.parts)) {
			s.failed = true
			return
		}
		p := t.topic.Partition(int(n))
		cur, err := frame.DecodeCursor(body, uint32(p))
		if s.fails(err) {
			return
		}
		t.cursors = append(t.cursors, cursorState{core.CursorKey{Group: cur.Group, Partition: p}, bytes.Clone(body)})
	}
	c.topics = append(c.topics, t)
}

// write writes the checkpoint to a file: sections, sync, header, sync. The file is enlarged first, so that a later one finds its room on a
// disk that is full by then.
func (c *checkpoint) write(f vfs.File) error {
	header, rest := c.encode()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if need := sector + 2*int64(len(rest)); size < need {
		err := zero(f, size, max(need+need/2, minCheckpoint))
		if err != nil && (!vfs.NoSpace(err) || size < sector+int64(len(rest))) { // without space, what there is will do as long as it does
			return err
		}
	}
	if _, err := f.WriteAt(rest, sector); err != nil {
		return err
	}
	if err := f.SyncData(); err != nil {
		return vfs.SyncFailed(err)
	}
	if _, err := f.WriteAt(header, 0); err != nil {
		return err
	}
	return vfs.SyncFailed(f.SyncData())
}

const minCheckpoint = 64 << 10

// readCheckpoint reads the file called name; errCheckpoint if it is missing or not whole.
func readCheckpoint(fsys vfs.FS, name string) (*checkpoint, error) {
	c, lost, err := readSections(fsys, name)
	if err == nil && len(lost) > 0 {
		return nil, errCheckpoint
	}
	return c, err
}

// maxCheckpoint bounds what is read of a checkpoint.
const maxCheckpoint = 1 << 30

// readSections reads the file called name, and returns which of its sections are not whole. The sums of the header and of the table must match; nothing is
// allocated for more than they say and the file has.
func readSections(fsys vfs.FS, name string) (c *checkpoint, lost []int64, err error) {
	f, err := fsys.Open(name, vfs.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errCheckpoint
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, nil, err
	}
	w := &window{file: f, name: name, end: min(size, maxCheckpoint)}
	b, err := w.at(0, sector)
	if err != nil {
		return nil, nil, err
	}
	c, t, err := decodeHeader(b)
	if err != nil {
		return nil, nil, err
	}
	lost, err = c.read(w, t)
	return c, lost, err
}

// read reads table and sections, one at a time.
func (c *checkpoint) read(w *window, t tableOf) (lost []int64, err error) {
	if sector+t.bytes > w.end {
		return nil, errCheckpoint
	}
	b, err := w.at(sector, int(t.bytes))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) < t.bytes || crc32.Checksum(b[:t.bytes], castagnoli) != t.sum {
		return nil, errCheckpoint
	}
	table := bytes.Clone(b[:t.bytes])
	pos := sector + t.bytes
	for i := range t.sections {
		n := int64(binary.LittleEndian.Uint32(table[8*i:]))
		whole := false
		if pos+n <= w.end {
			if b, err = w.at(pos, int(n)); err != nil {
				return nil, err
			}
			if int64(len(b)) >= n && c.id.seed.Sum(b[:n]) == binary.LittleEndian.Uint32(table[8*i+4:]) {
				if err := c.section(i, b[:n]); errors.Is(err, storage.ErrFormat) {
					return nil, err
				} else if err == nil {
					whole = true
				}
			}
		}
		if !whole {
			lost = append(lost, i)
		}
		pos += n
	}
	return lost, nil
}
