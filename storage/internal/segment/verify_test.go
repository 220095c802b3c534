package segment_test

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"testing"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
	"github.com/leatmq/leat/storage/internal/vfs/errfs"
)

func free(int) error { return nil }

func (p *patient) verify(t *testing.T) segment.Verified {
	t.Helper()
	v, err := p.open().Verify(free)
	must(t, err)
	return v
}

// part is a range of bytes of a segment that is damaged as a whole or not at all, and the offsets that go with it.
type part struct {
	from, to    int64
	first, next int64
	harmless    bool // zeros that nobody reads
}

// parts returns what the patient's file consists of.
func (p *patient) parts(t *testing.T) (all []part) {
	t.Helper()
	content, err := p.fs.Contents(p.name)
	must(t, err)
	all = append(all, part{from: 0, to: 4096, first: p.m.Base, next: p.m.Next})
	offset := p.m.Base
	for pos := int64(4096); pos < p.m.Length; {
		h, body, size, err := frame.Next(content[pos:], identity.Seed)
		must(t, err)
		end := pos + int64(size)
		following := p.m.Next
		if end < p.m.Length {
			n, err := frame.Parse(content[end:], identity.Seed)
			must(t, err)
			following = n.Base
		}
		all = append(all, part{pos, end, offset, following, false}) // header
		all = append(all, part{pos, end, h.Base, h.Next(), false})  // body
		if pad := int64(frame.HeaderSize + len(body)); pos+pad < end {
			all = append(all, part{pos + pad, end, 0, 0, true})
		}
		pos, offset = end, h.Next()
	}
	return append(all, part{from: p.m.Length, to: p.end, first: p.m.Next, next: p.m.Next})
}

// of returns the part that byte at is of.
func of(parts []part, at int64) part {
	i := len(parts) - 1
	for parts[i].from > at {
		i--
	}
	if i > 0 && parts[i-1].from == parts[i].from && at < parts[i].from+frame.HeaderSize {
		return parts[i-1]
	}
	return parts[i]
}

// TestVerifyFlips: wherever a bit is flipped, exactly the frame it is in is reported, and no other byte or offset.
func TestVerifyFlips(t *testing.T) {
	for _, seal := range []bool{false, true} {
		p := newPatient(t, seal, small...)
		v := p.verify(t)
		if len(v.Damage) > 0 || v.Records != p.l.count || v.Bytes != p.end {
			t.Fatalf("whole: got %+v, want %d records in %d bytes", v, p.l.count, p.end)
		}
		parts := p.parts(t)
		for at := int64(0); at < p.end; at++ {
			if at > 80 && at < 4070 || at > 4700 && at < 8100 {
				continue
			}
			must(t, p.fs.FlipBit(p.name, at, uint(at%8)))
			v, hit := p.verify(t), of(parts, at)
			must(t, p.fs.FlipBit(p.name, at, uint(at%8)))
			if hit.harmless {
				if len(v.Damage) > 0 {
					t.Errorf("byte %d, which nobody reads: got %v", at, v.Damage[0])
				}
				continue
			}
			want := storage.DamageError{File: p.name, From: hit.from, To: hit.to, Partition: partition, First: hit.first, Next: hit.next}
			if len(v.Damage) != 1 {
				t.Fatalf("byte %d: got %d damages %v, want one: %+v", at, len(v.Damage), v.Damage, want)
			}
			got := *v.Damage[0]
			want.Reason, want.Records = got.Reason, got.Records
			if got.Records != 0 && got.Records > got.Next-got.First {
				t.Errorf("byte %d: %d records lost of offsets %d to %d", at, got.Records, got.First, got.Next)
			}
			if got != want || got.Reason == "" {
				t.Fatalf("byte %d: got %+v, want %+v", at, got, want)
			}
			if lost := hit.to - hit.from; v.Bytes != p.end-lost {
				t.Errorf("byte %d: %d bytes are whole, want all %d but %d", at, v.Bytes, p.end, lost)
			}
		}
	}
}

// TestVerifyTwo: each damage is reported for itself, also where the frames are larger than what is read at once.
func TestVerifyTwo(t *testing.T) {
	var batches []batch
	for i := range 40 {
		batches = append(batches, plain(1+i%3, 10_000*(1+i%40)))
	}
	p := newPatient(t, true, batches...)
	for _, i := range []int{3, 4, 17, 39} {
		must(t, p.fs.FlipBit(p.name, p.pos[i]+20, 1))   // header
		must(t, p.fs.FlipBit(p.name, p.pos[i]+1000, 1)) // and body
	}
	must(t, p.fs.FlipBit(p.name, p.pos[30]+5000, 1))
	v := p.verify(t)
	var got [][2]int64
	for _, d := range v.Damage {
		got = append(got, [2]int64{d.First, d.Next})
	}
	f := p.l.frames
	want := [][2]int64{{f[3].Base, f[4].Next()}, {f[17].Base, f[17].Next()}, {f[30].Base, f[30].Next()}, {f[39].Base, f[39].Next()}}
	if !slices.Equal(got, want) {
		t.Errorf("lost: got %v, want %v", got, want)
	}
}

// TestVerifyFiles: a file that is missing, cut, or another's.
func TestVerifyFiles(t *testing.T) {
	p := newPatient(t, true, small...)
	content, err := p.fs.Contents(p.name)
	must(t, err)
	for size := int64(0); size < p.end; size += 7 {
		must(t, p.fs.Resize(p.name, size))
		v := p.verify(t)
		must(t, p.fs.SetContents(p.name, content))
		if len(v.Damage) != 1 {
			t.Fatalf("cut at %d: got %v, want one damage", size, v.Damage)
		}
		d, want := v.Damage[0], part{to: p.m.Length, first: p.m.Base, next: p.m.Next}
		switch {
		case size >= p.m.Length:
			want = part{from: p.m.Length, to: size, first: p.m.Next, next: p.m.Next}
		case size >= 4096:
			hit := of(p.parts(t), size)
			want.from, want.first = hit.from, hit.first
			if hit.harmless {
				continue // of a padding that was cut, more than the damage is reported: the frame as well
			}
		}
		if d.From != want.from || d.To != want.to || d.Next != want.next || d.First < p.m.Base || d.First > want.first {
			t.Fatalf("cut at %d: got %+v, want %+v", size, d, want)
		}
	}
	for name, change := range map[string]func() error{
		"missing":    func() error { return p.fs.Delete(p.name) },
		"of another": func() error { return p.fs.SetContents(p.name, foreign(t)) },
		"a directory": func() error {
			return errors.Join(p.fs.Delete(p.name), p.fs.Mkdir(p.name))
		},
	} {
		must(t, change())
		v := p.verify(t)
		if len(v.Damage) != 1 || v.Damage[0].From != 0 || v.Damage[0].To != p.m.Length || v.Damage[0].First != p.m.Base || v.Damage[0].Next != p.m.Next {
			t.Errorf("%s: got %v, want the whole file", name, v.Damage)
		}
		if name == "a directory" {
			must(t, p.fs.Remove(p.name))
		}
		must(t, p.fs.SetContents(p.name, content))
	}
}

// foreign returns the file of another segment of the store.
func foreign(t *testing.T) []byte {
	t.Helper()
	s := newStore(t, 0)
	g := s.create(2, newLog(100, 40))
	content, err := s.fs.Contents(g.Name())
	must(t, err)
	return content
}

// TestVerifyOtherFrames: frames that are whole and in their place, but not those that were written there, as an older copy of the file has them.
func TestVerifyOtherFrames(t *testing.T) {
	p, l := newPatient(t, true, small...), newLog(100, 40)
	l.time = 5
	other := l.make(small[0])
	content, err := p.fs.Contents(p.name)
	must(t, err)
	copy(content[p.pos[0]:], other)
	must(t, p.fs.SetContents(p.name, content))
	v := p.verify(t)
	if len(v.Damage) != 1 || v.Damage[0].From != 4096 || v.Damage[0].To != p.m.Length || v.Damage[0].First != p.m.Base {
		t.Errorf("got %v, want all frames reported", v.Damage)
	}
}

// TestVerifyErrors: what the medium does not give back is damage; other errors end the work, and so does the pace.
func TestVerifyErrors(t *testing.T) {
	p := newPatient(t, true, plain(1, 300_000), plain(1, 300_000), plain(1, 300_000))
	for nth := 1; nth <= 5; nth++ {
		fsys := errfs.New(p.fs, errfs.Fault{Kinds: []vfs.Kind{vfs.OpRead}, Nth: nth, Err: syscall.EIO})
		v, err := segment.NewDir(fsys, identity, 0).Open(partition, p.m).Verify(free)
		if err != nil || len(v.Damage) != 1 || v.Damage[0].To <= v.Damage[0].From {
			t.Errorf("read %d fails with EIO: got %v, %v, want one damage", nth, v.Damage, err)
		}
	}
	for _, kind := range []vfs.Kind{vfs.OpOpen, vfs.OpSize, vfs.OpRead, vfs.OpClose} {
		fsys := errfs.New(p.fs, errfs.Fault{Kinds: []vfs.Kind{kind}, Err: fs.ErrPermission})
		v, err := segment.NewDir(fsys, identity, 0).Open(partition, p.m).Verify(free)
		if !errors.Is(err, fs.ErrPermission) || len(v.Damage) > 0 {
			t.Errorf("%v is not permitted: got %v, %v, want the error and no damage", kind, v.Damage, err)
		}
	}
	enough := errors.New("enough")
	total := 0
	_, err := p.open().Verify(func(n int) error {
		if total += n; total > 500_000 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("paced: got %v, want the error of the pace", err)
	}
	if total < 500_000 || total > 1_000_000 {
		t.Errorf("paced: %d bytes announced", total)
	}
}
