package main

import (
	"fmt"
	"io"
)

// manyPartitions is from how many on the partitions of a topic are not listed unless that is asked for.
const manyPartitions = 64

// print writes i for people.
func (i *inspection) print(e *env, all bool) {
	w := e.stdout
	t := columns(w)
	fmt.Fprintf(t, "directory\t%s\n", i.Directory)
	fmt.Fprintf(t, "store\t%s, format %d\n", i.Store, i.Format)
	fmt.Fprintf(t, "state\t%s\n", i.state())
	fmt.Fprintf(t, "checkpoint\tnumber %d\n", i.Checkpoint)
	fmt.Fprintf(t, "journal\t%s in %s\n", size(i.Journal.Bytes), count(i.Journal.Files, "file"))
	fmt.Fprintf(t, "segments\t%s in %s\n", size(i.Segments.Bytes), count(i.Segments.Files, "file"))
	if i.Exposed {
		fmt.Fprint(t, "exposed\tothers may write in the directory: take that right away from them, they could forge records\n")
	}
	for _, name := range i.Foreign {
		fmt.Fprintf(t, "not the store's\t%s\n", name)
	}
	t.Flush()
	i.printTopics(w)
	i.printPartitions(w, all)
	i.printGroups(w, all)
	if len(i.Damage) > 0 {
		fmt.Fprintln(w)
		printDamage(w, i.Damage)
	}
}

// state says how the last owner left the directory and what that means for the next.
func (i *inspection) state() string {
	if i.Clean && i.Recovery == (recovery{}) {
		return "closed cleanly"
	}
	r, s := &i.Recovery, "not closed"
	if i.Clean {
		s = "closed"
	}
	s += fmt.Sprintf(": the next open replays %s with %s", count(r.Entries, "entry"), count(r.Records, "record"))
	if r.CutBytes > 0 {
		s += fmt.Sprintf(", cuts a torn tail of %s", size(r.CutBytes))
	}
	if r.Leftovers > 0 {
		s += fmt.Sprintf(", removes %s", count(int64(r.Leftovers), "leftover file"))
	}
	if r.Raised > 0 {
		s += fmt.Sprintf(", raises the offsets of %s above a cursor", count(int64(r.Raised), "partition"))
	}
	if len(i.Damage) > 0 {
		s += "; there is damage"
	}
	return s
}

func (i *inspection) printTopics(w io.Writer) {
	if len(i.Topics) == 0 {
		fmt.Fprintln(w, "\nno topics")
		return
	}
	fmt.Fprintln(w)
	t := columns(w)
	fmt.Fprintln(t, "TOPIC\tPARTITIONS\tRECORDS\tBYTES\tSEGMENTS\tLEVEL\tSYNC\tCLEANUP")
	for _, x := range i.Topics {
		level := x.Level
		if x.Compression != "" {
			level += ", " + x.Compression
		}
		if x.NoBackup {
			level += ", no backup"
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%d\t%s\t%s\t%s\n", x.Name, x.Partitions, x.Records, size(x.Bytes), x.Segments, level, x.Sync, x.Cleanup)
	}
	t.Flush()
}

func (i *inspection) printPartitions(w io.Writer, all bool) {
	if len(i.Topics) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := columns(w)
	fmt.Fprintln(t, "TOPIC\tPARTITION\tFIRST\tNEXT\tRECORDS\tBYTES\tSEGMENTS")
	for _, x := range i.Topics {
		if !all && len(x.Parts) > manyPartitions {
			fmt.Fprintf(t, "%s\t0-%d: -all lists them\t\t\t\t\t\n", x.Name, x.Partitions-1)
			continue
		}
		for _, p := range x.Parts {
			fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%s\t%d\n", x.Name, p.Partition, p.First, p.Next, p.Records, size(p.Bytes), p.Segments)
		}
	}
	t.Flush()
}

func (i *inspection) printGroups(w io.Writer, all bool) {
	if len(i.Groups) == 0 {
		fmt.Fprintln(w, "\nno groups")
		return
	}
	fmt.Fprintln(w)
	t := columns(w)
	fmt.Fprintln(t, "GROUP\tTOPIC\tPARTITION\tFLOOR\tDONE\tLAG\tFAILED")
	for _, g := range i.Groups {
		if len(g.Cursors) == 0 {
			fmt.Fprintf(t, "%s\tnothing done yet\t\t\t\t\t\n", g.Name)
		}
		if !all && len(g.Cursors) > manyPartitions {
			fmt.Fprintf(t, "%s\t%d cursors: -all lists them\t\t\t\t%d\t\n", g.Name, len(g.Cursors), g.Lag)
			continue
		}
		for _, c := range g.Cursors {
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\n", g.Name, c.Topic, c.Partition, c.Floor, c.Done, c.Lag, c.Failed)
		}
	}
	t.Flush()
}
