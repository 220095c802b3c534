package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/leatmq/leat/storage"
	"github.com/leatmq/leat/storage/disk"
)

const aboutDump = `
dump prints records, oldest first within each partition: topic and partition, offset, the time it was stored, the application's time if that is another, the
key, the value, and headers. Text is quoted as in Go, so that every byte shows and a record is one line. It only reads.

Where records are damaged it says so on standard error, goes on behind them, and exits with 1.`

// dumper is one dump under way.
type dumper struct {
	*env
	st    *disk.Store
	out   *bufio.Writer
	print func(io.Writer, *record, *storage.Record) error

	topic     string // "": all
	partition int    // -1: all
	from, to  int64  // offsets
	since     time.Time
	left      int64 // records still to be printed; -1: no bound
	found     bool  // damage
}

// dump implements the command.
func dump(k *call) error {
	d := &dumper{env: k.env, out: bufio.NewWriter(k.stdout)}
	k.flags.StringVar(&d.topic, "topic", "", "only of the topic with this `name`")
	k.flags.IntVar(&d.partition, "partition", -1, "only of the partition of this `number`, from 0, of the topic; -1: of all")
	k.flags.Int64Var(&d.from, "from", 0, "only from this `offset` on")
	k.flags.Int64Var(&d.to, "to", 1<<63-1, "only below this `offset`")
	since := k.flags.String("since", "", "only what was stored at or after this `time`, as 2006-01-02T15:04:05Z")
	limit := k.flags.Int64("limit", 0, "at most this `number` of records; 0: all")
	asJSON := k.flags.Bool("json", false, "print one JSON object a line")
	raw := k.flags.Bool("raw", false, "print values alone, as they are, and a line end behind each")
	coded := k.flags.Bool("base64", false, "print keys and values in base64, whatever is in them")
	args, err := k.parse("DIR")
	if err != nil {
		return err
	}
	if err := d.settle(*since, *limit, *asJSON, *raw, *coded); err != nil {
		return err
	}
	if d.st, err = disk.OpenReadOnly(args[0], disk.Options{}); err != nil {
		return err
	}
	err = errors.Join(d.all(), d.out.Flush(), d.st.Close(k.ctx))
	if err == nil && d.found {
		err = errFound
	}
	return err
}

// settle checks what the flags say together.
func (d *dumper) settle(since string, limit int64, asJSON, raw, coded bool) error {
	d.left = limit
	if limit == 0 {
		d.left = -1
	}
	if since != "" {
		var err error
		if d.since, err = time.Parse(time.RFC3339Nano, since); err != nil {
			return &usageError{fmt.Sprintf("-since %s is no time: write it as 2006-01-02T15:04:05Z", since)}
		}
	}
	switch {
	case limit < 0:
		return &usageError{"-limit is negative"}
	case d.partition >= 0 && d.topic == "":
		return &usageError{"-partition without -topic"}
	case raw && (asJSON || coded):
		return &usageError{"-raw together with -json or -base64"}
	case raw:
		d.print = printRaw
	case asJSON:
		d.print = func(w io.Writer, r *record, s *storage.Record) error { return printJSON(w, r, s, coded) }
	default:
		d.print = func(w io.Writer, r *record, s *storage.Record) error { return printLine(w, r, s, coded) }
	}
	return nil
}

func (d *dumper) all() error {
	topics := d.st.Topics()
	if d.topic != "" {
		t, ok := d.st.Topic(d.topic)
		if !ok {
			return fmt.Errorf("there is no topic %q; there are %s", d.topic, quoted(topics))
		}
		if d.partition >= t.Partitions {
			return fmt.Errorf("topic %q has no partition %d; it has 0 to %d", t.Name, d.partition, t.Partitions-1)
		}
		topics = []storage.Topic{t}
	}
	for i := range topics {
		t := &topics[i]
		for n := range t.Partitions {
			if d.partition >= 0 && n != d.partition {
				continue
			}
			if err := d.part(t, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func quoted(topics []storage.Topic) string {
	if len(topics) == 0 {
		return "none"
	}
	s := ""
	for i := range topics {
		if i > 0 {
			s += ", "
		}
		s += strconv.Quote(topics[i].Name)
	}
	return s
}

// readAtOnce is the bytes of one read.
const readAtOnce = 1 << 20

// part prints one partition.
func (d *dumper) part(t *storage.Topic, n int) error {
	at, id := d.from, t.Partition(n)
	if !d.since.IsZero() {
		offset, err := d.st.OffsetAt(id, d.since)
		if err != nil {
			return err
		}
		at = max(at, offset)
	}
	var records []storage.Record
	for d.left != 0 && at < d.to {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		var next int64
		var err error
		records, next, err = d.st.Read(records[:0], id, at, readAtOnce)
		if damage := (*storage.DamageError)(nil); errors.As(err, &damage) {
			d.found = true
			printDamage(d.stderr, names{id: {t.Name, n}}.damaged([]*storage.DamageError{damage}))
			next, err = max(damage.Next, at+1), nil
		}
		if err != nil {
			return err
		}
		if len(records) == 0 && next <= at {
			return nil
		}
		if err := d.some(t, n, records); err != nil {
			return err
		}
		at = next
	}
	return nil
}

func (d *dumper) some(t *storage.Topic, n int, records []storage.Record) error {
	for i := range records {
		s := &records[i]
		if d.left == 0 || s.Offset >= d.to {
			return nil
		}
		r := record{Topic: t.Name, Partition: n, Offset: s.Offset, Appended: s.Appended.UTC()}
		if err := d.print(d.out, &r, s); err != nil {
			return err
		}
		if d.left > 0 {
			d.left--
		}
	}
	return nil
}

func printRaw(w io.Writer, _ *record, s *storage.Record) error {
	_, err := fmt.Fprintf(w, "%s\n", s.Value)
	return err
}

// printLine writes a record for people.
func printLine(w io.Writer, r *record, s *storage.Record, coded bool) error {
	text := func(b []byte) string {
		if coded {
			return base64.StdEncoding.EncodeToString(b)
		}
		return strconv.Quote(string(b))
	}
	line := fmt.Sprintf("%s/%d  %d  %s", r.Topic, r.Partition, r.Offset, r.Appended.Format(time.RFC3339Nano))
	if differ := s.Timestamp.Sub(s.Appended).Abs(); !s.Timestamp.IsZero() && differ >= time.Second {
		line += "  at " + s.Timestamp.UTC().Format(time.RFC3339Nano)
	}
	if s.Key != nil {
		line += "  key " + text(s.Key)
	}
	line += "  " + text(s.Value)
	for key, value := range s.Headers.All() {
		line += fmt.Sprintf("  %s=%s", key, text(value))
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// printJSON writes a record as an object.
func printJSON(w io.Writer, r *record, s *storage.Record, coded bool) error {
	if !s.Timestamp.IsZero() {
		at := s.Timestamp.UTC()
		r.Timestamp = &at
	}
	if s.Key != nil {
		r.Key, r.KeyBase64 = textOrBase64(s.Key, coded)
	}
	r.Value, r.ValueBase64 = textOrBase64(s.Value, coded)
	for key, value := range s.Headers.All() {
		h := header{Key: key}
		h.Value, h.ValueBase64 = textOrBase64(value, coded)
		r.Headers = append(r.Headers, h)
	}
	j := json.NewEncoder(w)
	j.SetEscapeHTML(false)
	return j.Encode(r)
}

func textOrBase64(b []byte, coded bool) (text, code *string) {
	if utf8.Valid(b) && !coded {
		s := string(b)
		return &s, nil
	}
	s := base64.StdEncoding.EncodeToString(b)
	return nil, &s
}
