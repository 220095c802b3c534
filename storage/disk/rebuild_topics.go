package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/core"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// identityOf finds out which store a directory is of, by any file that still says so.
func identityOf(fsys vfs.FS) (identity, error) {
	for _, name := range checkpointNames {
		c, _, err := readSections(fsys, name)
		if errors.Is(err, storage.ErrFormat) {
			return identity{}, err
		}
		if c != nil {
			return c.id, nil
		}
	}
	infos, err := listIfThere(fsys, journalDir)
	if err != nil {
		return identity{}, err
	}
	for _, info := range infos {
		if !info.Regular {
			continue
		}
		f, err := fsys.Open(journalDir+"/"+info.Name, vfs.ReadOnly)
		if err != nil {
			return identity{}, fmt.Errorf("storage: journal: %w", err)
		}
		b, err := readAt(f, info.Name, 0, sector)
		if err := errors.Join(err, f.Close()); err != nil {
			return identity{}, err
		}
		le := binary.LittleEndian
		if len(b) >= slotHeader && string(b[:8]) == slotMagic && le.Uint32(b[56:]) == crc32.Checksum(b[:56], castagnoli) {
			return identity{store: le.Uint64(b[16:]), seed: frame.Seed(le.Uint32(b[12:]))}, nil
		}
	}
	return identity{}, fmt.Errorf("%w: nothing says which store the directory is of: no header of a checkpoint, and none of the journal, is whole", storage.ErrNotFound)
}

// topics puts together which topics and groups there are: what the newest checkpoints that can be read in part say, and then the journal.
func (b *rebuilder) topics(slots []*slot) error {
	topics, groups, err := b.sections()
	if err != nil {
		return err
	}
	var altered []storage.Topic
	for _, s := range slots {
		if err := b.slotTopics(s, topics, &altered); err != nil {
			return err
		}
	}
	for i := range altered {
		if t := topics[altered[i].First]; t != nil {
			core.Extend(&t.topic, &altered[i])
		}
	}
	for _, t := range topics {
		t.parts = make([]partState, t.topic.Partitions)
		b.base.topics = append(b.base.topics, *t)
		b.base.nextPart = max(b.base.nextPart, core.End(&t.topic))
	}
	slices.SortFunc(b.base.topics, func(x, y topicState) int { return int(int64(x.topic.First) - int64(y.topic.First)) })
	for _, g := range groups {
		b.base.groups = append(b.base.groups, g)
		b.base.nextGrp = max(b.base.nextGrp, g.ID+1)
	}
	slices.SortFunc(b.base.groups, func(x, y storage.Group) int { return int(int64(x.ID) - int64(y.ID)) })
	return nil
}

// sections reads what is whole of the checkpoints, the newer over the older.
func (b *rebuilder) sections() (map[storage.PartitionID]*topicState, map[storage.GroupID]storage.Group, error) {
	var all []*checkpoint
	for _, name := range checkpointNames {
		c, lost, err := readSections(b.from, name)
		if errors.Is(err, errCheckpoint) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("storage: %s: %w", name, err)
		}
		if c.id == b.id {
			all = append(all, c)
			b.report.Sections += len(lost)
		}
	}
	slices.SortFunc(all, func(x, y *checkpoint) int { return int(int64(x.seq) - int64(y.seq)) })
	if b.report.NoCheckpoint = len(all) == 0; !b.report.NoCheckpoint {
		b.newest = all[len(all)-1]
	}
	topics, groups := map[storage.PartitionID]*topicState{}, map[storage.GroupID]storage.Group{}
	for _, c := range all {
		for i := range c.topics {
			t := &c.topics[i]
			topics[t.topic.First] = &topicState{topic: t.topic, cursors: t.cursors}
			for n := range t.parts {
				b.spans[t.topic.Partition(n)] = &t.parts[n]
			}
		}
		for _, g := range c.groups {
			groups[g.ID] = g
		}
		b.base.nextPart, b.base.nextGrp = max(b.base.nextPart, c.nextPart), max(b.base.nextGrp, c.nextGrp)
		b.base.nextFile, b.base.lead = max(b.base.nextFile, c.nextFile), c.lead
	}
	return topics, groups, nil
}

// slotTopics adds the topics that were made in a slot, and what they were altered to, for the partitions that they were given: segments may have records of
// these. What else became of them is replayed.
func (b *rebuilder) slotTopics(s *slot, topics map[storage.PartitionID]*topicState, altered *[]storage.Topic) error {
	w := s.window()
	for pos := int64(sector); ; {
		head, err := w.at(pos, frame.HeaderSize)
		if err != nil || len(head) < frame.HeaderSize {
			return err
		}
		h, err := frame.Parse(head, b.id.seed)
		if err != nil {
			pos += 8
			continue
		}
		if h.Kind == frame.Topic || h.Kind == frame.Alter {
			raw, err := w.at(pos, h.Size())
			if err != nil || len(raw) < h.Size() {
				return err
			}
			body := raw[frame.HeaderSize:][:h.BodyLen]
			t, err := frame.DecodeTopic(body)
			switch {
			case h.CheckBody(body, b.id.seed) != nil || err != nil:
			case h.Kind == frame.Alter:
				*altered = append(*altered, t)
			case topics[t.First] == nil:
				topics[t.First] = &topicState{topic: t}
			}
		}
		pos += int64(h.Size())
	}
}
