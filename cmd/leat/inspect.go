package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

const aboutInspect = `
inspect shows what a store holds and in what state its directory is: whether it was closed, and what the next open would have to recover; its topics
with their strategies, the partitions with the offsets that they have, and the groups with what they have still to do. It only reads.

It exits with 1 if the open meets damage. Segments are not read: that is what leat verify is for.`

// inspect implements the command.
func inspect(k *call) error {
	asJSON := k.flags.Bool("json", false, "print one JSON object")
	all := k.flags.Bool("all", false, fmt.Sprintf("list every partition, also of topics with more than %d", manyPartitions))
	args, err := k.parse("DIR")
	if err != nil {
		return err
	}
	st, err := disk.OpenReadOnly(args[0], disk.Options{})
	if err != nil {
		return err
	}
	i, err := inspectStore(st, args[0])
	if err = errors.Join(err, st.Close(k.ctx)); err != nil {
		return err
	}
	if *asJSON {
		err = object(k.stdout, i)
	} else {
		i.print(k.env, *all)
	}
	if err == nil && len(i.Damage) > 0 {
		err = errFound
	}
	return err
}

func inspectStore(st *disk.Store, dir string) (*inspection, error) {
	info, stats, r := st.Info(), st.Stats(), st.Report()
	n := namesOf(st)
	i := &inspection{
		Directory: dir, Store: fmt.Sprintf("%016x", info.ID), Format: info.Format, Clean: r.Clean, Checkpoint: r.Checkpoint,
		Recovery: recovery{Entries: r.Entries, Records: r.Records, CutBytes: r.CutBytes, Leftovers: r.Leftovers, Raised: len(r.Raised)},
		Journal:  files{int64(info.JournalFiles), stats.JournalBytes}, Segments: files{stats.Segments, stats.SegmentBytes},
		Topics: []topicReport{}, Groups: []groupReport{}, Foreign: append([]string{}, r.Foreign...), Exposed: r.Exposed, Damage: n.damaged(r.Damage),
	}
	for _, t := range st.Topics() {
		report, err := inspectTopic(st, &t)
		if err != nil {
			return nil, err
		}
		i.Topics = append(i.Topics, report)
	}
	for _, g := range st.Groups() {
		report, err := inspectGroup(st, g)
		if err != nil {
			return nil, err
		}
		i.Groups = append(i.Groups, report)
	}
	return i, nil
}

func inspectTopic(st *disk.Store, t *storage.Topic) (topicReport, error) {
	s := &t.Strategy
	r := topicReport{
		Name: t.Name, Partitions: t.Partitions, Level: s.Level.String(), Sync: s.Sync.String(), Cleanup: cleanup(&s.Cleanup), NoBackup: s.NoBackup,
		SettingsBytes: len(t.Settings), Parts: make([]partitionReport, 0, t.Partitions),
	}
	if s.Level == storage.Compressed {
		c := s.Compression.WithDefaults()
		r.Compression = fmt.Sprintf("%v, blocks of %s", c.Codec, size(int64(c.BlockBytes)))
	}
	for n := range t.Partitions {
		p, err := inspectPartition(st, t.Partition(n), n)
		if err != nil {
			return r, err
		}
		r.Records += p.Records
		r.Bytes += p.Bytes
		r.Segments += p.Segments
		r.Parts = append(r.Parts, p)
	}
	return r, nil
}

func inspectPartition(st *disk.Store, id storage.PartitionID, n int) (partitionReport, error) {
	b, err := st.Bounds(id)
	if err != nil {
		return partitionReport{}, err
	}
	removed, err := st.Ordinal(id, b.First)
	segments, bytes := st.Files(id)
	return partitionReport{
		Partition: n, ID: uint32(id), First: b.First, Next: b.Next, Records: b.Records - removed, Removed: removed, Segments: segments, Bytes: bytes,
	}, err
}

func inspectGroup(st *disk.Store, g storage.Group) (groupReport, error) {
	r := groupReport{Name: g.Name, Cursors: []cursorReport{}}
	for _, t := range st.Topics() {
		for n := range t.Partitions {
			c, ok := st.Cursor(g.ID, t.Partition(n))
			if !ok {
				continue
			}
			lag, err := lagOf(st, &c)
			if err != nil {
				return r, err
			}
			r.Lag += lag
			r.Cursors = append(r.Cursors, cursorReport{
				Topic: t.Name, Partition: n, Floor: c.Floor, Done: c.Passed, Lag: lag, Failed: len(c.Failed),
			})
		}
	}
	return r, nil
}

// lagOf counts the records that are stored and that the cursor's group has not done.
func lagOf(st *disk.Store, c *storage.Cursor) (int64, error) {
	b, err := st.Bounds(c.Partition)
	if err != nil {
		return 0, err
	}
	from := max(c.Floor, b.First)
	below, err := st.Ordinal(c.Partition, from)
	if err != nil {
		return 0, err
	}
	lag := b.Records - below
	for _, d := range c.Done {
		if d.To <= from {
			continue
		}
		first, err := st.Ordinal(c.Partition, max(d.From, from))
		if err != nil {
			return 0, err
		}
		next, err := st.Ordinal(c.Partition, d.To)
		if err != nil {
			return 0, err
		}
		lag -= next - first
	}
	return max(0, lag), nil
}

// cleanup writes a policy for people.
func cleanup(c *storage.CleanupPolicy) string {
	var rules []string
	add := func(ok bool, format string, args ...any) {
		if ok {
			rules = append(rules, fmt.Sprintf(format, args...))
		}
	}
	age := c.TombstoneAge
	if age == 0 {
		age = storage.DefaultTombstoneAge
	}
	add(c.MaxAge > 0, "at most %v", c.MaxAge)
	add(c.MaxBytes > 0, "at most %s a partition", size(c.MaxBytes))
	add(c.MaxRecords > 0, "at most %d records a partition", c.MaxRecords)
	add(c.WhenDone, "until every group is done")
	add(c.LatestByKey, "the latest of each key, tombstones for %v", age.Round(time.Second))
	if len(rules) == 0 {
		return "keeps everything"
	}
	add(c.HoldForGroups, "not before every group is done")
	return strings.Join(rules, ", ")
}
