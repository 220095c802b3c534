package core

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/leatmq/leat/storage"
)

// CreateTopic is storage.Store's.
func (c *Core) CreateTopic(ctx context.Context, s storage.TopicSpec) (storage.Topic, error) {
	if err := checkSpec(&s); err != nil {
		return storage.Topic{}, err
	}
	if err := c.idsFor(s.Partitions); err != nil {
		return storage.Topic{}, err
	}
	s.Settings = append([]byte(nil), s.Settings...)
	t := storage.Topic{TopicSpec: s, Incarnation: incarnation()}
	made, err := c.change(ctx, "topic "+s.Name, func() bool {
		_, ok := c.Catalog.Topic(s.Name)
		return !ok
	}, func(x *Entry) {
		t.First = c.Catalog.takePartitions(s.Partitions)
		x.addTopic(&t)
	})
	if err == nil && !made {
		err = storage.ErrExists
	}
	if err != nil {
		return storage.Topic{}, err
	}
	return t, nil
}

// CreateGroup is storage.Store's.
func (c *Core) CreateGroup(ctx context.Context, name string) (storage.Group, error) {
	if n := len(name); n < 1 || n > storage.MaxName {
		return storage.Group{}, &storage.LimitError{What: "name", Size: int64(n), Max: storage.MaxName}
	}
	if n := len(c.Catalog.Groups()); n >= storage.MaxGroups {
		return storage.Group{}, &storage.LimitError{What: "number of groups", Size: int64(n), Max: storage.MaxGroups}
	}
	g := storage.Group{Name: name}
	made, err := c.change(ctx, "group "+name, func() bool {
		_, ok := c.Catalog.group(name)
		return !ok
	}, func(x *Entry) {
		g.ID = c.Catalog.takeGroup()
		x.addGroup(&g)
	})
	if err == nil && !made {
		g, _ = c.Catalog.group(name)
	}
	return g, err
}

// change commits what fill adds, if possible says that it can be, and never twice at a time for one name.
func (c *Core) change(ctx context.Context, name string, possible func() bool, fill func(*Entry)) (done bool, err error) {
	for {
		if err := c.Writable(); err != nil {
			return false, err
		}
		if !possible() {
			return false, nil
		}
		wait, mine := c.Catalog.claim(name)
		if mine {
			break
		}
		select {
		case <-wait:
		case <-c.stopped:
		case <-ctx.Done():
			return false, errors.Join(storage.ErrFull, ctx.Err())
		}
	}
	if !possible() { // it came, or went, between the look and the claim
		c.Catalog.abandon(name)
		return false, nil
	}
	x := c.take()
	defer c.give(x)
	fill(x)
	err = c.commit(ctx, x)
	if err != nil && !errors.Is(err, storage.ErrIndeterminate) {
		c.Catalog.abandon(name)
	}
	return err == nil, err
}

func checkSpec(s *storage.TopicSpec) error {
	switch {
	case len(s.Name) < 1 || len(s.Name) > storage.MaxName:
		return &storage.LimitError{What: "name", Size: int64(len(s.Name)), Max: storage.MaxName}
	case s.Partitions < 1 || s.Partitions > storage.MaxPartitions:
		return &storage.LimitError{What: "number of partitions", Size: int64(s.Partitions), Max: storage.MaxPartitions}
	}
	return checkStrategy(s)
}

// checkStrategy judges the part of a spec that AlterTopic can change.
func checkStrategy(s *storage.TopicSpec) error {
	if len(s.Settings) > storage.MaxSettings {
		return &storage.LimitError{What: "settings", Size: int64(len(s.Settings)), Max: storage.MaxSettings}
	}
	err := s.Strategy.Check()
	if wrong := (*storage.StrategyError)(nil); errors.As(err, &wrong) {
		wrong.Topic = s.Name
	}
	return err
}

func incarnation() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:]) // never fails
		if n := binary.LittleEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}
