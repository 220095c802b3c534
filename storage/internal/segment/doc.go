// Package segment keeps the committed frames of a partition on disk: files that hold the frames exactly as the journal wrote them, one
// behind the other, and that find a record by offset, by time or by count.
//
// A file is named seg/<partition, 8 hex digits>/<file id, 16 hex digits>. It is a header block of 4096 bytes, frames from there on,
// and once sealed a footer. All numbers are little-endian.
//
// The file does not say how much of it counts: the checkpoint keeps a [Meta] of each segment, and what lies behind Meta.Length is ignored and
// overwritten. So there is no torn tail here: a file that is missing, shorter than that, of someone else, or whose sums do not match is damaged,
// and the reader of that place is told so by a *storage.DamageError. Nothing is repaired, cut or skipped.
//
// The package decides nothing: when to roll, sync or seal, and which files count, is the caller's.
package segment
