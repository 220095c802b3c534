package main

import (
	"fmt"
	"strings"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

const aboutRebuild = `
rebuild makes a store in NEW, which is missing or empty, of what can be read in DIR, which is not changed. It is for a directory in which no checkpoint is whole, so that
neither an open nor leat salvage can help; a snapshot or the directory of a follower, if there is one, is better: see leat restore. Topics whose names are lost are
named recovered- and the number of their partition. Records that were removed lately may be there again. It says what is missing, as far as that can be known.`

// rebuild implements the command.
func rebuild(k *call) error {
	asJSON := k.flags.Bool("json", false, "print one JSON object")
	shown := progressFlag(k.flags)
	args, err := k.parse("DIR", "NEW")
	if err != nil {
		return err
	}
	p := k.progress("rebuild", *shown)
	r, err := disk.Rebuild(k.ctx, args[0], args[1], disk.RebuildOptions{Progress: p.show})
	p.end()
	if err != nil {
		return err
	}
	st, err := disk.OpenReadOnly(args[1], disk.Options{})
	if err != nil {
		return err
	}
	n := namesOf(st)
	b := rebuilt{
		From: args[0], To: args[1], Copied: r.Copied, Gathered: r.Gathered, Records: r.Salvage.Journal.Records, NoCheckpoint: r.NoCheckpoint, Sections: r.Sections,
		Unnamed: n.partitions(r.Unnamed), Beginnings: n.partitions(r.Beginnings),
		Uncertain: n.partitions(r.Salvage.Uncertain), Damage: n.damaged(append(r.Damage, r.Salvage.Damage...)), Holes: n.damaged(r.Salvage.Holes),
	}
	if err := st.Close(k.ctx); err != nil {
		return err
	}
	if *asJSON {
		return object(k.stdout, b)
	}
	b.print(k.env)
	return nil
}

// partitions names partitions, as topic/partition.
func (n names) partitions(ids []storage.PartitionID) []string {
	all := []string{}
	for _, p := range ids {
		all = append(all, fmt.Sprintf("%s/%d", n[p].Topic, n[p].Partition))
	}
	return all
}

func (b *rebuilt) print(e *env) {
	w := e.stdout
	printDamage(w, b.Damage)
	t := columns(w)
	fmt.Fprintf(t, "segments\t%d copied, %d put together\n", b.Copied, b.Gathered)
	fmt.Fprintf(t, "journal\t%s\n", count(b.Records, "record"))
	if b.NoCheckpoint {
		fmt.Fprintf(t, "checkpoints\tnone can be read: groups and cursors are those of the journal\n")
	} else {
		fmt.Fprintf(t, "checkpoints\tread but for %s\n", count(int64(b.Sections), "section"))
	}
	if len(b.Unnamed) > 0 {
		fmt.Fprintf(t, "names lost\t%s\n", strings.Join(b.Unnamed, ", "))
	}
	if len(b.Beginnings) > 0 {
		fmt.Fprintf(t, "removed or lost at the beginning\t%s\n", strings.Join(b.Beginnings, ", "))
	}
	if len(b.Uncertain) > 0 {
		fmt.Fprintf(t, "may have lost their end\t%s\n", strings.Join(b.Uncertain, ", "))
	}
	t.Flush()
	printDamage(w, b.Holes)
}
