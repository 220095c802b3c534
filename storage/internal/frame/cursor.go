package frame

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/leatmq/leat/storage"
)

// The body of a Cursor is absolute: the newest one of a group and partition counts alone. The partition stands in the header.
//
//	form      1 byte: 1, or 2 if a failure has a note
//	group     uvarint
//	floor     uvarint
//	passed    uvarint
//	done      uvarint number, then for each range two uvarints: distance from the end of the one before (from the floor), length
//	failed    uvarint number, then for each: uvarint distance from the offset before (from the floor), uvarint attempts, varint due time, and in form 2 the
//	          note: uvarint length, bytes
const (
	cursorForm = 1
	notedForm  = 2
)

// AppendCursor appends c as the body of a Cursor frame. c is as [storage.Cursor] says, ranges and failures in order: DecodeCursor refuses the bytes
// of one that is not.
func AppendCursor(dst []byte, c *storage.Cursor) []byte {
	noted := slices.ContainsFunc(c.Failed, func(f storage.Failure) bool { return f.Note != "" })
	if noted {
		dst = append(dst, notedForm)
	} else {
		dst = append(dst, cursorForm)
	}
	dst = binary.AppendUvarint(dst, uint64(c.Group))
	dst = binary.AppendUvarint(dst, uint64(c.Floor))
	dst = binary.AppendUvarint(dst, uint64(c.Passed))
	dst = binary.AppendUvarint(dst, uint64(len(c.Done)))
	at := c.Floor
	for _, r := range c.Done {
		dst = binary.AppendUvarint(dst, uint64(r.From-at))
		dst = binary.AppendUvarint(dst, uint64(r.To-r.From))
		at = r.To
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.Failed)))
	at = c.Floor
	for _, f := range c.Failed {
		dst = binary.AppendUvarint(dst, uint64(f.Offset-at))
		dst = binary.AppendUvarint(dst, uint64(f.Attempts))
		dst = binary.AppendVarint(dst, f.Due)
		if noted {
			dst = binary.AppendUvarint(dst, uint64(len(f.Note)))
			dst = append(dst, f.Note...)
		}
		at = f.Offset
	}
	return dst
}

// DecodeCursor reads the body of a Cursor frame of the given partition.
func DecodeCursor(body []byte, partition uint32) (storage.Cursor, error) {
	s := scanner{rest: body}
	form, group := s.byte(), s.uvarint()
	c := storage.Cursor{
		Group: storage.GroupID(group), Partition: storage.PartitionID(partition),
		Floor: s.int63(), Passed: s.int63(),
	}
	c.Done = decodeDone(&s, c.Floor)
	c.Failed = decodeFailed(&s, c.Floor, form == notedForm)
	if group > math.MaxUint32 {
		s.failed = true
	}
	if err := s.ends(form, notedForm); err != nil {
		return storage.Cursor{}, err
	}
	return c, nil
}

func decodeDone(s *scanner, at int64) []storage.Range {
	n := s.count(2)
	if n == 0 {
		return nil
	}
	done := make([]storage.Range, 0, n)
	for range n {
		from := s.after(at, 1)
		to := s.after(from, 1)
		if s.failed {
			return nil
		}
		done = append(done, storage.Range{From: from, To: to})
		at = to
	}
	return done
}

func decodeFailed(s *scanner, at int64, noted bool) []storage.Failure {
	n := s.count(3)
	if n == 0 {
		s.failed = s.failed || noted
		return nil
	}
	failed := make([]storage.Failure, 0, n)
	least, notes := int64(0), 0
	for range n {
		at = s.after(at, least)
		attempts, due := s.uvarint(), s.varint()
		var note []byte
		if noted {
			note = s.bytes()
		}
		if s.failed || attempts > math.MaxUint32 || len(note) > storage.MaxNote {
			s.failed = true
			return nil
		}
		failed = append(failed, storage.Failure{Offset: at, Attempts: uint32(attempts), Due: due, Note: string(note)})
		least = 1
		notes += len(note)
	}
	if noted && notes == 0 { // form 1 says the same
		s.failed = true
	}
	return failed
}
