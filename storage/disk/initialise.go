package disk

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs"
)

const segmentDir = "seg"

// initialise makes the files of a new store, durable but for the checkpoint that says so.
func (st *Store) initialise() (*checkpoint, error) {
	st.report.New = true
	id := identity{store: random(), seed: frame.Seed(random())}
	for _, dir := range []string{journalDir, segmentDir} {
		if err := st.fs.Mkdir(dir); err != nil {
			return nil, fmt.Errorf("storage: new directory: %w", err)
		}
	}
	var files []slotFile
	for i := range st.opt.Tuning.Slots {
		files = append(files, slotFile{i, st.opt.Tuning.SlotBytes})
		if err := st.firstSlot(i); err != nil {
			return nil, err
		}
	}
	for _, name := range checkpointNames {
		f, err := st.createAnew(name)
		if err == nil {
			err = errors.Join(zero(f, 0, minCheckpoint), f.Close())
		}
		if err != nil {
			return nil, fmt.Errorf("storage: new checkpoint: %w", err)
		}
	}
	if err := errors.Join(st.fs.SyncDir(journalDir), st.fs.SyncDir(".")); err != nil {
		return nil, fmt.Errorf("storage: new directory: %w", err)
	}
	return &checkpoint{id: id, clean: true, life: random(), files: files, nextFile: 1, from: mark{seq: 0}}, nil
}

// noSlots makes the journal of a copy that has none.
func (st *Store) noSlots(base *checkpoint) (slots []*slot, made int, err error) {
	if !base.clean {
		return nil, 0, st.bear(&storage.DamageError{File: journalDir, Reason: "all files of the journal are missing"})
	}
	if st.readOnly {
		return nil, 0, nil
	}
	for i := range st.opt.Tuning.Slots {
		s, err := makeSlot(st.fs, i, st.opt.Tuning.SlotBytes)
		if err != nil {
			closeSlots(slots)
			return nil, 0, err
		}
		slots = append(slots, s)
	}
	return slots, len(slots), nil
}

func (st *Store) firstSlot(number int) error {
	if err := st.clear(slotName(number), slotMagic); err != nil {
		return err
	}
	s, err := makeSlot(st.fs, number, st.opt.Tuning.SlotBytes)
	if err != nil {
		return err
	}
	return s.file.Close()
}

// createAnew creates a file in place of what an interrupted initialisation left.
func (st *Store) createAnew(name string) (vfs.File, error) {
	if err := st.clear(name, checkpointMagic); err != nil {
		return nil, err
	}
	return st.fs.Create(name)
}

func removeIfThere(fsys vfs.FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func random() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:]) // never fails
		if n := binary.LittleEndian.Uint64(b[:]); uint32(n) != 0 {
			return n
		}
	}
}
