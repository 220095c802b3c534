package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/leatmq/leat/storage/disk"
)

const aboutCompact = `
compact opens the directory for writing and applies the cleanup rules of all topics now, rather than when a program that uses it comes to it. Files that
are not needed any more are removed.`

// compact implements the command.
func compact(k *call) error {
	asJSON := k.flags.Bool("json", false, "print one JSON object")
	args, err := k.parse("DIR")
	if err != nil {
		return err
	}
	st, err := openExisting(args[0])
	if err != nil {
		return err
	}
	before := st.Stats()
	if err = st.Clean(k.ctx); err == nil {
		err = st.Reclaim(k.ctx)
	}
	after := st.Stats()
	if err = errors.Join(err, st.Close(context.WithoutCancel(k.ctx))); err != nil {
		return err
	}
	c := compaction{Directory: args[0], Removed: after.Trimmed, SegmentsBefore: files{before.Segments, before.SegmentBytes}, SegmentsAfter: files{after.Segments, after.SegmentBytes}}
	if *asJSON {
		return object(k.stdout, c)
	}
	fmt.Fprintf(k.stdout, "removed %s; segments: %s in %s, before %s in %s\n", count(c.Removed, "record"),
		size(c.SegmentsAfter.Bytes), count(c.SegmentsAfter.Files, "file"), size(c.SegmentsBefore.Bytes), count(c.SegmentsBefore.Files, "file"))
	return nil
}

// openExisting opens a store for writing, but makes none.
func openExisting(dir string) (*disk.Store, error) {
	st, err := disk.OpenReadOnly(dir, disk.Options{})
	if err == nil {
		err = st.Close(context.Background())
	}
	if err != nil {
		return nil, err
	}
	return disk.Open(dir, disk.Options{})
}

const aboutMend = `
mend reads all segments, and replaces what is damaged by what a copy of the store has: a snapshot, or any copy of its directory that nothing writes to.
The damaged files are kept in the directory aside. It exits with 1 if the copy does not have everything.`

// mend implements the command.
func mend(k *call) error {
	asJSON := k.flags.Bool("json", false, "print one JSON object")
	shown := progressFlag(k.flags)
	args, err := k.parse("DIR", "COPY")
	if err != nil {
		return err
	}
	st, err := openExisting(args[0])
	if err != nil {
		return err
	}
	p := k.progress("mend", *shown)
	r, err := st.Mend(k.ctx, args[1], disk.MendOptions{Progress: p.show})
	p.end()
	n := namesOf(st)
	m := mending{Directory: args[0], Copy: args[1], Mended: n.damaged(r.Mended), Left: n.damaged(r.Left), Aside: append([]string{}, r.Aside...)}
	if err = errors.Join(err, st.Close(context.WithoutCancel(k.ctx))); err != nil {
		return err
	}
	if *asJSON {
		err = object(k.stdout, m)
	} else {
		m.print(k.env)
	}
	if err == nil && len(m.Left) > 0 {
		err = errFound
	}
	return err
}

func (m *mending) print(e *env) {
	w := e.stdout
	if len(m.Mended)+len(m.Left) == 0 {
		fmt.Fprintln(w, "no damage")
		return
	}
	for _, d := range m.Mended {
		fmt.Fprintf(w, "mended: %s\n", d.File)
		if d.lost != nil {
			fmt.Fprintf(w, "  topic %q, partition %d, offsets %d to %d\n", d.Topic, d.Partition, d.First, d.Next)
		}
	}
	for _, name := range m.Aside {
		fmt.Fprintf(w, "kept: %s\n", name)
	}
	if len(m.Left) > 0 {
		fmt.Fprintln(w, "not mended:")
		printDamage(w, m.Left)
	}
}

const aboutSalvage = `
salvage makes a directory whole that does not open because its journal is damaged. It copies the journal and the checkpoints to the directory aside first,
keeps every frame that can be believed, and notes what is missing, so that readers are told. What it loses is what is damaged. A copy of the directory, if
there is one, is better: see leat mend. On a directory that opens it changes nothing. It may be interrupted and run again.`

// salvage implements the command.
func salvage(k *call) error {
	asJSON := k.flags.Bool("json", false, "print one JSON object")
	shown := progressFlag(k.flags)
	args, err := k.parse("DIR")
	if err != nil {
		return err
	}
	p := k.progress("salvage", *shown)
	r, err := disk.Salvage(args[0], disk.SalvageOptions{Progress: p.show})
	p.end()
	if err != nil {
		return err
	}
	st, err := disk.OpenReadOnly(args[0], disk.Options{})
	if err != nil {
		return err
	}
	s := salvageOf(args[0], namesOf(st), &r)
	if err := st.Close(k.ctx); err != nil {
		return err
	}
	if *asJSON {
		return object(k.stdout, s)
	}
	s.print(k.env)
	return nil
}

func salvageOf(dir string, n names, r *disk.SalvageReport) *salvaged {
	s := &salvaged{
		Directory: dir, Damaged: r.Damaged, Aside: r.Aside, Entries: r.Journal.Entries, Records: r.Journal.Records, LostFrames: r.Journal.Frames,
		LostBytes: r.Journal.Bytes, Cursors: r.Cursors, Refused: r.Refused, Spilled: r.Spilled, Damage: n.damaged(r.Damage), Holes: n.damaged(r.Holes),
		Uncertain: []string{},
	}
	for _, p := range r.Uncertain {
		s.Uncertain = append(s.Uncertain, fmt.Sprintf("%s/%d", n[p].Topic, n[p].Partition))
	}
	for _, records := range r.Strangers {
		s.Strangers += records
	}
	return s
}

func (s *salvaged) print(e *env) {
	w := e.stdout
	if !s.Damaged {
		fmt.Fprintln(w, "nothing to salvage: the directory opens, and was not changed")
		return
	}
	printDamage(w, s.Damage)
	t := columns(w)
	fmt.Fprintf(t, "kept\t%s with %s of the journal\n", count(s.Entries, "entry"), count(s.Records, "record"))
	fmt.Fprintf(t, "lost\t%s in %s\n", count(s.LostFrames, "frame"), size(s.LostBytes))
	if s.Cursors > 0 {
		fmt.Fprintf(t, "cursors not taken\t%d: their groups see some records again\n", s.Cursors)
	}
	if s.Refused > 0 {
		fmt.Fprintf(t, "frames that do not fit\t%d\n", s.Refused)
	}
	if s.Strangers > 0 {
		fmt.Fprintf(t, "records of lost topics\t%d\n", s.Strangers)
	}
	if len(s.Uncertain) > 0 {
		fmt.Fprintf(t, "may have lost their end\t%s\n", strings.Join(s.Uncertain, ", "))
	}
	fmt.Fprintf(t, "copies\t%s\n", s.Aside)
	t.Flush()
	printDamage(w, s.Holes)
}
