package main

import (
	"errors"
	"fmt"

	"github.com/leatmq/leat/storage/disk"
)

const aboutVerify = `
verify reads everything that counts: all frames of all segments, the checkpoints, and the journal behind the newest. It names what is damaged: the file,
the bytes, and the records that they cost. It only reads, and finds nothing to write about in what is merely old.

It exits with 1 if there is damage. What to do about it: leat mend takes it from a copy of the directory; leat salvage makes a directory whole that does
not open.`

// verify implements the command.
func verify(k *call) error {
	asJSON := k.flags.Bool("json", false, "print one JSON object")
	rate := k.flags.Int64("rate", 0, "read at most so many `MiB` a second; 0: as fast as it goes")
	shown := progressFlag(k.flags)
	args, err := k.parse("DIR")
	if err != nil {
		return err
	}
	if *rate < 0 {
		return &usageError{"-rate is negative"}
	}
	st, err := disk.OpenReadOnly(args[0], disk.Options{})
	if err != nil {
		return err
	}
	p := k.progress("verify", *shown)
	r, err := st.Verify(k.ctx, disk.VerifyOptions{BytesPerSecond: *rate << 20, Progress: p.show})
	p.end()
	v := verificationOf(args[0], namesOf(st), &r)
	if err = errors.Join(err, st.Close(k.ctx)); err != nil {
		return err
	}
	if *asJSON {
		err = object(k.stdout, v)
	} else {
		v.print(k.env)
	}
	if err == nil && len(v.Damage) > 0 {
		err = errFound
	}
	return err
}

func verificationOf(dir string, n names, r *disk.VerifyReport) *verification {
	v := &verification{
		Directory: dir, Files: r.Files, Bytes: r.Bytes, Segments: r.Segments, Records: r.Records, Journal: r.Journal,
		Foreign: append([]string{}, r.Foreign...), Damage: n.damaged(r.Damage), Seconds: r.Took.Seconds(),
	}
	for _, c := range r.Checkpoints {
		v.Checkpoints = append(v.Checkpoints, checkpoint{File: c.File, Whole: c.Whole, Used: c.Used, Newest: c.Newest, Number: c.Seq})
	}
	return v
}

// print writes v for people.
func (v *verification) print(e *env) {
	w := e.stdout
	t := columns(w)
	fmt.Fprintf(t, "segments\t%d, with %s\n", v.Segments, count(v.Records, "record"))
	for _, c := range v.Checkpoints {
		fmt.Fprintf(t, "%s\t%s\n", c.File, c.state())
	}
	fmt.Fprintf(t, "journal\t%s behind the newest checkpoint\n", count(v.Journal, "frame"))
	fmt.Fprintf(t, "whole\t%s in %s\n", size(v.Bytes), count(v.Files, "file"))
	for _, name := range v.Foreign {
		fmt.Fprintf(t, "not the store's\t%s\n", name)
	}
	t.Flush()
	if len(v.Damage) == 0 {
		fmt.Fprintln(w, "no damage")
		return
	}
	printDamage(w, v.Damage)
	fmt.Fprintf(w, "%s damaged\n", count(int64(len(v.Damage)), "place"))
}

func (c *checkpoint) state() string {
	switch {
	case c.Newest:
		return fmt.Sprintf("number %d, the newest", c.Number)
	case c.Whole:
		return fmt.Sprintf("number %d", c.Number)
	case c.Used:
		return "not whole"
	}
	return "not used yet"
}
