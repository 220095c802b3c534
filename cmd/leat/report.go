package main

import "time"

// The objects that -json prints. A field is added, never renamed, and never means something else. Sizes are in bytes, offsets are half-open ranges, times
// are in UTC.

// damage is bytes that are not what was written.
type damage struct {
	File string `json:"file"` // below the directory
	From int64  `json:"from"`
	To   int64  `json:"to"` // 0 if that is not known
	*lost
	Records int64  `json:"records,omitempty"` // lost, as far as that is known
	Reason  string `json:"reason"`
	Skipped bool   `json:"skipped,omitempty"` // it was decided that readers go on behind it
}

// lost is the records that a damage costs; there is none if it costs no records.
type lost struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"` // of the topic, from 0
	First     int64  `json:"first"`
	Next      int64  `json:"next"`
}

// inspection is what inspect prints.
type inspection struct {
	Directory  string        `json:"directory"`
	Store      string        `json:"store"`  // its random number, in hexadecimal digits
	Format     int           `json:"format"` // version of the format
	Clean      bool          `json:"clean"`  // it was closed; else the next open recovers it
	Checkpoint int64         `json:"checkpoint"`
	Recovery   recovery      `json:"recovery"`
	Journal    files         `json:"journal"`
	Segments   files         `json:"segments"`
	Topics     []topicReport `json:"topics"`
	Groups     []groupReport `json:"groups"`
	Foreign    []string      `json:"foreign"` // names that are not the store's
	Exposed    bool          `json:"exposed"` // others than its owner may write in it: they could forge records
	Damage     []damage      `json:"damage"`  // that an open meets; verify looks everywhere
}

// recovery is what the next open for writing has to do.
type recovery struct {
	Entries   int64 `json:"entries"` // to replay from the journal
	Records   int64 `json:"records"` // in these
	CutBytes  int64 `json:"cut_bytes"`
	Leftovers int   `json:"leftovers"` // files of an interrupted run that are not needed
	Raised    int   `json:"raised"`    // partitions whose offsets go on above a cursor that is ahead of them
}

type files struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

type topicReport struct {
	Name          string            `json:"name"`
	Partitions    int               `json:"partitions"`
	Level         string            `json:"level"`
	Sync          string            `json:"sync"`
	Compression   string            `json:"compression,omitempty"`
	Cleanup       string            `json:"cleanup"`
	NoBackup      bool              `json:"no_backup,omitempty"`
	SettingsBytes int               `json:"settings_bytes"`
	Records       int64             `json:"records"` // stored
	Bytes         int64             `json:"bytes"`   // of its segments
	Segments      int               `json:"segments"`
	Parts         []partitionReport `json:"parts"`
}

type partitionReport struct {
	Partition int    `json:"partition"` // of the topic, from 0
	ID        uint32 `json:"id"`        // in the store, and in the names of its files
	First     int64  `json:"first"`     // no record below it is stored
	Next      int64  `json:"next"`
	Records   int64  `json:"records"` // stored
	Removed   int64  `json:"removed"` // were stored once
	Segments  int    `json:"segments"`
	Bytes     int64  `json:"bytes"` // of these
}

type groupReport struct {
	Name    string         `json:"name"`
	Lag     int64          `json:"lag"` // over all its cursors
	Cursors []cursorReport `json:"cursors"`
}

type cursorReport struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Floor     int64  `json:"floor"`  // every record below is done
	Done      int64  `json:"done"`   // records done, of all ever appended
	Lag       int64  `json:"lag"`    // records that are stored and not done
	Failed    int    `json:"failed"` // of these, tried and failed before
}

// record is what dump prints, one to a line. A key or value that is no text is in the field that ends in _base64.
type record struct {
	Topic       string     `json:"topic"`
	Partition   int        `json:"partition"`
	Offset      int64      `json:"offset"`
	Appended    time.Time  `json:"appended"`
	Timestamp   *time.Time `json:"timestamp,omitempty"` // the application's
	Key         *string    `json:"key,omitempty"`
	KeyBase64   *string    `json:"key_base64,omitempty"`
	Value       *string    `json:"value,omitempty"`
	ValueBase64 *string    `json:"value_base64,omitempty"`
	Headers     []header   `json:"headers,omitempty"`
}

type header struct {
	Key         string  `json:"key"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 *string `json:"value_base64,omitempty"`
}

// verification is what verify prints.
type verification struct {
	Directory   string       `json:"directory"`
	Files       int64        `json:"files"` // whole, as is all below
	Bytes       int64        `json:"bytes"` // of segments, checkpoints, and what counts of the journal
	Segments    int          `json:"segments"`
	Records     int64        `json:"records"` // in segments
	Journal     int64        `json:"journal_frames"`
	Checkpoints []checkpoint `json:"checkpoints"`
	Foreign     []string     `json:"foreign"`
	Damage      []damage     `json:"damage"`
	Seconds     float64      `json:"seconds"`
}

type checkpoint struct {
	File   string `json:"file"`
	Whole  bool   `json:"whole"`
	Used   bool   `json:"used"`
	Newest bool   `json:"newest"`
	Number int64  `json:"number"`
}

// compaction is what compact prints.
type compaction struct {
	Directory      string `json:"directory"`
	Removed        int64  `json:"removed"` // records
	SegmentsBefore files  `json:"segments_before"`
	SegmentsAfter  files  `json:"segments_after"`
}

// mending is what mend prints.
type mending struct {
	Directory string   `json:"directory"`
	Copy      string   `json:"copy"`
	Mended    []damage `json:"mended"`
	Left      []damage `json:"left"`  // the copy does not have it
	Aside     []string `json:"aside"` // where the damaged files are now
}

// salvaged is what salvage prints.
type salvaged struct {
	Directory  string   `json:"directory"`
	Damaged    bool     `json:"damaged"` // else nothing was done
	Aside      string   `json:"aside"`
	Entries    int64    `json:"entries"` // of the journal that are kept, and so are records
	Records    int64    `json:"records"`
	LostFrames int64    `json:"lost_frames"`
	LostBytes  int64    `json:"lost_bytes"`
	Cursors    int      `json:"cursors_not_taken"`
	Refused    int      `json:"frames_refused"`
	Spilled    int      `json:"found_in_segments"` // batches that are damaged in the journal
	Strangers  int64    `json:"records_of_lost_topics"`
	Uncertain  []string `json:"uncertain"` // partitions that may have lost records at their end, as topic/partition
	Damage     []damage `json:"damage"`
	Holes      []damage `json:"holes"`
}

// rebuilt is what rebuild prints.
type rebuilt struct {
	From         string   `json:"from"`
	To           string   `json:"to"`
	Copied       int      `json:"copied"`        // files of segments, as they are
	Gathered     int      `json:"gathered"`      // files of which the batches were taken one by one
	Records      int64    `json:"records"`       // of the journal
	NoCheckpoint bool     `json:"no_checkpoint"` // not even a part of one can be read
	Sections     int      `json:"sections"`      // of checkpoints that cannot be read
	Unnamed      []string `json:"unnamed"`       // partitions whose topic is not known any more, as topic/partition
	Beginnings   []string `json:"no_beginning"`  // partitions that have lost records at their beginning, or had them removed
	Uncertain    []string `json:"uncertain"`     // partitions that may have lost records at their end
	Damage       []damage `json:"damage"`
	Holes        []damage `json:"holes"`
}

// copied is what snapshot and restore print.
type copied struct {
	From    string   `json:"from"`
	To      string   `json:"to"`
	Files   int64    `json:"files"` // copied
	Links   int64    `json:"links"` // files that have a second name now
	Bytes   int64    `json:"bytes"` // of both
	Records int64    `json:"records"`
	Damage  []damage `json:"damage"` // what the copy lacks, because the store lacks it
}
