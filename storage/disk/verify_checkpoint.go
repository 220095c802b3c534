package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/vfs"
)

// checkpoints checks the three files.
func (v *verification) checkpoints() error {
	size, err := v.readCheckpoints()
	if err != nil {
		return err
	}
	v.total += size
	return v.step(int(size), false)
}

// readCheckpoints reads them, at no pace, since no checkpoint can be written meanwhile; and returns how many bytes they have.
func (v *verification) readCheckpoints() (size int64, err error) {
	k := v.st.keeper
	select {
	case <-k.busy:
	case <-v.ctx.Done():
		return 0, v.ctx.Err()
	}
	defer signal(k.journal.kick) // for a checkpoint that could not begin
	defer func() { k.busy <- struct{}{} }()
	var all [len(checkpointNames)]checkpointFile
	best := -1
	for i, name := range checkpointNames {
		if all[i], err = v.readCheckpoint(name); err != nil {
			return 0, fmt.Errorf("storage: verifying %s: %w", name, err)
		}
		if all[i].Whole && (best < 0 || all[i].Seq > all[best].Seq) {
			best = i
		}
	}
	if best >= 0 {
		all[best].Newest = true
	}
	for i := range all {
		f := &all[i]
		size += f.size
		v.report.Checkpoints = append(v.report.Checkpoints, f.CheckpointState)
		if reason := v.wrong(all[:], i, best); reason != "" {
			v.report.Damage = append(v.report.Damage, &storage.DamageError{File: f.File, To: f.size, Reason: reason})
			continue
		}
		if f.Whole {
			v.report.Files++
			v.report.Bytes += f.size
		}
	}
	return size, nil
}

// checkpointFile is what was read of a file.
type checkpointFile struct {
	CheckpointState
	size  int64
	clean bool
	why   string // it is not whole
}

func (v *verification) readCheckpoint(name string) (f checkpointFile, err error) {
	f = checkpointFile{CheckpointState: CheckpointState{File: name}, why: "not a whole checkpoint"}
	if f.size, f.Used, err = usedFile(v.st.fs, name); err == nil {
		var c *checkpoint
		if c, err = readCheckpoint(v.st.fs, name); err == nil {
			f.Whole, f.Seq, f.clean = true, int64(c.seq), c.clean
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, vfs.ErrNotRegular):
		f.why, f.Used = "the file is missing", true
	case errors.Is(err, syscall.EIO):
		f.why, f.Used = err.Error(), true
	case err != nil && !errors.Is(err, errCheckpoint):
		return f, err
	}
	return f, nil
}

// usedFile returns how large a file is, and whether something was ever written to its beginning.
func usedFile(fsys vfs.FS, name string) (size int64, used bool, err error) {
	f, err := fsys.Open(name, vfs.ReadOnly)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	if size, err = f.Size(); err != nil {
		return 0, false, err
	}
	b, err := readAt(f, name, 0, checkpointHeader)
	return size, bytes.ContainsFunc(b, func(r rune) bool { return r != 0 }), err
}

// wrong returns why file i is damaged, "" if it is as it should be: whole, but for one that was never written to, and for the one that is written next,
// when its writer died or failed.
func (v *verification) wrong(all []checkpointFile, i, best int) string {
	f, k, n := &all[i], v.st.keeper, len(all)
	newest, seq, ended := best, int64(0), false
	if best >= 0 {
		seq, ended = all[best].Seq, all[best].clean
	}
	if !v.st.readOnly { // it is known for sure
		newest, seq, ended = (k.next+n-1)%n, int64(k.made.seq), k.err == nil
	}
	age := int64((newest - i + n) % n) // how many checkpoints ago it was written
	switch {
	case newest < 0:
		return f.why
	case age == int64(n)-1 && !ended, age >= seq:
		return ""
	case age > 0 && f.size == 0 && !f.Used: // as in a copy, which has one checkpoint
		return ""
	case !f.Whole:
		return f.why
	case f.Seq != seq-age:
		return fmt.Sprintf("it holds checkpoint %d instead of %d", f.Seq, seq-age)
	}
	return ""
}
