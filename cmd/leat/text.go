package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

// size writes a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, exp := float64(n)/unit, 0
	for value >= unit && exp < 4 {
		value, exp = value/unit, exp+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[exp])
}

// count writes a number of things: "1 file", "2 files".
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	if strings.HasSuffix(thing, "y") {
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(thing, "y"))
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// columns aligns cells that are separated by tabs. The caller flushes it.
func columns(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// object writes v as indented JSON.
func object(w io.Writer, v any) error {
	j := json.NewEncoder(w)
	j.SetEscapeHTML(false)
	j.SetIndent("", "  ")
	return j.Encode(v)
}

// names finds the topic of a partition.
type names map[storage.PartitionID]place

// place is a partition as people know it.
type place struct {
	Topic     string
	Partition int
}

func namesOf(st *disk.Store) names {
	all := names{}
	for _, t := range st.Topics() {
		for n := range t.Partitions {
			all[t.Partition(n)] = place{t.Name, n}
		}
	}
	return all
}

// damaged describes damage for JSON.
func (n names) damaged(list []*storage.DamageError) []damage {
	all := make([]damage, 0, len(list))
	for _, d := range list {
		x := damage{File: d.File, From: d.From, To: d.To, Records: d.Records, Reason: d.Reason, Skipped: d.Skipped}
		if d.Next > d.First {
			p, ok := n[d.Partition]
			if !ok {
				p.Partition = int(d.Partition)
			}
			x.lost = &lost{Topic: p.Topic, Partition: p.Partition, First: d.First, Next: d.Next}
		}
		all = append(all, x)
	}
	return all
}

// printDamage writes damage, a paragraph for each.
func printDamage(w io.Writer, all []damage) {
	for _, d := range all {
		fmt.Fprintf(w, "damaged: %s", d.File)
		if d.To > d.From {
			fmt.Fprintf(w, ", bytes %d to %d", d.From, d.To)
		} else if d.From > 0 {
			fmt.Fprintf(w, ", from byte %d", d.From)
		}
		fmt.Fprintf(w, "\n  %s\n", d.Reason)
		if d.lost == nil {
			continue
		}
		fmt.Fprintf(w, "  topic %q, partition %d, offsets %d to %d", d.Topic, d.Partition, d.First, d.Next)
		if d.Records > 0 {
			fmt.Fprintf(w, ": %s", count(d.Records, "record"))
		}
		if d.Skipped {
			fmt.Fprint(w, "; readers skip them")
		}
		fmt.Fprintln(w)
	}
}
