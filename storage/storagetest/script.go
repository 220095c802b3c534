package storagetest

import (
	"context"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/leatmq/leat/storage"
)

// Script is a random history of one caller that follows from its seed alone: stores of whatever options show the same after it.
type Script struct {
	// Strategy returns how the topics are to be stored; cleanup is the script's.
	Strategy func(rng *rand.Rand) storage.Strategy

	s      storage.Store
	rng    *rand.Rand // of the script
	own    *rand.Rand // of the options
	topics []storage.Topic
	groups []storage.GroupID
	serial uint64
}

// Play takes the steps of the script on s, which is empty.
func (p *Script) Play(s storage.Store, seed, options uint64, steps int) error {
	p.s, p.rng, p.own = s, newRand(seed), newRand(options)
	for _, name := range []string{"a", "b"} {
		if err := p.topic(name); err != nil {
			return err
		}
		g, err := s.CreateGroup(context.Background(), name)
		if err != nil {
			return err
		}
		p.groups = append(p.groups, g.ID)
	}
	for n := range steps {
		if err := p.step(n); err != nil {
			return fmt.Errorf("step %d: %w", n, err)
		}
		if err := s.Clean(context.Background()); err != nil {
			return fmt.Errorf("step %d: clean: %w", n, err)
		}
	}
	return nil
}

func (p *Script) topic(name string) error {
	spec := storage.TopicSpec{Name: name, Partitions: 1 + p.rng.IntN(3), Strategy: p.strategy(), Settings: []byte(name)}
	t, err := p.s.CreateTopic(context.Background(), spec)
	p.topics = append(p.topics, t)
	return err
}

func (p *Script) strategy() storage.Strategy {
	st := p.Strategy(p.own)
	if p.rng.IntN(3) == 0 {
		st.Cleanup.MaxRecords = int64(1 + p.rng.IntN(40))
	}
	st.Cleanup.WhenDone, st.Cleanup.HoldForGroups = p.rng.IntN(4) == 0, p.rng.IntN(2) == 0
	return st
}

func (p *Script) step(n int) error {
	ctx := context.Background()
	i := p.rng.IntN(len(p.topics))
	t := &p.topics[i]
	part := t.Partition(p.rng.IntN(t.Partitions))
	switch p.rng.IntN(21) {
	case 20:
		grown, err := p.s.GrowTopic(ctx, t.Name, t.Partitions+1+p.rng.IntN(2))
		if err == nil {
			*t = grown
		}
		return err
	case 0:
		return p.s.AlterTopic(ctx, t.Name, p.strategy(), fmt.Append(nil, n))
	case 1:
		if len(p.topics) < 4 {
			return p.topic(fmt.Sprint("t", n))
		}
		p.topics = slices.Delete(slices.Clone(p.topics), i, i+1)
		return p.s.DeleteTopic(ctx, t.Name)
	case 2, 3:
		b, err := p.s.Bounds(part)
		if err != nil {
			return err
		}
		return p.s.Trim(ctx, part, b.First+p.rng.Int64N(b.Next-b.First+1)/2)
	case 4, 5, 6:
		_, err := p.s.Append(ctx, &storage.Entry{Cursors: []storage.Cursor{p.cursor(part)}})
		return err
	}
	return p.append(part)
}

func (p *Script) append(part storage.PartitionID) error {
	e := &storage.Entry{}
	t := &p.topics[p.rng.IntN(len(p.topics))]
	for _, id := range []storage.PartitionID{part, t.First} {
		if len(e.Batches) > 0 && id == part {
			continue
		}
		b := storage.Batch{Partition: id}
		for range 1 + p.rng.IntN(6) {
			p.serial++
			b.Records = append(b.Records, mark{entry: p.serial}.record(p.rng.IntN(1<<p.rng.IntN(14))))
		}
		e.Batches = append(e.Batches, b)
	}
	if p.rng.IntN(3) == 0 {
		e.Cursors = append(e.Cursors, p.cursor(part))
	}
	_, err := p.s.Append(context.Background(), e)
	return err
}

// cursor makes one somewhere in a partition. An error of the store shows when it is appended.
func (p *Script) cursor(part storage.PartitionID) storage.Cursor {
	b, _ := p.s.Bounds(part)
	c := storage.Cursor{Group: p.groups[p.rng.IntN(len(p.groups))], Partition: part, Floor: b.First + p.rng.Int64N(b.Next-b.First+1)}
	c.Passed, _ = p.s.Ordinal(part, c.Floor)
	if c.Floor < b.Next {
		c.Failed = []storage.Failure{{Offset: c.Floor, Attempts: 1, Note: "why"}}
	}
	return c
}

// Visible writes down all that a caller can see of a store, but for how its topics are stored and when something happened.
func Visible(s storage.Store, seed uint64) (string, error) {
	var out strings.Builder
	for _, t := range s.Topics() {
		fmt.Fprintf(&out, "topic %q, %d partitions from %d, %q, %+v\n", t.Name, t.Partitions, t.First, t.Settings, t.Strategy.Cleanup)
		for i := range t.Partitions {
			if err := visible(&out, s, t.Partition(i), seed); err != nil {
				return "", err
			}
		}
	}
	return out.String(), nil
}

func visible(out *strings.Builder, s storage.Store, p storage.PartitionID, seed uint64) error {
	b, err := s.Bounds(p)
	if err != nil {
		return err
	}
	rs, err := ReadAll(s, p, newRand(seed))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "partition %d: %+v, %d there\n", p, b, len(rs))
	for i := range rs {
		n, err := s.Ordinal(p, rs[i].Offset)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d, %d: %q %08x %q\n", rs[i].Offset, n, rs[i].Key, crc32.ChecksumIEEE(rs[i].Value), rs[i].Headers)
	}
	for _, g := range s.Groups() {
		if c, ok := s.Cursor(g.ID, p); ok {
			fmt.Fprintf(out, "cursor %+v\n", c)
		}
	}
	return nil
}
