package queue

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// GroupInfo is a group as it is: its name, what its members share, and what it has before it. Ready, InFlight, Waiting and Parked are those of GroupStats.
type GroupInfo struct {
	// Group has what members share; the other fields are zero. Without members it is what the last ones had, or CreateGroup said. Of a group that
	// nobody joined since the broker was opened only Name and Topics may be known, if nothing was said of it by an Admin.
	Group
	Paused                   bool
	Ready, InFlight, Waiting int64
	Parked                   int64
	// OldestReady is how long ago the oldest message was stored that is neither done, in flight, waiting for its next attempt, nor behind such a
	// one in its lane; 0 if there is none.
	OldestReady time.Duration
	Members     int
	Idle        string // why nothing runs though something is ready; "" if that is not so
	Partitions  []GroupPartition
}

// GroupPartition is a partition as a group has it before it.
type GroupPartition struct {
	Topic                    string
	Partition                int
	Floor                    Position // every message before it is done
	Ready, InFlight, Waiting int64
	Parked                   int64
	OldestReady              time.Duration
	Damaged                  string // why it cannot be read on; "" if it can
}

// Groups lists the groups, sorted by name.
func (a *Admin) Groups(ctx context.Context) ([]GroupInfo, error) {
	e, err := a.groups()
	if err != nil {
		return nil, err
	}
	return e.Groups(ctx)
}

// Group returns one group.
func (a *Admin) Group(ctx context.Context, name string) (GroupInfo, error) {
	e, err := a.groups()
	if err != nil {
		return GroupInfo{}, err
	}
	return e.Group(ctx, name)
}

// CreateGroup makes a group where g.StartIfNew says, durable on return, without consuming: from then on it accumulates what is published. It does what a
// Consume of g does before its first message: a group that exists keeps its cursors and takes the settings, unless members live by others, which is a
// *ConfigError. Only what members share and StartIfNew may be set.
func (a *Admin) CreateGroup(ctx context.Context, g Group) error {
	e, err := a.groups()
	if err != nil {
		return err
	}
	if err := g.validateShared(); err != nil {
		return err
	}
	if err := a.b.validGroup(g, byMessage, true); err != nil {
		return err
	}
	g.Topics = slices.Clone(g.Topics)
	return e.CreateGroup(ctx, g)
}

// validateShared refuses what is a member's own.
func (g Group) validateShared() error {
	f := faults{subject: "group " + strconv.Quote(g.Name)}
	shared := []string{"Name", "Topics", "Order", "Guarantee", "StartIfNew", "Exclusive", "ExpireAfter", "Uncounted"}
	own := reflect.ValueOf(g)
	for i := range own.NumField() {
		field := own.Type().Field(i).Name
		if !slices.Contains(shared, field) {
			f.check(own.Field(i).IsZero(), field, nil, "is a member's own, and here is none")
		}
	}
	return f.err()
}

// Pause has a group hand out nothing more, durable on return, until Resume. What is in work is finished and settled. Members stay, others may join, and
// backlog and due times grow on; the group is idle because "paused". Pausing a paused group does nothing.
func (a *Admin) Pause(ctx context.Context, group string) error { return a.pause(ctx, group, true) }

// Resume has a paused group go on, durable on return. Resuming a group that is not paused does nothing.
func (a *Admin) Resume(ctx context.Context, group string) error { return a.pause(ctx, group, false) }

func (a *Admin) pause(ctx context.Context, group string, paused bool) error {
	e, err := a.groups()
	if err != nil {
		return err
	}
	if err := a.b.can(CanPause); err != nil {
		return err
	}
	return e.PauseGroup(ctx, group, paused)
}

// Seek moves a group to another place, durable on return, all its partitions at once: Earliest and Latest, Since a time, From or After positions, where
// partitions that are not named stay as they are. Everything from there on comes again, at its first attempt, also what was done; what lies
// before is done. It may be done while members are at work: what is in flight is theirs no more, so that their outcomes are ErrLeaseLost and change
// nothing, while handlers that run go on to their end; what is being committed is waited for. ErrNotFound for positions that are not there, or of a
// topic that the group does not read; *ConfigError if members have Group.Resume and say by themselves where they go on. On an error nothing has
// moved, unless it is ErrIndeterminate, though what was in flight may come again.
func (a *Admin) Seek(ctx context.Context, group string, to Start) error {
	e, err := a.groups()
	if err != nil {
		return err
	}
	if err := a.b.can(CanSeek); err != nil {
		return err
	}
	f := faults{subject: "group " + strconv.Quote(group)}
	to.validate(&f, "to", nil)
	if err := f.err(); err != nil {
		return err
	}
	return e.SeekGroup(ctx, group, to)
}

// DeleteGroup removes a group and all that it remembers, durable on return, so that it holds no messages any more. Running Consumes of it end with
// ErrNotFound. A group made anew under the name begins where its StartIfNew says.
func (a *Admin) DeleteGroup(ctx context.Context, name string) error {
	e, err := a.groups()
	if err != nil {
		return err
	}
	return e.DeleteGroup(ctx, name)
}

// groups returns the engine, if it can.
func (a *Admin) groups() (EngineGroups, error) {
	e, ok := a.b.engine.(EngineGroups)
	if !ok {
		return nil, fmt.Errorf("%w: %s: groups cannot be listed, made or deleted", ErrUnsupported, a.b.capabilities.Name)
	}
	return e, a.open()
}
