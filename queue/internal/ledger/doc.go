// Package ledger remembers which IDs came, within bounds of time and number: an exact table in memory, and the form in which it is kept.
//
// It is for tables in which a wrong answer is a lost message: an ID stands as 128 bits of its SHA-256, so that no two are taken for one by accident, and none is
// forgotten before one of its bounds says so. It knows nothing of messages, files or the wall clock.
package ledger
