package disk_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/vfs/memfs"
)

// forgeries are what is made of a frame of a journal, its sum made right: no store has written it.
var forgeries = []func(h *frame.Header, b []byte, seed frame.Seed){
	func(h *frame.Header, b []byte, seed frame.Seed) { another(h, frame.Cursor, b, seed) },
	func(h *frame.Header, b []byte, seed frame.Seed) { another(h, frame.Swap, b, seed) },
	func(h *frame.Header, b []byte, seed frame.Seed) { another(h, frame.Gap, b, seed) },
	func(h *frame.Header, b []byte, seed frame.Seed) { another(h, frame.Topic, b, seed) },
	func(h *frame.Header, b []byte, seed frame.Seed) { // a batch that is there already, and whose body is lost
		h.Base = 0
		h.Put(b, seed)
		b[70] ^= 1
	},
	func(_ *frame.Header, b []byte, seed frame.Seed) { raiseFrame(b, 0, seed) }, // of a newer version
	func(h *frame.Header, b []byte, seed frame.Seed) { // a topic in a newer form
		b[frame.HeaderSize] = 99
		h.BodySum = seed.Sum(b[frame.HeaderSize:][:h.BodyLen])
		another(h, frame.Topic, b, seed)
	},
}

// another gives the frame at the beginning of b another kind, and leaves the body.
func another(h *frame.Header, kind frame.Kind, b []byte, seed frame.Seed) {
	h.Kind, h.Base, h.Span, h.Count = kind, 0, 0, 0
	h.Put(b, seed)
}

// startForged is a killed store with such a frame in its journal; with every other seed, a frame in front of it is ruined.
func startForged(t *testing.T, seed uint64) *faultStart {
	t.Helper()
	fs, h, _ := journalOnly(t, storage.SyncAlways, 30)
	const name = "journal/00"
	b, err := fs.Contents(name)
	must(t, err)
	var batches []placed
	for _, f := range framesOf(t, b) {
		if f.Count > 0 {
			batches = append(batches, f)
		}
	}
	f := batches[len(batches)/2]
	forgeries[seed/2%uint64(len(forgeries))](&f.Header, b[f.from:], frame.Seed(binary.LittleEndian.Uint32(b[12:])))
	if seed%2 == 1 {
		clear(b[batches[5].from:][:64])
	}
	must(t, fs.SetContents(name, b))
	return &faultStart{fs: fs.Clone(memfs.Everything, 1), h: h}
}

// playForged opens the store, which is refused, and salvages it.
func playForged(r *faultRun) error {
	st, err := r.open(tiny())
	if err == nil {
		r.wrong("%s: a journal with a forged frame was opened", r.where)
		r.close(st)
		return nil
	}
	if !refusal(err) {
		r.typed(err, "open")
	}
	if _, err := salvage(r.fs); err != nil && !errors.Is(err, storage.ErrFormat) {
		r.typed(err, "salvage")
	}
	return nil
}

// refusal tells whether an error says that the directory is damaged, or of a newer version.
func refusal(err error) bool {
	var damage *storage.DamageError
	return errors.As(err, &damage) || errors.Is(err, storage.ErrFormat)
}

// isSalvagedOrNewer: what was forged is left out by a salvage, or refused by that as well.
func isSalvagedOrNewer(r *faultRun, fs *memfs.FS, where string) {
	st, err := open(fs)
	if refusal(err) {
		if _, err = salvage(fs); errors.Is(err, storage.ErrFormat) {
			return
		}
		if err == nil {
			st, err = open(fs)
		}
	}
	if err == nil {
		err = st.Close(context.Background())
	}
	if err != nil {
		r.wrong("%s: %v", where, err)
	}
}
