package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatmq/leat/storage/disk"
)

const aboutSnapshot = `
snapshot writes a copy of the store to a directory that is missing or empty, and checks every frame of it before it says that it is good. Files that are never
written to again get a second name there, if it is on the same file system, and take no space. The copy can be restored, mended from, and opened as it is. A program
that has the directory open makes snapshots of it while it runs, by Store.Snapshot: this is for a directory that nobody has open.`

const aboutRestore = `
restore makes a store in a directory that is missing or empty of a snapshot, the directory of a follower, or any directory of a store that nobody has open. The copy is checked
before it is a store, what it is made from is not changed, and nothing is ever restored over something.`

// copyFlags are those of both commands.
type copyFlags struct {
	asJSON, progress, accept *bool
	rate                     *int64
}

func (k *call) copyFlags() copyFlags {
	return copyFlags{
		asJSON: k.flags.Bool("json", false, "print one JSON object"), progress: progressFlag(k.flags),
		accept: k.flags.Bool("accept-damage", false, "copy what is whole of a damaged store, and tell what is not; exit with 1 then"),
		rate:   k.flags.Int64("rate", 0, "copy and check at most so many `MiB` a second; 0: as fast as it goes"),
	}
}

// snapshot implements the command.
func snapshot(k *call) error {
	f := k.copyFlags()
	args, err := k.parse("DIR", "TO")
	if err != nil {
		return err
	}
	if *f.rate < 0 {
		return &usageError{"-rate is negative"}
	}
	st, err := openExisting(args[0])
	if err != nil {
		return err
	}
	p := k.progress("snapshot", *f.progress)
	r, err := st.Snapshot(k.ctx, args[1], disk.SnapshotOptions{BytesPerSecond: *f.rate << 20, Progress: p.show, AcceptDamage: *f.accept})
	p.end()
	n := namesOf(st)
	if err = errors.Join(err, st.Close(context.WithoutCancel(k.ctx))); err != nil {
		return err
	}
	return k.copied(args, &r.CopyReport, n, *f.asJSON)
}

// restore implements the command.
func restore(k *call) error {
	f := k.copyFlags()
	args, err := k.parse("FROM", "DIR")
	if err != nil {
		return err
	}
	if *f.rate < 0 {
		return &usageError{"-rate is negative"}
	}
	p := k.progress("restore", *f.progress)
	r, err := disk.Restore(k.ctx, args[0], args[1], disk.RestoreOptions{BytesPerSecond: *f.rate << 20, Progress: p.show, AcceptDamage: *f.accept})
	p.end()
	if err != nil {
		return err
	}
	st, err := disk.OpenReadOnly(args[1], disk.Options{})
	if err != nil {
		return err
	}
	n := namesOf(st)
	if err := st.Close(k.ctx); err != nil {
		return err
	}
	return k.copied(args, &r.CopyReport, n, *f.asJSON)
}

// copied prints what became of a copy.
func (k *call) copied(args []string, r *disk.CopyReport, n names, asJSON bool) error {
	c := copied{From: args[0], To: args[1], Files: int64(r.Files), Links: int64(r.Links), Bytes: r.Bytes, Records: r.Records, Damage: n.damaged(r.Damage)}
	var err error
	if asJSON {
		err = object(k.stdout, c)
	} else {
		fmt.Fprintf(k.stdout, "%s with %s: %s copied, %s linked, all checked\n", size(c.Bytes), count(c.Records, "record"), count(c.Files, "file"), count(c.Links, "file"))
		printDamage(k.stdout, c.Damage)
	}
	if err == nil && len(c.Damage) > 0 {
		err = errFound
	}
	return err
}
