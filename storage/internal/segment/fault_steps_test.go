package segment_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strings"

	"github.com/leatmq/leat/compress"
	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/internal/frame"
	"github.com/leatmq/leat/storage/internal/segment"
	"github.com/leatmq/leat/storage/internal/vfs"
)

func sealed(m segment.Meta) bool   { return m.Sealed }
func unsealed(m segment.Meta) bool { return !m.Sealed }
func dense(m segment.Meta) bool    { return m.Sealed && m.Count == m.Next-m.Base }
func gapped(m segment.Meta) bool   { return m.Count != m.Next-m.Base }

var faultSteps = []faultStep{
	{name: "read", do: stepRead},
	{name: "read in turn", do: stepReadInTurn},
	{name: "offset at", do: stepOffsetAt},
	{name: "ordinal", of: gapped, do: stepOrdinal},
	{name: "check", do: stepCheck},
	{name: "verify", soft: true, do: stepVerify},
	{name: "pieces", soft: true, do: stepPieces},
	{name: "scan", do: stepScan},
	{name: "describe", soft: true, do: stepDescribe},
	{name: "rewrite", of: dense, changes: true, do: stepRewrite},
	{name: "compress", of: dense, changes: true, do: stepCompress},
	{name: "rebuild", of: dense, changes: true, do: stepRebuild},
	{name: "append", of: unsealed, changes: true, do: stepAppend},
	{name: "seal", of: unsealed, changes: true, do: stepSeal},
	{name: "create", of: unsealed, changes: true, do: stepCreate},
	{name: "remove", of: sealed, changes: true, removes: true, do: stepRemove},
}

// told returns what an error says that is part of what is to be found, and else the error.
func (c *faultCall) told(err error) (string, error) {
	var d *storage.DamageError
	switch {
	case err == nil:
		return "", nil
	case c.hits != 0 && errors.Is(err, c.expects):
		return "", err
	case errors.As(err, &d):
		return fmt.Sprintf("lost %d to %d, bytes %d to %d: %s\n", d.First, d.Next, d.From, d.To, d.Reason), nil
	}
	for _, known := range []error{fs.ErrNotExist, vfs.ErrNotRegular, storage.ErrFormat, segment.ErrSealed, segment.ErrSources, segment.ErrRecords, segment.ErrMeta, frame.ErrHeader, frame.ErrShort, frame.ErrField} {
		if errors.Is(err, known) {
			return known.Error() + "\n", nil
		}
	}
	return "", err
}

// readOn reads a segment from an offset on, up to another, around damage.
func (c *faultCall) readOn(g *segment.Segment, from, to int64, max int) (string, error) {
	var b strings.Builder
	for from < to {
		frames, err := g.Read(from, max)
		var d *storage.DamageError
		if errors.As(err, &d) {
			if d.Next <= from {
				return b.String(), fmt.Errorf("damage that ends before it begins: %w", err)
			}
			from = d.Next
		}
		line, err := c.told(err)
		if b.WriteString(line); err != nil || len(frames) == 0 && d == nil {
			return b.String(), err
		}
		if len(frames) > 0 {
			next := nextOf(frames)
			fmt.Fprintf(&b, "%d to %d: %x\n", from, next, crc32.ChecksumIEEE(frames))
			from = next
		}
	}
	return b.String(), nil
}

func stepRead(c *faultCall) (string, error) {
	m := c.g.Meta()
	return c.readOn(c.g, m.Base, m.Next, 3000)
}

// stepReadInTurn reads two segments in turn, of which only one file may be open.
func stepReadInTurn(c *faultCall) (string, error) {
	other := c.start.metas[(c.start.unto+1)%len(c.start.metas)]
	o := c.dir.Open(partition, other)
	m, all := c.g.Meta(), ""
	for from := m.Base + (m.Next-m.Base)/3; from < m.Base+(m.Next-m.Base)*2/3; {
		frames, err := c.g.Read(from, 1)
		var d *storage.DamageError
		switch {
		case errors.As(err, &d):
			from = d.Next
		case len(frames) > 0:
			from = nextOf(frames)
		default:
			line, err := c.told(err)
			return all + line, err
		}
		line, err := c.told(err)
		if all += line + fmt.Sprintln(from); err != nil {
			return all, err
		}
		if _, err := o.Read(other.Base, 1); c.hits != 0 && errors.Is(err, c.expects) {
			return all, err
		}
	}
	return all, nil
}

func stepOffsetAt(c *faultCall) (string, error) {
	m, all := c.g.Meta(), ""
	for n := range int64(9) {
		offset, ok, err := c.g.OffsetAt(m.MinTime + (m.MaxTime-m.MinTime)*n/8)
		line, err := c.told(err)
		if all += line + fmt.Sprintln(offset, ok); err != nil {
			return all, err
		}
	}
	return all, nil
}

func stepOrdinal(c *faultCall) (string, error) {
	m, all := c.g.Meta(), ""
	for at := m.Base - 1; at <= m.Next; at += 1 + (m.Next-m.Base)/120 {
		n, err := c.g.Ordinal(at)
		if at < m.Base {
			if err == nil {
				return all, errors.New("an offset below the segment has an ordinal")
			}
			continue
		}
		line, err := c.told(err)
		if all += line + fmt.Sprintln(at, n); err != nil {
			return all, err
		}
	}
	return all, nil
}

func stepCheck(c *faultCall) (string, error) {
	return c.told(c.g.Check(func(int) error { return c.ask() }))
}

func stepVerify(c *faultCall) (string, error) {
	v, err := c.g.Verify(func(int) error { return c.ask() })
	all := fmt.Sprintln(v.Records, v.Others)
	for _, d := range v.Damage {
		all += fmt.Sprintln(d)
	}
	line, err := c.told(err)
	return all + line, err
}

func stepPieces(c *faultCall) (string, error) {
	all := ""
	err := c.g.Pieces(func(p segment.Piece) error {
		all += fmt.Sprintf("%d to %d: %x\n", p.First, p.Next, crc32.ChecksumIEEE(p.Raw))
		return c.ask()
	})
	line, err := c.told(err)
	return all + line, err
}

func stepScan(c *faultCall) (string, error) {
	all := ""
	err := c.g.Scan(c.ctx, c.pace, func(h *frame.Header, raw []byte) error {
		all += fmt.Sprintf("%d to %d: %x\n", h.Base, h.Next(), crc32.ChecksumIEEE(raw))
		return c.ask()
	})
	line, err := c.told(err)
	return all + line, err
}

// stepDescribe looks for the segment as an open does that has no checkpoint.
func stepDescribe(c *faultCall) (string, error) {
	found, foreign, err := c.dir.Scan()
	if err != nil {
		return "", err
	}
	f := segment.Found{Partition: partition, File: c.meta.File, Base: segment.Unknown, Ordinal: segment.Unknown, Name: c.g.Name(), Rewritten: c.meta.Rewritten, Size: c.meta.Length}
	for _, x := range found {
		if x.File == c.meta.File {
			f = x
		}
	}
	m, whole, err := c.dir.Describe(f)
	line, err := c.told(err)
	b := m.Append(nil)
	for n := range b { // cut anywhere, a description is none
		if _, _, err := segment.DecodeMeta(b[:n]); err == nil {
			return line, fmt.Errorf("%d of %d bytes are taken for a description", n, len(b))
		}
	}
	return line + fmt.Sprintln(m, whole, len(found), len(foreign)), err
}

func stepRewrite(c *faultCall) (string, error) {
	unknown := segment.Rewrite{Sources: []*segment.Segment{c.g}, File: 255, Codec: 77}
	_, err := c.dir.Rewrite(c.ctx, unknown)
	_, again := c.dir.Rebuild(c.ctx, partition, unknown, c.meta, nil)
	if err == nil || again == nil {
		return "", errors.New("compressed with a codec that is not known")
	}
	return c.rewritten(segment.Rewrite{Sources: []*segment.Segment{c.g}, File: 255, Keep: func(r *storage.Record) bool { return r.Offset%5 != 0 }, Pace: c.pacing})
}

func stepCompress(c *faultCall) (string, error) {
	return c.rewritten(segment.Rewrite{Sources: []*segment.Segment{c.g}, File: 255, Codec: compress.IDS2, BlockBytes: 30_000, Compacted: true, Pace: c.pacing})
}

// rewritten rewrites, and returns how the new segment reads. Without one there must be no file.
func (c *faultCall) rewritten(r segment.Rewrite) (string, error) {
	g, err := c.dir.Rewrite(c.ctx, r)
	return c.madeOf(g, err)
}

func (c *faultCall) madeOf(g *segment.Segment, err error) (string, error) {
	if err != nil {
		if _, left := c.fs.Contents(segmentName(255)); left == nil && c.hits != 0 && !c.stuck(err) {
			return "", fmt.Errorf("there is no new segment, and its file is there: %v", err)
		}
		return c.told(err)
	}
	m := g.Meta()
	got, err := c.readOn(g, m.Base, m.Next, 100_000)
	return fmt.Sprintln(m) + got, err
}

// stuck tells whether a file could not be removed, or nobody waits for it.
func (c *faultCall) stuck(err error) bool {
	return strings.Contains(err.Error(), "remove") || c.way != nil && c.way.always
}

func stepRebuild(c *faultCall) (string, error) {
	r := segment.Rewrite{File: 255, Codec: compress.IDZstd, BlockBytes: 30_000, Pace: c.pacing}
	g, err := c.dir.Rebuild(c.ctx, partition, r, c.meta, func(take func(*frame.Header, []byte) error) error {
		return c.g.Scan(c.ctx, nil, take)
	})
	return c.madeOf(g, err)
}

// stepAppend appends what fits and what does not, and seals.
func stepAppend(c *faultCall) (string, error) {
	m := c.g.Meta()
	l := newLog(m.Next, m.Ordinal+m.Count)
	l.time = m.MaxTime
	all := ""
	for what, frames := range [][]byte{l.make(plain(2, 5000)), []byte("no frame at all, but long enough for a header: 0123456789012345678901234567890"), l.make(plain(1, 90_000))} {
		line, err := c.told(c.g.Append(frames))
		if all += fmt.Sprint(what, " ", line); err != nil {
			return all, err
		}
	}
	for what, call := range []func() error{c.g.Align, c.g.Sync, c.g.Seal, c.g.Sync, c.g.Seal} {
		line, err := c.told(call())
		if all += fmt.Sprint(what, " ", line); err != nil {
			return all, c.afterwards(err)
		}
	}
	got, err := c.readOn(c.g, m.Base, l.next, 10_000)
	return all + got, err
}

// stepSeal seals what has something behind its end.
func stepSeal(c *faultCall) (string, error) {
	m := c.g.Meta()
	line, err := c.told(errors.Join(c.g.Seal(), c.g.Sync()))
	if err != nil {
		return line, err
	}
	got, err := c.readOn(c.g, m.Base, m.Next, 10_000)
	return line + got, err
}

// afterwards reads and verifies a segment of which an operation failed: what is wrong with it then says why.
func (c *faultCall) afterwards(failed error) error {
	m := c.g.Meta()
	_, err := c.readOn(c.g, m.Base, m.Next, 10_000)
	_, verifyErr := c.g.Verify(func(int) error { return nil })
	return errors.Join(failed, err, verifyErr)
}

func stepCreate(c *faultCall) (string, error) {
	l := newLog(0, 0)
	g, err := c.dir.Create(partition, 255, 0, 0, 4)
	if err != nil {
		return "", err
	}
	_, another := c.dir.Create(partition, 254, 0, 0, 4)
	if err := errors.Join(g.Append(l.make(plain(2, 300))), g.Sync(), g.Seal(), g.Sync(), another); err != nil {
		return "", err
	}
	return c.readOn(g, 0, l.next, 100)
}

// stepRemove gives a segment up, as cleanup does, and another as a recovery does.
func stepRemove(c *faultCall) (string, error) {
	found, _, err := c.dir.Scan()
	if err != nil {
		return "", err
	}
	if _, err := c.g.Read(c.meta.Base, 1); err != nil {
		if _, err := c.told(err); err != nil {
			return "", err
		}
	}
	if unused, err := c.dir.Discard(c.g); !unused || err != nil {
		return "", err
	}
	if err := c.dir.RemoveFile(partition, c.meta.File); err != nil && c.start.name != "a directory" {
		return "", err
	}
	for _, f := range found { // none where the directory is not there
		if f.File == c.meta.File {
			continue
		}
		if err := c.dir.Remove(f); err != nil {
			return "", err
		}
	}
	return "", errors.Join(c.dir.SyncRemoved(partition), c.dir.RemovePartition(partition))
}
