package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

func salvage(fs vfs.FS) (disk.SalvageReport, error) {
	return disk.SalvageFS(fs, disk.SalvageOptions{Store: tiny()})
}

// TestSalvage ruins headers, state and whole ranges of a journal below its synced mark: the open is refused and says what a salvage keeps and loses; the salvage
// keeps and loses exactly that, copies everything aside first, and leaves a directory that opens normally, with holes where records are lost, at
// which readers stop. No offset is used again.
func TestSalvage(t *testing.T) {
	fs, _, lastGroup := journalOnly(t, storage.SyncAlways, 100)
	const name = "journal/00"
	content, err := fs.Contents(name)
	if err != nil {
		t.Fatal(err)
	}
	want, err := everything(fs.Clone(memfs.Everything, 1))
	if err != nil {
		t.Fatal(err)
	}
	frames := framesOf(t, content)
	a, rng := newTally(), newRand(1, 20)
	for range sized(t, 60, 500, 2500) {
		from := 4096 + rng.Int64N(lastGroup-4096)
		n := 1 + rng.Int64N(1<<rng.IntN(15))
		n = min(n, lastGroup-from)
		im := fs.Clone(memfs.SyncedOnly, 1)
		where := fmt.Sprintf("%d bytes from byte %d", n, from)
		b := bytes.Clone(content)
		for i := range n {
			b[from+i] ^= byte(1 + rng.IntN(255))
		}
		if err := im.SetContents(name, b); err != nil {
			t.Fatal(err)
		}
		a.salvage(t, im, maps.Clone(want), frames, from, from+n, where)
	}
	line := fmt.Sprintf("%d directories salvaged, %d frames lost, %d records in holes, %d lost at an end", a.get("salvaged"), a.get("frames"), a.get("in holes"), a.get("at an end"))
	a.end(t, "salvage", line, "salvaged", "frames", "in holes")
}

// ruined returns the frames that bytes from up to to of the journal belong to: those that are lost if these are ruined.
func ruined(frames []placed, from, to int64) (lost []placed) {
	for _, f := range frames {
		if f.from < to && f.from+64+int64(f.BodyLen) > from {
			lost = append(lost, f)
		}
	}
	return lost
}

func (a *tally) salvage(t *testing.T, im *memfs.FS, want map[storage.PartitionID][]storage.Record, frames []placed, from, to int64, where string) {
	before := contents(t, im)
	st, err := open(im)
	if err == nil { // nothing but bodies of batches, or padding
		a.count("opened", 1)
		st.Close(context.Background())
		return
	}
	var refused *storage.JournalError
	if !errors.As(err, &refused) {
		a.wrong("%s: %v, want *JournalError", where, err)
		return
	}
	r, err := salvage(im)
	if err != nil || !r.Damaged {
		a.wrong("%s: salvage: %+v, %v", where, r, err)
		return
	}
	a.count("salvaged", 1)
	a.count("frames", int(r.Journal.Frames))
	if lost := ruined(frames, from, to); len(lost) != int(r.Journal.Frames) || refused.Salvage.Frames != r.Journal.Frames || refused.Salvage.Records != r.Journal.Records {
		a.wrong("%s: %d frames lost, the open said %d, want %d", where, r.Journal.Frames, refused.Salvage.Frames, len(lost))
	}
	for file, was := range before {
		if strings.HasPrefix(file, "journal/") || strings.HasPrefix(file, "checkpoint") {
			if is, err := im.Contents(r.Aside + "/" + file); err != nil || !bytes.Equal(is, was) {
				a.wrong("%s: %s was not copied aside: %v", where, file, err)
			}
		}
	}
	a.salvaged(im, want, &r, ruined(frames, from, to), where)
	if again, err := salvage(im); err != nil || again.Damaged {
		a.wrong("%s: a second salvage: %+v, %v", where, again, err)
	}
}

// salvaged checks a store after a salvage: all that is missing is in ruined frames, and all that is not at the end of a partition is in holes.
func (a *tally) salvaged(im *memfs.FS, want map[storage.PartitionID][]storage.Record, r *disk.SalvageReport, lost []placed, where string) {
	st, err := open(im)
	if err != nil {
		a.wrong("%s: after the salvage: %v", where, err)
		return
	}
	defer st.Close(context.Background())
	if !st.Report().Clean || len(st.Report().Damage) != len(r.Holes) {
		a.wrong("%s: after the salvage: report %+v, want holes %v", where, st.Report(), r.Holes)
	}
	kept := map[storage.PartitionID][]storage.Record{}
	for p, all := range want {
		if _, err := st.Bounds(p); err != nil {
			continue // its topic is lost
		}
		for i := range all {
			if gone := lostOffset(lost, p, all[i].Offset); gone && !inHole(ofPartition(r.Holes, p), all[i].Offset) {
				a.count("at an end", 1)
				kept[p] = all[:i]
				break
			} else if !gone && inHole(ofPartition(r.Holes, p), all[i].Offset) {
				a.wrong("%s: partition %d: offset %d is in a hole, and its frame is whole", where, p, all[i].Offset)
			}
			kept[p] = all[:i+1]
		}
	}
	a.serves(st, kept, where)
	for p, all := range want {
		if len(all) > len(kept[p]) && kept[p] != nil {
			kept[p] = append(kept[p][:len(kept[p]):len(kept[p])], all[len(all)-1]) // the next offset is above this one
		}
	}
	a.appends(st, kept, where)
}

func ofPartition(holes []*storage.DamageError, p storage.PartitionID) (of []*storage.DamageError) {
	for _, h := range holes {
		if h.Partition == p {
			of = append(of, h)
		}
	}
	return of
}

func lostOffset(lost []placed, p storage.PartitionID, offset int64) bool {
	for _, f := range lost {
		if f.Partition == uint32(p) && f.Count > 0 && offset >= f.Base && offset < f.Header.Next() {
			return true
		}
	}
	return false
}
